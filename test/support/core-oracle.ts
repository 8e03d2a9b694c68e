import { expect } from 'vitest'
import type { BatchPlan } from '../../src/core/batch.ts'
import type { LogEntry, OutcomeError } from '../../src/core/events.ts'
import type { AbortCause, JobStateName, Outcome } from '../../src/core/states.ts'
import type { Input } from '../../src/core/step.ts'
import type { Replay } from './core-replay.ts'

/** The end of a job, as a policy sees it. */
interface End {
  index: number
  state: JobStateName
  type: string
}

interface Verdict {
  outcome: 'succeeded' | 'failed'
  /** Null: the policy cancels nothing, and settles at once. */
  cause: 'sibling_failed' | 'decided' | null
}

/** What the inputs asked of the batch, each with the cause it would abort for. */
const ABORTS: Partial<Record<Happening['type'], AbortCause>> = {
  cancelBatch: 'batch_cancel',
  stop: 'stop',
  shutDown: 'shutdown',
}

/** What enters a batch: an input, or the end of the process and a new start. */
export type Happening = Input | { type: 'restart' }

const isFailure = ({ state }: End) => state === 'failed' || state === 'timed_out'
const isSuccess = ({ state }: End) => state === 'succeeded'

/**
 * Says from the history of a batch, by the tables of semantics.md 1, 3 and 4, when it aborts and why, when it settles and
 * how, and when it drains. Knows the ends of its jobs and what was asked of it; nothing of the core.
 */
export class Oracle {
  readonly #plan: BatchPlan
  readonly #replay: Replay
  readonly #isShielded: (index: number) => boolean
  open: boolean
  /** The first cancel that counted, with its reason. */
  cancelled: { reason: string | null } | null = null
  #shutDown = false
  #timedOut = false
  /** Ends before anything decided the batch, and after: those of the unwinding. */
  readonly #ends: End[] = []
  readonly #late: End[] = []
  #verdict: Verdict | null = null
  /** Who decided, the abort that is due for it, or that was asked for. */
  #due: { cause: AbortCause; decidedBy?: number } | null = null
  #over = false

  constructor(plan: BatchPlan, replay: Replay, isShielded: (index: number) => boolean) {
    this.#plan = plan
    this.#replay = replay
    this.#isShielded = isShielded
    this.open = plan.open ?? false
  }

