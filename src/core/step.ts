import {
  acceptedAt,
  addJobs,
  type Batch,
  cancelCause,
  Flag,
  type JobPlan,
  liveJobs,
  stopError,
  timeoutCause,
} from './batch.ts'
import type { Effect, ErrorFacts, TimerKind } from './events.ts'
import { cutOff } from './interrupt.ts'
import { applyImpossible, applyPolicy, armHedge, holdHedged, releaseNext, startHedge } from './policy.ts'
import { isTerminal, Job, type TimeoutCause } from './states.ts'
import { abortBatch, arm, endJob, enqueueReady, finish, log, startJob, stopJob, stopJobs, type Turn } from './turn.ts'

/** Everything that can happen to a batch. What no longer applies (a timer of an ended job, a second cancel) changes nothing. */
export type Input =
  /** The batch, or more jobs for it, entered. The first `accepted` is the submission, later ones are appends. */
  | { type: 'accepted'; jobs: readonly JobPlan[]; uncommitted?: boolean }
  /** The jobs from `from` up to but not including `to`, accepted as `uncommitted`, are on disk: now they may start. */
  | { type: 'committed'; from: number; to: number }
  /** The job got its slot. */
  | { type: 'granted'; index: number }
  /** The work returned a value, asked to stop or not. */
  | { type: 'returned'; index: number }
  /** The work threw an error of its own. */
  | { type: 'threw'; index: number; error: ErrorFacts }
  /** The work stopped because it was told to. */
  | { type: 'unwound'; index: number }
  /** The process in which the work ran is gone, and the work with it; `repeats`: it is to be done again. */
  | { type: 'interrupted'; index: number; repeats: boolean }
  /** A clock ran out; `index` -1 for `batch` and `hedge`. */
  | { type: 'due'; timer: TimerKind; index: number }
  | { type: 'cancelJob'; index: number; reason: string | null }
  | { type: 'cancelBatch'; reason: string | null }
  | { type: 'close' }
  | { type: 'stop' }
  /** The service stops and keeps nothing: it ends shielded jobs too, and those of a batch that has settled. */
  | { type: 'shutDown' }
  /** Absent: as it was; null: none. `startedAt` is when the running attempt got its slot. */
  | {
      type: 'reschedule'
      index: number
      deadlineMs?: number | null
      timeoutMs?: number | null
      startedAt: number | null
    }

/**
 * The whole of what a batch means, in one synchronous step: apply `input` to `batch` at `now` (milliseconds since the
 * epoch) and say what to do about it. No I/O, no timers, no promises: the engines do those.
 */
export function step(batch: Batch, input: Input, now: number): Effect[] {
  const turn: Turn = { batch, now, effects: [], releases: [] }
  apply(turn, input)
  return finish(turn)
}

function apply(turn: Turn, input: Input): void {
  switch (input.type) {
    case 'accepted':
      return accept(turn, input.jobs, input.uncommitted ?? false)
    case 'committed':
      return committed(turn, input.from, input.to)
    case 'granted':
      return grant(turn, input.index)
    case 'returned':
      return ended(turn, input.index, Job.succeeded, null)
    case 'threw':
      return ended(turn, input.index, Job.failed, input.error)
    case 'unwound':
      return unwound(turn, input.index)
    case 'interrupted':
      return interrupted(turn, input.index, input.repeats)
    case 'due':
      return due(turn, input.timer, input.index)
    case 'cancelJob':
      return cancelJob(turn, input.index, input.reason)
    case 'reschedule':
      return reschedule(turn, input)
    default:
      return endBatch(turn, input)
  }
}

