import { expect } from 'vitest'
import { countsOf, ENDS, mayMove, stateAfter } from '../support/log-rules.ts'

/** An event as it comes over the wire; fields that not every type has are optional. */
export interface WireEvent {
  seq?: number
  type: string
  at?: string
  batchId: string
  jobId?: string
  index?: number
  attempt?: number
  cause?: string
  reason?: string | null
  decidedBy?: { jobId: string; index: number } | null
  state?: string
  error?: WireError | null
  job?: WireJob
  pending?: string[]
}

/** The error of a job or batch. */
export interface WireError {
  type: string
  code: string
  message: string
  jobId?: string
  index?: number
  errors?: { jobId: string; index: number; type: string; code: string; message: string }[]
  status?: number
}

/** A job as read. */
export interface WireJob {
  id: string
  batchId: string
  index: number
  name: string
  kind: string
  state: string
  attempts: number
  cancelRequests: number
  acceptedAt: string
  startedAt: string | null
  finishedAt: string | null
  cause: string | null
  reason: string | null
  waitingOn?: string | null
  // biome-ignore lint/suspicious/noExplicitAny: any JSON; a test knows what it asked for.
  result: any
  error: WireError | null
}

/** A batch as read. */
export interface WireBatch {
  id: string
  policy: string
  state: string
  name: string | null
  labels: Record<string, string>
  open: boolean
  n: number | null
  timeoutMs: number | null
  maxConcurrency: number | null
  counts: Record<string, number>
  acceptedAt: string
  settledAt: string | null
  drainedAt: string | null
  seq: number
  winner: { jobId: string; index: number } | null
  error: WireError | null
  cancel: { reason: string | null; at: string } | null
  links: Record<string, string>
}

const FAILURES = new Set(['failed', 'timed_out'])

/** What a replay of the log knows of a job. */
interface ReplayedJob {
  state: string
  started: number
  startedAt: string | null
  finishedAt: string | null
  cause: string | null
  reason: string | null
}

/** What a replay of the log knows of its batch. */
interface Replay {
  jobs: ReplayedJob[]
  aborting: WireEvent | null
  settled: WireEvent | null
  drained: boolean
  /** Failures in completion order up to the settling. */
  failures: WireEvent[]
  /** Successes up to the abort or the settling, and the first end before them. */
  firstEnd: WireEvent | null
  /** Ends while the batch was running, in order: what its policy decided by. */
  ends: WireEvent[]
}

/**
 * The invariants of semantics.md 6 over the whole log of one drained batch, by a model of its own: it knows states,
 * events and policies, and nothing of the engine. Replays the events, and compares what comes out with the views.
 *
 * @param options.restarts - Whether jobs may have been put back into the queue, by whoever took the batch up from one that is gone.
 */
export function checkLog(
  events: readonly WireEvent[],
  batch: WireBatch,
  jobs: readonly WireJob[],
  shielded: ReadonlySet<number> = new Set(),
  { restarts = false }: { restarts?: boolean } = {},
): void {
  checkNumbers(events, batch)
  const replay = replayOf(events, batch, shielded, restarts)
  checkJobs(replay, batch, jobs)
  checkCompletions(events, jobs)
  checkBatch(replay, batch)
  checkOutcome(replay, batch)
}

/** Invariant 3: numbers without gaps, one first and one last event, stamps that never run backwards. */
function checkNumbers(events: readonly WireEvent[], batch: WireBatch): void {
  expect(events.map(({ seq }) => seq)).toEqual(events.map((_, i) => i + 1))
  expect(events.every(({ batchId }) => batchId === batch.id)).toBe(true)
  expect([events[0]?.type, events.at(-1)?.type]).toEqual(['batch.accepted', 'batch.drained'])
  for (const type of ['batch.accepted', 'batch.settled', 'batch.drained'])
    expect([type, events.filter((event) => event.type === type).length]).toEqual([type, 1])
  const stamps = events.map(({ at }) => at ?? '')
  expect(stamps).toEqual([...stamps].sort())
  expect(batch.seq).toBe(events.length)
}

/** Invariants 1, 2 and 5, event by event. */
function replayOf(
  events: readonly WireEvent[],
  batch: WireBatch,
  shielded: ReadonlySet<number>,
  restarts: boolean,
): Replay {
  const replay: Replay = {
    jobs: [],
    aborting: null,
    settled: null,
    drained: false,
    failures: [],
    firstEnd: null,
    ends: [],
  }
  for (const event of events) {
    expect(replay.drained, 'an event follows batch.drained').toBe(false)
    if (restarts && isRequeued(event)) requeue(replay, event)
    else if (event.type.startsWith('job.')) replayJob(replay, event, shielded)
    else replayBatch(replay, event, batch, shielded)
  }
  return replay
}

/** A first `job.queued` has no attempt. */
function isRequeued({ type, attempt }: WireEvent): boolean {
  return type === 'job.queued' && attempt !== undefined
}

