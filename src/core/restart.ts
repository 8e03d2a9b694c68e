import { acceptedAt, type Batch, type BatchPlan, Flag, type JobPlan, newBatch, noteCause } from './batch.ts'
import type { Effect, IndexedError } from './events.ts'
import type { BatchFacts } from './facts.ts'
import { cutOff } from './interrupt.ts'
import { startHedge } from './policy.ts'
import { type Cause, isTerminal, Job } from './states.ts'
import { armOrDue, armQueued, endStopped } from './step.ts'
import { enqueueReady, finish, type Turn } from './turn.ts'

/** A job that has not ended and is more than queued: it ran, runs no more, or was told to stop. */
export interface SavedJob {
  index: number
  state: number
  attempts: number
  cause: Cause | null
  reason: string | null
  cancelRequests: number
}

/** The jobs of a batch as the record has them. */
export interface SavedJobs {
  /** By index, see `Job`. */
  states: Uint8Array
  plan(index: number): JobPlan
  /** In input order. */
  unended: readonly SavedJob[]
  /** The failures that the policy reports, in completion order. */
  failures: IndexedError[]
}

/** The batch as it was when its last commit was written. */
export function restoreBatch(
  plan: BatchPlan,
  facts: BatchFacts,
  seq: number,
  at: { settledAt: number | null },
  jobs: SavedJobs,
): Batch {
  const batch = newBatch(plan)
  const { counts: _counts, accepted, ...rest } = facts
  Object.assign(batch, rest, { seq, accepted: [...accepted], settledAt: at.settledAt, failures: jobs.failures })
  batch.total = jobs.states.length
  batch.states = jobs.states
  batch.flags = new Uint8Array(batch.total)
  batch.causes = new Uint8Array(batch.total)
  batch.attempts.extend(batch.total, 0)
  for (let index = 0; index < batch.total; index++) restoreJob(batch, index, jobs.plan(index))
  for (const job of jobs.unended) restoreUnended(batch, job)
  return batch
}

function restoreJob(batch: Batch, index: number, plan: JobPlan): void {
  batch.timeouts.extend(1, plan.timeoutMs ?? -1)
  batch.counts[batch.states[index]]++
  if (batch.policy === 'hedge' && batch.phase === 'running' && index >= batch.released)
    batch.flags[index] |= Flag.hedged
  if (plan.shield) batch.flags[index] |= Flag.shield
  else if (!isTerminal(batch.states[index])) batch.liveUnshielded++
}

function restoreUnended(batch: Batch, job: SavedJob): void {
  batch.attempts.set(job.index, job.attempts)
  if (job.cause !== null) noteCause(batch, job.index, job.cause)
  if (job.cancelRequests > 0) batch.cancelRequests.set(job.index, job.cancelRequests)
  if (job.cause === 'user') batch.reasons.set(job.index, job.reason)
}

/**
 * The first turn after a restart. What was being stopped has stopped; what was running is queued again, before everything
 * else, or ends as interrupted; every clock goes on from acceptance, and one that ran out meanwhile is due now.
 *
 * @param repeats - Whether the attempt that was running at `index` is to be made again.
 */
export function restart(batch: Batch, jobs: SavedJobs, repeats: (index: number) => boolean, now: number): Effect[] {
  const turn: Turn = { batch, now, effects: [], releases: [] }
  const again = jobs.unended.filter(({ index }) => settleAttempt(turn, index, repeats))
  if (batch.timeoutMs !== null && batch.outcome === null)
    armOrDue(turn, 'batch', -1, batch.accepted[0].at + batch.timeoutMs)
  for (let index = 0; index < batch.total; index++) {
    if (batch.states[index] === Job.queued)
      armQueued(turn, index, planLeft(batch, index, jobs), acceptedAt(batch, index))
  }
  if (batch.policy === 'hedge') startHedge(turn)
  // What the ends above let go is enqueued here with all the others, once each.
  turn.effects = turn.effects.filter(({ type }) => type !== 'enqueue')
  const resumed = again.filter(({ index }) => batch.states[index] === Job.queued).map(({ index }) => index)
  for (const index of resumed) turn.effects.push({ type: 'enqueue', from: index, to: index + 1, resumed: true })
  let from = 0
  for (const index of resumed) {
    enqueueAccepted(turn, from, index)
    from = index + 1
  }
  enqueueAccepted(turn, from, batch.total)
  return finish(turn).filter(({ type }) => type !== 'release')
}

/** As `enqueueReady`, but in runs that were accepted together: each append has a place of its own in the queue. */
function enqueueAccepted(turn: Turn, from: number, to: number): void {
  let start = from
  for (const { from: next } of turn.batch.accepted) {
    if (next <= start || next >= to) continue
    enqueueReady(turn, start, next)
    start = next
  }
  enqueueReady(turn, start, to)
}

/** The clocks that still count: a job that has started once no longer waits for its first start. */
function planLeft(batch: Batch, index: number, jobs: SavedJobs): JobPlan {
  const plan = jobs.plan(index)
  return batch.attempts.get(index) === 0 ? plan : { ...plan, queueTimeoutMs: null, delayMs: 0 }
}

/** What became of an attempt that the end of the process cut off; true when the job waits to be started again. */
function settleAttempt(turn: Turn, index: number, repeats: (index: number) => boolean): boolean {
  const { batch } = turn
  if (batch.states[index] === Job.cancelling) endStopped(turn, index)
  if (batch.states[index] !== Job.running) return batch.states[index] === Job.queued
  const again = repeats(index)
  cutOff(turn, index, again)
  return again
}
