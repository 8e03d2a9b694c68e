import { isTerminal, Job } from '../../core/states.ts'
import { canReschedule, type Input, isSettled } from '../../core/step.ts'
import { JobFinishedError, TenantMovedError } from '../../errors.ts'
import { type CommonSpec, JobError } from '../../jobs/kind.ts'
import type { Store } from '../../store/store.ts'
import type { BatchView, Reschedule } from '../engine.ts'
import { liveView } from '../views.ts'
import type { LiveBatch } from './live-batch.ts'
import type { Runtime } from './runtime.ts'

/** What callers ask of live batches and jobs. Each decides at once, in memory, and answers when that is on disk. */
export class Commands {
  readonly #runtime: Runtime
  readonly #store: Store

  constructor(options: { runtime: Runtime; store: Store }) {
    this.#runtime = options.runtime
    this.#store = options.store
  }

  /** `cancelled` is whether the batch had no outcome yet. */
  async end(
    live: LiveBatch,
    input: Extract<Input, { type: 'stop' | 'cancelBatch' }>,
  ): Promise<{ cancelled: boolean; batch: BatchView }> {
    const cancelled = !isSettled(live.core)
    if (cancelled) this.#apply(live, input)
    const batch = liveView(live.id, live.header, live.core)
    await this.#recorded(live)
    return { cancelled, batch }
  }

  async close(live: LiveBatch): Promise<BatchView> {
    this.#apply(live, { type: 'close' })
    const batch = liveView(live.id, live.header, live.core)
    await this.#recorded(live)
    return batch
  }

  /** Resolves with whether the job had not ended yet. */
  async cancelJob(live: LiveBatch, index: number, reason: string | null): Promise<boolean> {
    const { states } = live.core
    const before = states[index]
    const cancelled = !isTerminal(before)
    if (cancelled) this.#apply(live, { type: 'cancelJob', index, reason })
    // A further cancel has no event, but the view counts it.
    if (before === Job.cancelling) this.#runtime.recordCancelling(live, index)
    await this.#recorded(live)
    return cancelled
  }

  /** @throws {JobFinishedError} when the job has ended or is being ended. */
  async reschedule(live: LiveBatch, index: number, change: Reschedule): Promise<void> {
    if (!canReschedule(live.core, index)) throw new JobFinishedError()
    const { deadlineMs, timeoutMs } = change
    const startedAt = live.attempts.get(index)?.startedAt ?? null
    this.#apply(live, { type: 'reschedule', index, deadlineMs, timeoutMs, startedAt })
    if (change.priority !== undefined) this.#reprioritize(live, index, change.priority)
    const { journal } = this.#runtime
    const kept = live.serially(async () => {
      await this.#keepSpec(live, index, change)
      await journal.committed()
    })
    // While the store cannot write, those behind wait for the spec, and the caller does not.
    await Promise.race([kept, this.#recorded(live).then(() => kept)])
  }

  /** What was asked is on record. @throws {TenantMovedError} perhaps not: then it may be asked again. {OverloadedError} */
  async #recorded(live: LiveBatch): Promise<void> {
    await this.#runtime.journal.recorded()
    if (live.tenant.moved === 'lost') throw new TenantMovedError()
  }

  #apply(live: LiveBatch, input: Input): void {
    this.#runtime.apply(live, input)
    // `close` and a changed `cancel` are state without an event.
    this.#runtime.journal.touch(live)
  }

  #reprioritize(live: LiveBatch, index: number, priority: number): void {
    live.queue.priorities.set(index, priority)
    this.#runtime.fair.requeue(live.queue, index, live.orderOf(index))
    this.#runtime.kick()
  }

  /** The job's spec as rescheduled, for a restart to find. One at a time: the next one reads what this one wrote. */
  async #keepSpec(live: LiveBatch, index: number, change: Reschedule): Promise<void> {
    const [text] = await this.#store.specs(live.no, { from: index, limit: 1 })
    if (text === undefined) return
    const kept = specOf(live, text, index)
    if (kept === null || live.tenant.deleted) return
    const { kind, name } = kept
    this.#runtime.journal.addJobs({
      no: live.no,
      from: index,
      kinds: [kind],
      names: [name ?? null],
      specs: live.specs.write([{ ...kept, ...change }]),
    })
  }
}

/** Null when its secrets cannot be opened: it stays as it is, for a key that does. */
function specOf(live: LiveBatch, text: string, index: number): CommonSpec | null {
  try {
    return live.specs.read(text, index)
  } catch (thrown) {
    if (thrown instanceof JobError) return null
    throw thrown
  }
}
