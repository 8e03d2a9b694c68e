import type { ErrorFacts } from './events.ts'
import { applyPolicy } from './policy.ts'
import { Job } from './states.ts'
import { endJob, log, type Turn } from './turn.ts'

/** The error of an attempt that was cut off with the process it ran in, and that is not repeated. */
export const INTERRUPTED: ErrorFacts = {
  type: 'InterruptedError',
  code: 'interrupted',
  message: 'The service stopped while the attempt was running, and its rule on restart is not to repeat it.',
}

/** What becomes of a running job whose attempt was cut off: queued again for the next attempt, or failed as interrupted. */
export function cutOff(turn: Turn, index: number, repeats: boolean): void {
  if (repeats) return requeue(turn, index)
  endJob(turn, index, Job.failed, null)
  applyPolicy(turn, index, INTERRUPTED)
}

function requeue(turn: Turn, index: number): void {
  const { batch } = turn
  batch.counts[Job.running]--
  batch.counts[Job.queued]++
  batch.states[index] = Job.queued
  log(turn, 'job.queued', index, { attempt: batch.attempts.get(index) + 1 })
}