function accept(turn: Turn, jobs: readonly JobPlan[], uncommitted: boolean): void {
  const { batch, now } = turn
  const first = batch.seq === 0
  if (first) log(turn, 'batch.accepted', -1)
  const from = addJobs(batch, jobs, now)
  if (jobs.length > 0) log(turn, 'job.queued', from, { count: jobs.length })
  if (uncommitted) for (let i = from; i < batch.total; i++) batch.flags[i] |= Flag.uncommitted
  // Before the jobs' clocks: what is due at once with the batch's timeout is cancelled by it, and what settles the
  // batch here finds its clock to disarm.
  // Without jobs there is nothing to time out (semantics.md 1: succeeded).
  if (first && batch.timeoutMs !== null && (jobs.length > 0 || batch.open))
    armOrDue(turn, 'batch', -1, now + batch.timeoutMs)
  const hedged = batch.policy === 'hedge' && batch.phase === 'running' && jobs.length > 0
  if (hedged) holdHedged(turn, from)
  for (let i = 0; i < jobs.length; i++) armQueued(turn, from + i, jobs[i], now)
  if (hedged) startHedge(turn)
  enqueueReady(turn, from, batch.total)
}

function committed(turn: Turn, from: number, to: number): void {
  for (let i = from; i < to; i++) turn.batch.flags[i] &= ~Flag.uncommitted
  enqueueReady(turn, from, to)
}

/** The clocks of a queued job, from its acceptance; one that has run out is due at once, and then the job does not start. */
export function armQueued(turn: Turn, index: number, plan: JobPlan, accepted: number): void {
  if (plan.timeoutMs === 0) due(turn, 'timeout', index)
  if (plan.deadlineMs != null) armOrDue(turn, 'deadline', index, accepted + plan.deadlineMs)
  if (plan.queueTimeoutMs != null) armOrDue(turn, 'queue_timeout', index, accepted + plan.queueTimeoutMs)
  const { delayMs = 0 } = plan
  // Not by the clock alone: it may have been set back since.
  if (delayMs <= 0) return
  const startAt = accepted + delayMs
  if (startAt <= turn.now || turn.batch.states[index] !== Job.queued) return
  turn.batch.flags[index] |= Flag.delayed
  arm(turn, 'delay', index, startAt)
}

/** Start a clock, or let it run out now when its time has passed. */
export function armOrDue(turn: Turn, timer: TimerKind, index: number, at: number): void {
  if (at <= turn.now) due(turn, timer, index)
  else if (index < 0 || !isTerminal(turn.batch.states[index])) arm(turn, timer, index, at)
}

function grant(turn: Turn, index: number): void {
  if (turn.batch.states[index] !== Job.queued) return
  startJob(turn, index)
  armHedge(turn, index)
}

/** Steps 1 and 2 for work that came to its own end. */
function ended(turn: Turn, index: number, state: number, error: ErrorFacts | null): void {
  const { states } = turn.batch
  if (states[index] !== Job.running && states[index] !== Job.cancelling) return
  endJob(turn, index, state, null)
  applyPolicy(turn, index, error)
}

function unwound(turn: Turn, index: number): void {
  if (turn.batch.states[index] === Job.cancelling) endStopped(turn, index)
}

/** Of an attempt that runs elsewhere; a restart has its own way, for all of a batch at once. */
function interrupted(turn: Turn, index: number, repeats: boolean): void {
  if (turn.batch.states[index] !== Job.running) return unwound(turn, index)
  cutOff(turn, index, repeats)
  if (!repeats) return
  // The next attempt has its own time, and goes before everything that is only queued.
  turn.effects.push({ type: 'disarm', timer: 'timeout', index })
  turn.effects.push({ type: 'enqueue', from: index, to: index + 1, resumed: true })
  turn.releases.push({ type: 'release', index })
}

/** A job that ends because it was stopped: any cause but its own clocks makes it cancelled. */
export function endStopped(turn: Turn, index: number): void {
  const { batch } = turn
  const cancelled = cancelCause(batch, index)
  const cause = cancelled ?? timeoutCause(batch, index)
  endJob(turn, index, cancelled === null ? Job.timedOut : Job.cancelled, cause)
  applyPolicy(turn, index, stopError(cause, batch.reasons.get(index) ?? null))
}