/** Whoever ran the job is gone. */
function requeue(replay: Replay, { index = -1, attempt, seq }: WireEvent): void {
  const job = replay.jobs[index]
  expect([job?.state, attempt], `job.queued of job ${index} (seq ${seq})`).toEqual(['running', job.started + 1])
  job.state = 'queued'
}

function replayJob(replay: Replay, event: WireEvent, shielded: ReadonlySet<number>): void {
  const index = event.index ?? -1
  const what = `${event.type} of job ${index} (seq ${event.seq})`
  if (event.type === 'job.queued') {
    expect(index, what).toBe(replay.jobs.length)
    expect(replay.aborting ?? replay.settled, what).toBeNull()
    replay.jobs.push({ state: 'queued', started: 0, startedAt: null, finishedAt: null, cause: null, reason: null })
    return
  }
  const job = replay.jobs[index]
  if (job === undefined) throw new Error(`${what}: there is no such job`)
  const to = stateAfter(event.type)
  expect(mayMove(job.state, to), `${what}: the job was ${job.state}`).toBe(true)
  job.state = to
  if (to === 'running') {
    job.started++
    job.startedAt = event.at ?? null
    expect(event.attempt, what).toBe(job.started)
    if (!shielded.has(index)) expect(replay.aborting, `${what} after batch.aborting`).toBeNull()
  } else if (event.cause !== undefined) job.cause = event.cause
  if (ENDS.has(to)) endReplayed(replay, job, event)
}

function endReplayed(replay: Replay, job: ReplayedJob, event: WireEvent): void {
  job.finishedAt = event.at ?? null
  job.cause = event.cause ?? null
  job.reason = event.reason ?? null
  const stopped = job.state === 'cancelled' || job.state === 'timed_out'
  expect(event.cause !== undefined, `${event.type} ${stopped ? 'has' : 'has no'} cause`).toBe(stopped)
  if (replay.settled !== null) return
  if (FAILURES.has(job.state)) replay.failures.push(event)
  if (replay.aborting !== null) return
  replay.firstEnd ??= event
  replay.ends.push(event)
}

function replayBatch(replay: Replay, event: WireEvent, batch: WireBatch, shielded: ReadonlySet<number>): void {
  const live = replay.jobs.flatMap(({ state }, index) => (ENDS.has(state) ? [] : [index]))
  if (event.type === 'batch.aborting') {
    expect(replay.aborting ?? replay.settled, 'batch.aborting comes once, before batch.settled').toBeNull()
    replay.aborting = event
  }
  if (event.type === 'batch.settled') {
    replay.settled = event
    if (batch.policy !== 'gather') expect(live.filter((index) => !shielded.has(index))).toEqual([])
    if (replay.aborting === null && batch.policy !== 'gather') expect(live).toEqual([])
  }
  if (event.type === 'batch.drained') {
    expect(replay.settled, 'batch.settled comes before batch.drained').not.toBeNull()
    expect(live, 'no job is live at batch.drained').toEqual([])
    replay.drained = true
  }
}

/** The replayed jobs are the jobs as read, in input order. */
function checkJobs(replay: Replay, batch: WireBatch, jobs: readonly WireJob[]): void {
  expect(jobs.length).toBe(replay.jobs.length)
  const seen = jobs.map((job, i) => ({
    id: job.id === `${batch.id}-${i}` && job.batchId === batch.id,
    index: job.index,
    state: job.state,
    attempts: job.attempts,
    started: job.startedAt !== null,
    finishedAt: job.finishedAt,
    cause: job.cause,
    reason: job.reason,
    error: job.error !== null,
  }))
  const replayed = replay.jobs.map((job, index) => ({
    id: true,
    index,
    state: job.state,
    attempts: job.started,
    started: job.startedAt !== null,
    finishedAt: job.finishedAt,
    cause: job.cause,
    reason: job.reason,
    error: job.state !== 'succeeded',
  }))
  expect(seen).toEqual(replayed)
  for (const [i, job] of jobs.entries()) {
    expect((job.startedAt ?? '') <= (replay.jobs[i]?.startedAt ?? ''), 'startedAt is not after job.started').toBe(true)
    if (job.startedAt) expect(job.acceptedAt <= job.startedAt && job.startedAt <= (job.finishedAt ?? '')).toBe(true)
  }
}

/** Each terminal event carries the view that stays. */
function checkCompletions(events: readonly WireEvent[], jobs: readonly WireJob[]): void {
  const carried = completionsOf(events)
  expect(carried.map(({ index }) => index).toSorted((a = 0, b = 0) => a - b)).toEqual(jobs.map(({ index }) => index))
  for (const { job } of carried) expect(job).toEqual(jobs[job?.index ?? -1])
}

/** The events that end jobs, in their order. */
export function completionsOf(events: readonly WireEvent[]): WireEvent[] {
  return events.filter(({ type }) => type.startsWith('job.') && ENDS.has(type.slice('job.'.length)))
}

