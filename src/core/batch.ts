import { Column, grownBytes } from './column.ts'
import type { ErrorFacts, IndexedError, OutcomeError } from './events.ts'
import {
  CANCEL_CAUSES,
  type CancelCause,
  type Cause,
  Job,
  type Outcome,
  type Phase,
  type Policy,
  TIMEOUT_CAUSES,
  type TimeoutCause,
} from './states.ts'

/** What the core must know of a job to schedule its life; milliseconds, null or absent: none. */
export interface JobPlan {
  timeoutMs?: number | null
  deadlineMs?: number | null
  queueTimeoutMs?: number | null
  delayMs?: number
  shield?: boolean
}

/** How a batch was asked to behave; see semantics.md 1. */
export interface BatchPlan {
  policy: Policy
  /** `quorum`: how many successes decide it. */
  n?: number | null
  /** `hedge`: milliseconds between the starts of two jobs. */
  hedgeDelayMs?: number | null
  /** Milliseconds from acceptance. */
  timeoutMs?: number | null
  open?: boolean
}

/** The bits of {@link Batch.flags}. */
export const Flag = { shield: 1, delayed: 2, hedged: 4, armed: 8, uncommitted: 16 } as const

/** What keeps a queued job from starting. */
const HELD = Flag.delayed | Flag.hedged | Flag.uncommitted

/** A batch's whole state: a few bytes a job, whatever the job is. Changed by `step` and by nothing else. */
export interface Batch {
  readonly policy: Policy
  readonly n: number
  readonly hedgeDelayMs: number
  readonly timeoutMs: number | null
  open: boolean
  phase: Phase
  outcome: Outcome | null
  error: OutcomeError | null
  /** The number of the newest event. */
  seq: number
  settledAt: number | null
  drainedAt: number | null
  /** From which job on, and when, jobs were accepted: one entry for the submission and each append. */
  accepted: { from: number; at: number }[]

  total: number
  /** Jobs by state, see `Job`. */
  counts: Int32Array
  liveUnshielded: number
  states: Uint8Array
  flags: Uint8Array
  /** Low nibble: the first cancel cause; high nibble: the first of the job's own clocks that fired. Zero: none. */
  causes: Uint8Array
  attempts: Column
  /** Milliseconds from the start of an attempt; -1: none. */
  timeouts: Column
  /** Reasons and counts of the cancels asked for single jobs. */
  reasons: Map<number, string | null>
  cancelRequests: Map<number, number>

  /** Failures that the policy reports, in completion order. */
  failures: IndexedError[]
  winner: number | null
  /** Set once the policy has decided by itself. */
  decided: 'succeeded' | 'failed' | null
  cancel: { reason: string | null; at: number } | null
  timeoutFired: boolean
  /** The service ended it because it stops and keeps nothing. */
  shutDown: boolean
  /** `hedge`: jobs below this index have been let go. */
  released: number
  /** `hedge`: the clock that lets the next job go is running. */
  hedgeArmed: boolean
}

/** A batch before its first input, `accepted`. */
export function newBatch(plan: BatchPlan): Batch {
  return {
    policy: plan.policy,
    n: plan.n ?? 0,
    hedgeDelayMs: plan.hedgeDelayMs ?? 0,
    timeoutMs: plan.timeoutMs ?? null,
    open: plan.open ?? false,
    phase: 'running',
    outcome: null,
    error: null,
    seq: 0,
    settledAt: null,
    drainedAt: null,
    accepted: [],
    total: 0,
    counts: new Int32Array(7),
    liveUnshielded: 0,
    states: new Uint8Array(0),
    flags: new Uint8Array(0),
    causes: new Uint8Array(0),
    attempts: new Column(),
    timeouts: new Column(),
    reasons: new Map(),
    cancelRequests: new Map(),
    failures: [],
    winner: null,
    decided: null,
    cancel: null,
    timeoutFired: false,
    shutDown: false,
    released: 0,
    hedgeArmed: false,
  }
}

