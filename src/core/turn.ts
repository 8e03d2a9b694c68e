import { type Batch, Flag, isReady, liveJobs, noteCause, noteCauses, reasonOf } from './batch.ts'
import type { Effect, EventType, LogEntry, TimerKind } from './events.ts'
import { outcomeOf } from './outcome.ts'
import { type AbortCause, type Cause, isTerminal, Job } from './states.ts'

/** One synchronous step of one batch (semantics.md 5): what it changed so far and what the engine will have to do. */
export interface Turn {
  batch: Batch
  now: number
  effects: Effect[]
  /** Slots to give back, after everything else. */
  releases: Effect[]
}

const TERMINAL_EVENT: Record<number, EventType> = {
  [Job.succeeded]: 'job.succeeded',
  [Job.failed]: 'job.failed',
  [Job.timedOut]: 'job.timed_out',
  [Job.cancelled]: 'job.cancelled',
}

export function log(turn: Turn, type: EventType, index: number, facts: Partial<LogEntry> = {}): void {
  const count = facts.count ?? 1
  const entry: LogEntry = { seq: turn.batch.seq + 1, count, type, at: turn.now, index, ...facts }
  turn.batch.seq += count
  turn.effects.push({ type: 'log', entry })
}

/** Start a clock; `index` -1 is the batch itself. */
export function arm(turn: Turn, timer: TimerKind, index: number, at: number): void {
  if (index >= 0) turn.batch.flags[index] |= Flag.armed
  turn.effects.push({ type: 'arm', timer, index, at })
}

function setState(batch: Batch, index: number, state: number): void {
  setStates(batch, index, index + 1, state)
}

/** The jobs from `from` up to but not including `to` are in one state. */
function setStates(batch: Batch, from: number, to: number, state: number): void {
  batch.counts[batch.states[from]] -= to - from
  batch.counts[state] += to - from
  batch.states.fill(state, from, to)
  if (!isTerminal(state)) return
  for (let i = from; i < to; i++) if ((batch.flags[i] & Flag.shield) === 0) batch.liveUnshielded--
}

/** Grant the slot: queued → running. */
export function startJob(turn: Turn, index: number): void {
  const { batch } = turn
  setState(batch, index, Job.running)
  const attempt = batch.attempts.get(index) + 1
  batch.attempts.set(index, attempt)
  log(turn, 'job.started', index, { attempt })
  if ((batch.flags[index] & Flag.armed) !== 0) turn.effects.push({ type: 'disarm', timer: 'queue_timeout', index })
  const timeoutMs = batch.timeouts.get(index)
  if (timeoutMs >= 0) arm(turn, 'timeout', index, turn.now + timeoutMs)
}

/** Step 1: move a live job to a terminal state, with its event; its slot, if it had one, is given back at the turn's end. */
export function endJob(turn: Turn, index: number, state: number, cause: Cause | null): void {
  const { batch } = turn
  const started = batch.states[index] !== Job.queued
  setState(batch, index, state)
  disarm(turn, index)
  const why = cause === null ? undefined : { cause, reason: state === Job.cancelled ? reasonOf(batch, index) : null }
  log(turn, TERMINAL_EVENT[state], index, why)
  if (started) turn.releases.push({ type: 'release', index })
}

function disarm(turn: Turn, index: number): void {
  if ((turn.batch.flags[index] & Flag.armed) === 0) return
  turn.batch.flags[index] &= ~Flag.armed
  turn.effects.push({ type: 'disarm', index })
}

/** Ask a live job to stop. A queued one ends here; of a running one the controller fires, once, for the first cause. */
export function stopJob(turn: Turn, index: number, cause: Cause): void {
  const { batch } = turn
  const state = batch.states[index]
  if (isTerminal(state)) return
  noteCause(batch, index, cause)
  if (state !== Job.running) return
  setState(batch, index, Job.cancelling)
  log(turn, 'job.cancelling', index, { cause })
  turn.effects.push({ type: 'abort', index, cause })
}