function checkBatch(replay: Replay, batch: WireBatch): void {
  expect(batch.counts).toEqual(countsOf(replay.jobs.map(({ state }) => state)))
  expect({ state: batch.state, error: batch.error, settledAt: batch.settledAt, open: batch.open }).toEqual({
    state: replay.settled?.state,
    error: replay.settled?.error,
    settledAt: replay.settled?.at,
    open: false,
  })
  expect((batch.error === null) === (batch.state === 'succeeded')).toBe(true)
  expect(batch.drainedAt).not.toBeNull()
  expect(batch.winner?.index ?? null).toBe(winnerOf(replay, batch))
}

/** The job that decided the batch: the first success, the n-th, or the first end. */
function winnerOf({ ends }: Replay, { policy, n }: WireBatch): number | null {
  const successes = ends.filter(({ type }) => type === 'job.succeeded')
  const decider = { any: successes[0], hedge: successes[0], quorum: successes[(n ?? 1) - 1], race: ends[0] }[policy]
  return decider?.index ?? null
}

/** Semantics.md 1 and 4: errors that the policy counts, else cancel, else timeout, else the policy's own outcome. */
function checkOutcome(replay: Replay, batch: WireBatch): void {
  const { error } = batch
  const expected = expectedErrors(replay, batch)
  if (expected !== null) {
    expect(batch.state).toBe('failed')
    if (expected.single) expect([error?.index, error?.code]).toEqual([expected.single.index, codeOf(expected.single)])
    else
      expect(error?.errors?.map(({ index, code }) => [index, code])).toEqual(
        expected.all.map((event) => [event.index, codeOf(event)]),
      )
  } else if (batch.cancel !== null && batch.state !== 'succeeded') expect(batch.state).toBe('cancelled')
  else if (replay.aborting?.cause === 'batch_timeout') expect(batch.state).toBe('timed_out')
  else expect(['succeeded', 'timed_out', 'cancelled']).toContain(batch.state)
  if (batch.state === 'timed_out') expect(passed(batch)).toBeGreaterThanOrEqual(batch.timeoutMs ?? Infinity)
}

function expectedErrors(replay: Replay, batch: WireBatch): { single?: WireEvent; all: WireEvent[] } | null {
  const { failures, firstEnd } = replay
  const byUser = replay.jobs.length > 0 ? firstCancelledByUser(replay) : null
  switch (batch.policy) {
    case 'all_settled':
      return null
    case 'gather': {
      const first = byUser ?? failures[0]
      return first ? { single: first, all: [] } : null
    }
    case 'task_group':
      return failures.length > 0 ? { all: failures } : null
    case 'race':
      if (batch.winner === null || firstEnd === null || firstEnd.type === 'job.succeeded') return null
      return { single: firstEnd, all: [] }
    default:
      return batch.state === 'failed' ? { all: failures } : null
  }
}

/** A `gather` whose first error is a job that was cancelled by itself shows that; its settling event says which. */
function firstCancelledByUser({ settled }: Replay): WireEvent | null {
  const { error } = settled ?? {}
  if (error?.type !== 'CancelledError' || error.index === undefined) return null
  return { type: 'job.cancelled', batchId: '', index: error.index, cause: 'user' }
}

function codeOf({ type, job }: WireEvent): string | undefined {
  return type === 'job.cancelled' ? 'cancelled' : job?.error?.code
}

function passed(batch: WireBatch): number {
  return Date.parse(batch.settledAt ?? '') - Date.parse(batch.acceptedAt)
}

/**
 * Invariant 6 over the logs of batches that share slots: never more than `cap` of their jobs between `job.started` and
 * their end. Within one millisecond ends go first, so that what is found is there.
 */
export function checkCap(logs: readonly (readonly WireEvent[])[], cap: number): void {
  expect(mostAtOnce(logs)).toBeLessThanOrEqual(cap)
}

/** The most jobs that held a slot at once, by the stamps of the logs; may be one too low within a millisecond, never too high. */
export function mostAtOnce(logs: readonly (readonly WireEvent[])[]): number {
  const changes = logs.flatMap((events) => {
    const started = new Set<number>()
    return events.flatMap(({ type, at = '', index = -1 }) => {
      if (type === 'job.started') {
        started.add(index)
        return [{ at, by: 1 }]
      }
      if (!type.startsWith('job.') || !(ENDS.has(type.slice(4)) || type === 'job.queued')) return []
      // Put back into the queue, it holds none.
      if (!started.delete(index)) return []
      return [{ at, by: -1 }]
    })
  })
  changes.sort((a, b) => (a.at === b.at ? a.by - b.by : a.at < b.at ? -1 : 1))
  let now = 0
  let most = 0
  for (const { by } of changes) {
    now += by
    most = Math.max(most, now)
  }
  return most
}