  /** Before the turn's log. */
  asked(input: Happening): void {
    if (this.#replay.settled !== null) return
    if (input.type === 'close') this.#close()
    if (input.type === 'cancelBatch') this.cancelled ??= { reason: input.reason }
    if (input.type === 'shutDown') this.#shutDown = true
    const first = input.type === 'accepted' && this.#replay.seq === 0
    const hasWork = this.open || (input.type === 'accepted' && input.jobs.length > 0)
    const isDue = (input.type === 'due' && input.timer === 'batch') || (first && this.#plan.timeoutMs === 0 && hasWork)
    if (isDue) this.#timedOut = true
    const cause = isDue ? 'batch_timeout' : ABORTS[input.type]
    if (cause === undefined || this.#over) return
    const isEmpty = this.#replay.live().length === 0 && !this.open && !(first && input.jobs.length > 0)
    if (isDue && isEmpty) this.#over = true
    else this.#abort({ cause })
  }

  /** An entry of the log that the replay has taken. `type` is that of the job's error. */
  logged(entry: LogEntry, ends: End[]): void {
    if (entry.type === 'batch.aborting') return this.#aborting(entry)
    if (entry.type === 'batch.settled') return this.#settled(entry)
    if (entry.type === 'batch.accepted' || entry.type === 'job.queued') return
    if (this.#due !== null) throw new Error(`${entry.type} ${entry.index} precedes batch.aborting`)
    for (const end of ends) this.#ended(end)
  }

  /** After the turn's log. */
  check(): void {
    const { aborting, settled, drained } = this.#replay
    const live = this.#replay.live()
    const unshielded = live.filter((index) => !this.#isShielded(index))
    const failedGather = this.#plan.policy === 'gather' && this.#verdict !== null
    const isOver = aborting === null ? live.length === 0 && !this.open : unshielded.length === 0
    expect({ due: this.#due, settled: settled !== null, drained: drained !== null }).toEqual({
      due: null,
      settled: failedGather || isOver,
      drained: (failedGather || isOver) && live.length === 0,
    })
  }

  #close(): void {
    this.open = false
    if (!this.#over) this.#decide()
  }

  #abort(due: { cause: AbortCause; decidedBy?: number }): void {
    this.#over = true
    this.open = false
    this.#due = due
  }

  #aborting({ cause, decidedBy }: LogEntry): void {
    expect({ cause, decidedBy }).toEqual({ decidedBy: undefined, ...this.#due })
    this.#due = null
  }

  #ended(end: End): void {
    if (this.#replay.settled !== null) return
    if (this.#over) {
      this.#late.push(end)
      return
    }
    this.#ends.push(end)
    this.#decide(end.index)
  }

  #decide(decidedBy?: number): void {
    // The entry may stand in the middle of the turn: what lives then is what the replay says now.
    const verdict = this.#judge()
    if (verdict === null) return
    this.#verdict = verdict
    this.#over = true
    if (verdict.cause === null) this.open = false
    else if (this.#replay.live().length > 0 || this.open) this.#abort({ cause: verdict.cause, decidedBy })
  }

  /** The column *decided when* of semantics.md 1. */
  #judge(): Verdict | null {
    const { policy, n } = this.#plan
    const live = this.#replay.live().length
    const successes = this.#ends.filter(isSuccess).length
    const needed = policy === 'quorum' ? (n ?? 0) : 1
    switch (policy) {
      case 'all_settled':
        return null
      case 'gather':
        return this.#ends.every(isSuccess) ? null : { outcome: 'failed', cause: null }
      case 'task_group':
        return this.#ends.some(isFailure) ? { outcome: 'failed', cause: 'sibling_failed' } : null
      case 'race': {
        const [first] = this.#ends
        if (first !== undefined) return { outcome: isSuccess(first) ? 'succeeded' : 'failed', cause: 'decided' }
        return live === 0 && !this.open ? { outcome: 'failed', cause: 'decided' } : null
      }
      default:
        if (successes >= needed) return { outcome: 'succeeded', cause: 'decided' }
        return successes + live < needed && !this.open ? { outcome: 'failed', cause: 'decided' } : null
    }
  }

  #settled({ state, error }: LogEntry): void {
    const errors = this.#errors()
    expect(state).toBe(this.#outcome(errors))
    expect(summary(error ?? null)).toEqual(this.#expectedError(state, errors))
  }

  /** "Errors, else cancel, else timeout, else the policy's own outcome." */
  #outcome(errors: End[] | null): Outcome {
    if (errors !== null) return 'failed'
    if (this.cancelled !== null || this.#shutDown) return 'cancelled'
    return this.#timedOut ? 'timed_out' : 'succeeded'
  }

  /** The errors that the policy counts, or null when it does not fail. */
  #errors(): End[] | null {
    const failures = [...this.#ends, ...this.#late].filter(isFailure)
    switch (this.#plan.policy) {
      case 'all_settled':
        return null
      case 'gather': {
        const first = this.#ends.find((end) => !isSuccess(end)) ?? this.#late.find(isFailure)
        return first === undefined ? null : [first]
      }
      case 'task_group':
        return failures.length > 0 ? failures : null
      case 'race':
        return this.#verdict?.outcome === 'failed' ? this.#ends.slice(0, 1) : null
      default:
        return this.#verdict?.outcome === 'failed' ? failures : null
    }
  }

  #expectedError(state: Outcome | undefined, errors: End[] | null): unknown {
    if (state === 'succeeded') return null
    if (state === 'timed_out') return 'TimeoutError'
    if (state === 'cancelled') return 'CancelledError'
    const { policy } = this.#plan
    const list = errors?.map(({ index, type }) => [index, type]) ?? []
    return (policy === 'gather' || policy === 'race') && list.length > 0 ? list[0] : list
  }
}

/** A group as its `[index, type]`s, an error of a job as one of those, one of the batch as its type. */
function summary(error: OutcomeError | null): unknown {
  if (error === null) return null
  if (error.errors !== undefined) return error.errors.map(({ index, type }) => [index, type])
  return error.index === undefined ? error.type : [error.index, error.type]
}
