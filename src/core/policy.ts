import { type Batch, Flag, liveJobs } from './batch.ts'
import type { ErrorFacts } from './events.ts'
import { isFailure, isTerminal, Job, type Policy } from './states.ts'
import { abortBatch, arm, enqueueReady, settle, type Turn } from './turn.ts'

/** What a policy does when the job at `index` has ended in `state` while the batch was running. */
type Rule = (turn: Turn, index: number, state: number) => void

const RULES: Record<Policy, Rule> = {
  all_settled: () => undefined,
  gather: (turn, _index, state) => {
    if (failsGather(turn.batch, state)) settle(turn)
  },
  task_group: (turn, index, state) => {
    if (isFailure(state)) abortRest(turn, 'sibling_failed', index)
  },
  any: (turn, index, state) => {
    if (state === Job.succeeded) decide(turn, 'succeeded', index)
  },
  hedge: (turn, index, state) => {
    if (state === Job.succeeded) decide(turn, 'succeeded', index)
    else if (index < turn.batch.released) releaseNext(turn)
  },
  race: (turn, index, state) => decide(turn, state === Job.succeeded ? 'succeeded' : 'failed', index),
  quorum: (turn, index, state) => {
    if (state === Job.succeeded && turn.batch.counts[Job.succeeded] >= turn.batch.n) decide(turn, 'succeeded', index)
  },
}

/** Step 2: note the failure, if it is one that the policy reports, and let the policy decide. */
export function applyPolicy(turn: Turn, index: number, error: ErrorFacts | null): void {
  const { batch } = turn
  if (batch.phase !== 'running' && batch.phase !== 'aborting') return
  const state = batch.states[index]
  if (error !== null && reports(batch, state))
    batch.failures.push({ index, type: error.type, code: error.code, message: error.message })
  if (batch.phase !== 'running') return
  RULES[batch.policy](turn, index, state)
  if (batch.phase === 'running') applyImpossible(turn, index)
}

/** `any`, `hedge` and `quorum` fail, and `race` too, once no success can come any more: after an end, and after `close`. */
export function applyImpossible(turn: Turn, decidedBy?: number): void {
  const { batch } = turn
  if (batch.open || batch.decided !== null) return
  const live = liveJobs(batch)
  const needed = batch.policy === 'quorum' ? batch.n - batch.counts[Job.succeeded] : 1
  if (!NEEDS_SUCCESS.has(batch.policy) || live >= needed) return
  batch.decided = 'failed'
  abortRest(turn, 'decided', decidedBy)
}

const NEEDS_SUCCESS: ReadonlySet<Policy> = new Set(['any', 'hedge', 'quorum', 'race'])

/** A job cancelled by itself is an error for `gather` and `race` only, and only while nothing else ends the batch. */
function reports(batch: Batch, state: number): boolean {
  switch (batch.policy) {
    case 'all_settled':
      return false
    case 'gather':
      return batch.failures.length === 0 && (isFailure(state) || (state === Job.cancelled && batch.phase === 'running'))
    case 'race':
      return batch.phase === 'running' && state !== Job.succeeded
    default:
      return isFailure(state)
  }
}

function failsGather(batch: Batch, state: number): boolean {
  return state !== Job.succeeded && batch.failures.length > 0
}

function decide(turn: Turn, decided: 'succeeded' | 'failed', index: number): void {
  turn.batch.decided = decided
  turn.batch.winner = index
  abortRest(turn, 'decided', index)
}

/** With nothing left to stop the batch goes straight to its end. */
function abortRest(turn: Turn, cause: 'sibling_failed' | 'decided', decidedBy?: number): void {
  if (liveJobs(turn.batch) > 0 || turn.batch.open) abortBatch(turn, cause, decidedBy)
}

/** `hedge`: hold back every job from `from` on; `startHedge` then lets go what is due. */
export function holdHedged({ batch }: Turn, from: number): void {
  for (let i = from; i < batch.total; i++) batch.flags[i] |= Flag.hedged
}

/** `hedge`: with jobs accepted the next goes if the one let go last has ended, else the delay runs. The caller enqueues. */
export function startHedge(turn: Turn): void {
  const newest = turn.batch.released - 1
  if (newest < 0 || isTerminal(turn.batch.states[newest])) releaseNext(turn, false)
  else armHedge(turn, newest)
}

/** `hedge`: let the next job go that is still queued. */
export function releaseNext(turn: Turn, enqueue = true): void {
  const { batch } = turn
  disarmHedge(turn)
  let next = batch.released
  while (next < batch.total && batch.states[next] !== Job.queued) next++
  batch.released = Math.min(next + 1, batch.total)
  if (next >= batch.total) return
  batch.flags[next] &= ~Flag.hedged
  if (enqueue) enqueueReady(turn, next, next + 1)
}

/** `hedge`: when the job let go last has started, the next follows after `hedgeDelayMs` (asyncio.staggered_race). */
export function armHedge(turn: Turn, started: number): void {
  const { batch } = turn
  const last = batch.policy === 'hedge' && started === batch.released - 1 && batch.released < batch.total
  if (!last || batch.hedgeArmed || batch.phase !== 'running' || batch.states[started] === Job.queued) return
  batch.hedgeArmed = true
  arm(turn, 'hedge', -1, turn.now + batch.hedgeDelayMs)
}

function disarmHedge(turn: Turn): void {
  if (!turn.batch.hedgeArmed) return
  turn.batch.hedgeArmed = false
  turn.effects.push({ type: 'disarm', timer: 'hedge', index: -1 })
}