function due(turn: Turn, timer: TimerKind, index: number): void {
  switch (timer) {
    case 'batch':
      return batchDue(turn)
    case 'hedge':
      turn.batch.hedgeArmed = false
      return turn.batch.phase === 'running' ? releaseNext(turn) : undefined
    case 'delay':
      turn.batch.flags[index] &= ~Flag.delayed
      return enqueueReady(turn, index, index + 1)
    default:
      return jobDue(turn, timer, index)
  }
}

function batchDue(turn: Turn): void {
  const { batch } = turn
  if (batch.phase !== 'running' && batch.phase !== 'aborting') return
  batch.timeoutFired = true
  // After a restart the last job may have ended in this very turn: there is nothing to stop then.
  if (liveJobs(batch) > 0 || batch.open) abortBatch(turn, 'batch_timeout')
}

function jobDue(turn: Turn, cause: TimeoutCause, index: number): void {
  const { batch } = turn
  const state = batch.states[index]
  if (cause === 'queue_timeout' && state !== Job.queued) return
  stopJob(turn, index, cause)
  if (state === Job.queued) endStopped(turn, index)
}

function cancelJob(turn: Turn, index: number, reason: string | null): void {
  const { batch } = turn
  const state = batch.states[index]
  if (isTerminal(state)) return
  batch.cancelRequests.set(index, (batch.cancelRequests.get(index) ?? 0) + 1)
  if (cancelCause(batch, index) === null) batch.reasons.set(index, reason)
  stopJob(turn, index, 'user')
  if (state === Job.queued) endStopped(turn, index)
}

function endBatch(turn: Turn, input: Extract<Input, { type: 'cancelBatch' | 'close' | 'stop' | 'shutDown' }>): void {
  const { batch } = turn
  if (isSettled(batch)) return input.type === 'shutDown' ? stopJobs(turn, 'shutdown') : undefined
  switch (input.type) {
    case 'close':
      batch.open = false
      return batch.phase === 'running' ? applyImpossible(turn) : undefined
    case 'stop':
      return abortBatch(turn, 'stop')
    case 'shutDown':
      batch.shutDown = true
      abortBatch(turn, 'shutdown')
      // An aborting batch left its shielded jobs alone.
      return stopJobs(turn, 'shutdown')
    default:
      batch.cancel ??= { reason: input.reason, at: turn.now }
      return abortBatch(turn, 'batch_cancel')
  }
}

function reschedule(turn: Turn, input: Extract<Input, { type: 'reschedule' }>): void {
  const { batch } = turn
  const { index, deadlineMs, timeoutMs } = input
  if (!canReschedule(batch, index)) return
  if (deadlineMs === null) turn.effects.push({ type: 'disarm', timer: 'deadline', index })
  else if (deadlineMs !== undefined) armOrDue(turn, 'deadline', index, acceptedAt(batch, index) + deadlineMs)
  if (timeoutMs === undefined || !canReschedule(batch, index)) return
  batch.timeouts.set(index, timeoutMs ?? -1)
  if (timeoutMs === 0) due(turn, 'timeout', index)
  else if (timeoutMs === null) turn.effects.push({ type: 'disarm', timer: 'timeout', index })
  else if (batch.states[index] === Job.running)
    armOrDue(turn, 'timeout', index, (input.startedAt ?? turn.now) + timeoutMs)
}

/** Whether a job's clocks can still be moved: not once it ends or is being ended ("expiry first: refused"). */
export function canReschedule(batch: Batch, index: number): boolean {
  return batch.states[index] === Job.queued || batch.states[index] === Job.running
}

/** Whether a batch takes more jobs: `ok`, or why not. */
export function canAppend(batch: Batch): 'ok' | 'shutting_down' | 'finished' {
  if (batch.phase === 'running') return 'ok'
  return batch.phase === 'aborting' ? 'shutting_down' : 'finished'
}

/** Whether the outcome is fixed, so that a cancel comes too late. */
export function isSettled(batch: Batch): boolean {
  return batch.phase === 'settled' || batch.phase === 'drained'
}
