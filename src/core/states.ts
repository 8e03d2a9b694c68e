/** The states of a job as one byte each; the order is the order of a batch's `counts`. */
export const Job = {
  queued: 0,
  running: 1,
  cancelling: 2,
  succeeded: 3,
  failed: 4,
  timedOut: 5,
  cancelled: 6,
} as const

/** The names of the job states on the wire, by their byte. */
export const JOB_STATE_NAMES = [
  'queued',
  'running',
  'cancelling',
  'succeeded',
  'failed',
  'timed_out',
  'cancelled',
] as const
export type JobStateName = (typeof JOB_STATE_NAMES)[number]

/** Nothing follows a terminal state. */
export function isTerminal(state: number): boolean {
  return state >= Job.succeeded
}

/** A failure, as policies see it, is an end as `failed` or `timed_out`. */
export function isFailure(state: number): boolean {
  return state === Job.failed || state === Job.timedOut
}

/**
 * Where a batch is: `running` → (`aborting` →) `settled` → `drained`. A `gather` that failed is `settled` while its jobs
 * go on; an aborted batch with live shielded jobs likewise.
 */
export type Phase = 'running' | 'aborting' | 'settled' | 'drained'

/** The outcome of a batch. */
export type Outcome = 'succeeded' | 'failed' | 'timed_out' | 'cancelled'

/** How a batch decides its outcome, and what happens to the rest then. */
export type Policy = 'all_settled' | 'gather' | 'task_group' | 'any' | 'race' | 'quorum' | 'hedge'

/** Why a job was asked to stop by anything but its own clocks. The byte of a cause is its place here plus one. */
export const CANCEL_CAUSES = [
  'user',
  'sibling_failed',
  'batch_cancel',
  'batch_timeout',
  'stop',
  'decided',
  'shutdown',
] as const
export type CancelCause = (typeof CANCEL_CAUSES)[number]

/** A job's own clocks that can end it. The byte of a cause is its place here plus one. */
export const TIMEOUT_CAUSES = ['timeout', 'deadline', 'queue_timeout'] as const
export type TimeoutCause = (typeof TIMEOUT_CAUSES)[number]

/** Why a job that did not end by itself was stopped. */
export type Cause = CancelCause | TimeoutCause

/** Why a batch aborts. */
export type AbortCause = Exclude<CancelCause, 'user'>