/** Step 2: from now on nothing unshielded starts; every live unshielded job is ended or told to stop, in input order. */
export function abortBatch(turn: Turn, cause: AbortCause, decidedBy?: number): void {
  const { batch } = turn
  if (batch.phase !== 'running') return
  batch.phase = 'aborting'
  batch.open = false
  log(turn, 'batch.aborting', -1, decidedBy === undefined ? { cause } : { cause, decidedBy })
  stopJobs(turn, cause)
  if (batch.policy === 'hedge') releaseHeld(turn)
}

/** `hedge`: what it still held back is shielded, and no delay will let it go any more. */
function releaseHeld(turn: Turn): void {
  const { batch } = turn
  const from = batch.released
  batch.released = batch.total
  for (let i = from; i < batch.total; i++) {
    if ((batch.flags[i] & Flag.hedged) === 0) continue
    batch.flags[i] &= ~Flag.hedged
    enqueueReady(turn, i, i + 1)
  }
}

/** End or stop every live job that is not deaf to `cause`, in input order: shutdown alone spares no shielded one. */
export function stopJobs(turn: Turn, cause: AbortCause): void {
  const { batch } = turn
  const deaf = cause === 'shutdown' ? 0 : Flag.shield
  let index = 0
  while (index < batch.total) {
    if ((batch.flags[index] & deaf) !== 0) index++
    else if (batch.states[index] === Job.queued) index = cancelQueuedRun(turn, index, cause, deaf)
    else stopJob(turn, index++, cause)
  }
}

/** All at once: of a hundred thousand jobs, what is done for each is what everybody waits for. */
function cancelQueuedRun(turn: Turn, from: number, cause: AbortCause, deaf: number): number {
  const { batch } = turn
  const to = endOfRun(batch, from, deaf)
  noteCauses(batch, from, to, cause)
  setStates(batch, from, to, Job.cancelled)
  for (let i = from; i < to; i++) disarm(turn, i)
  log(turn, 'job.cancelled', from, { count: to - from, cause, reason: reasonOf(batch, from) })
  return to
}

/** The index after the queued jobs in a row that can share an event: one that an interrupted attempt left in the queue has a record to keep, and so an event of its own. */
function endOfRun({ states, flags, attempts, total }: Batch, from: number, deaf: number): number {
  let to = from + 1
  if (attempts.get(from) !== 0) return to
  while (to < total && states[to] === Job.queued && (flags[to] & deaf) === 0 && attempts.get(to) === 0) to++
  return to
}

/** Let the ready jobs in a range start, as few runs as possible. */
export function enqueueReady(turn: Turn, from: number, to: number): void {
  let start = from
  while (start < to) {
    while (start < to && !isReady(turn.batch, start)) start++
    let end = start
    while (end < to && isReady(turn.batch, end)) end++
    if (end > start) turn.effects.push({ type: 'enqueue', from: start, to: end })
    start = end
  }
}

/** Step 3 and 4: settle and drain if that is due, then give the slots back. */
export function finish(turn: Turn): Effect[] {
  const { batch } = turn
  const ended = batch.phase === 'running' ? liveJobs(batch) === 0 && !batch.open : batch.liveUnshielded === 0
  if (ended && (batch.phase === 'running' || batch.phase === 'aborting')) settle(turn)
  if (batch.phase === 'settled' && liveJobs(batch) === 0) drain(turn)
  for (const release of turn.releases) turn.effects.push(release)
  return turn.effects
}

/** Fix the outcome for good. */
export function settle(turn: Turn): void {
  const { batch } = turn
  const { outcome, error } = outcomeOf(batch)
  batch.phase = 'settled'
  batch.open = false
  batch.outcome = outcome
  batch.error = error
  batch.settledAt = turn.now
  if (batch.timeoutMs !== null) turn.effects.push({ type: 'disarm', timer: 'batch', index: -1 })
  if (batch.hedgeArmed) turn.effects.push({ type: 'disarm', timer: 'hedge', index: -1 })
  log(turn, 'batch.settled', -1, { state: outcome, error })
}

function drain(turn: Turn): void {
  turn.batch.phase = 'drained'
  turn.batch.drainedAt = turn.now
  log(turn, 'batch.drained', -1)
}