/** Make room for jobs and enter them as queued; returns the index of the first. */
export function addJobs(batch: Batch, plans: readonly JobPlan[], now: number): number {
  const from = batch.total
  batch.total += plans.length
  batch.states = grownBytes(batch.states, batch.total)
  batch.flags = grownBytes(batch.flags, batch.total)
  batch.causes = grownBytes(batch.causes, batch.total)
  batch.attempts.extend(plans.length, 0)
  batch.counts[Job.queued] += plans.length
  batch.accepted.push({ from, at: now })
  let shielded = 0
  for (let i = 0; i < plans.length; i++) {
    batch.timeouts.extend(1, plans[i].timeoutMs ?? -1)
    if (plans[i].shield) {
      batch.flags[from + i] |= Flag.shield
      shielded++
    }
  }
  batch.liveUnshielded += plans.length - shielded
  return from
}

/** Jobs that have not ended. */
export function liveJobs(batch: Batch): number {
  return batch.counts[Job.queued] + batch.counts[Job.running] + batch.counts[Job.cancelling]
}

/** When the job at `index` was accepted, in milliseconds since the epoch. */
export function acceptedAt(batch: Batch, index: number): number {
  let at = 0
  for (const segment of batch.accepted) {
    if (segment.from > index) break
    at = segment.at
  }
  return at
}

export function isShielded(batch: Batch, index: number): boolean {
  return (batch.flags[index] & Flag.shield) !== 0
}

/** True when a queued job may start: neither its `delayMs` nor the hedge holds it back, and it is on disk. */
export function isReady(batch: Batch, index: number): boolean {
  return batch.states[index] === Job.queued && (batch.flags[index] & HELD) === 0
}

/** Note why a job is to stop; of each sort the first is kept. */
export function noteCause(batch: Batch, index: number, cause: Cause): void {
  noteCauses(batch, index, index + 1, cause)
}

/** Note why the jobs from `from` up to but not including `to` are to stop. */
export function noteCauses({ causes }: Batch, from: number, to: number, cause: Cause): void {
  const cancel = CANCEL_CAUSES.indexOf(cause as CancelCause) + 1
  const bits = cancel > 0 ? cancel : (TIMEOUT_CAUSES.indexOf(cause as TimeoutCause) + 1) << 4
  const sort = cancel > 0 ? 0x0f : 0xf0
  for (let i = from; i < to; i++) if ((causes[i] & sort) === 0) causes[i] |= bits
}

/** The first cancel cause noted for a job, or null. */
export function cancelCause(batch: Batch, index: number): CancelCause | null {
  return CANCEL_CAUSES[(batch.causes[index] & 15) - 1] ?? null
}

/** The first of a job's own clocks that fired, or null. */
export function timeoutCause(batch: Batch, index: number): TimeoutCause | null {
  return TIMEOUT_CAUSES[(batch.causes[index] >> 4) - 1] ?? null
}

/** The reason that a cancelled job shows: its own first one, or its batch's. */
export function reasonOf(batch: Batch, index: number): string | null {
  if (batch.reasons.has(index)) return batch.reasons.get(index) ?? null
  return cancelCause(batch, index) === 'batch_cancel' ? (batch.cancel?.reason ?? null) : null
}

/** The error of a job that was cancelled or timed out: the record need not keep it. */
export function stopError(cause: Cause | null, reason: string | null): ErrorFacts {
  switch (cause) {
    case 'timeout':
      return { type: 'TimeoutError', code: 'timeout', message: 'The attempt was not finished within its timeoutMs.' }
    case 'deadline':
      return {
        type: 'TimeoutError',
        code: 'deadline',
        message: 'The job was not finished by its deadlineMs after acceptance.',
      }
    case 'queue_timeout':
      return {
        type: 'TimeoutError',
        code: 'queue_timeout',
        message: 'The job did not start within its queueTimeoutMs.',
      }
    default:
      return { type: 'CancelledError', code: 'cancelled', message: reason ?? cancelMessage(cause) }
  }
}

function cancelMessage(cause: CancelCause | null): string {
  return cause === null || cause === 'user' ? 'The job was cancelled.' : `The job was cancelled: ${cause}.`
}
