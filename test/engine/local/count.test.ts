import { describe, expect, it } from 'vitest'
import type { JobPlan } from '../../../src/core/batch.ts'
import type { LogEntry } from '../../../src/core/events.ts'
import { type Input, step } from '../../../src/core/step.ts'
import type { EndOnRecord } from '../../../src/engine/local/ahead.ts'
import { RunningAttempt } from '../../../src/engine/local/attempts.ts'
import { count, counted } from '../../../src/engine/local/count.ts'
import { Timers } from '../../../src/engine/local/timers.ts'
import { EngineCounts } from '../../../src/metrics/engine-counts.ts'
import type { CommitGroup, Store } from '../../../src/store/store.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { liveBatch } from './live.ts'

const KINDS = ['fetch', 'sleep']

/** A batch of jobs of these kinds, whose turns are counted; its clock stands at 0. */
function start(kinds: string[], plans: JobPlan[] = kinds.map(() => ({}))) {
  const counts = new EngineCounts(KINDS)
  const live = liveBatch()
  const timers = new Timers({ clock: new FakeClock() })
  /** One turn of the core at an instant. */
  const turn = (input: Input, now: number, end?: EndOnRecord): LogEntry[] => {
    if (input.type === 'granted')
      live.attempts.set(input.index, new RunningAttempt({ startedAt: now, timers, onStuck: () => undefined }))
    const entries = step(live.core, input, now).flatMap((effect) => (effect.type === 'log' ? [effect.entry] : []))
    for (const entry of entries) count(counts, live, entry, end)
    return entries
  }
  for (const kind of kinds) live.kinds.extend(1, counts.kindNo(kind))
  turn({ type: 'accepted', jobs: plans }, 0)
  const [fetch, sleep] = counts.kinds
  if (fetch === undefined || sleep === undefined) throw new Error('There are two kinds.')
  return { counts, live, turn, fetch, sleep }
}

const ends = (of: { entries(): Iterable<[string, number]> }) => Object.fromEntries(of.entries())

describe('count', () => {
  it('counts jobs as accepted, each under its kind', () => {
    const { fetch, sleep } = start(['fetch', 'sleep', 'sleep'])

    expect([fetch.accepted, sleep.accepted]).toEqual([1, 2])
  })

  it('counts what is appended as well', () => {
    const { turn, fetch, live, counts } = start(['fetch'])
    live.kinds.extend(2, counts.kindNo('fetch'))

    turn({ type: 'accepted', jobs: [{}, {}], uncommitted: true }, 5)

    expect(fetch.accepted).toBe(3)
  })

  it('times the wait from acceptance to the start, in seconds', () => {
    const { turn, fetch } = start(['fetch'])

    turn({ type: 'granted', index: 0 }, 2_000)

    expect([fetch.started, fetch.wait.count, fetch.wait.sum]).toEqual([1, 1, 2])
  })

  it('takes no time for less than none when the clock is behind that of another machine', () => {
    const { turn, fetch, counts } = start(['fetch'])

    turn({ type: 'granted', index: 0 }, -5_000)
    turn({ type: 'returned', index: 0 }, -6_000)

    const duration = counts.policy('all_settled').duration
    expect([fetch.wait, fetch.duration, duration].map(({ count, sum }) => [count, sum])).toEqual([
      [1, 0],
      [1, 0],
      [1, 0],
    ])
  })

  it('takes the wait of what was appended from when that was', () => {
    const { turn, sleep, live, counts } = start(['fetch'])
    live.kinds.extend(1, counts.kindNo('sleep'))
    turn({ type: 'accepted', jobs: [{}], uncommitted: false }, 3_000)

    turn({ type: 'granted', index: 1 }, 4_000)

    expect(sleep.wait.sum).toBe(1)
  })

  it('times an attempt from its start to the end of the job', () => {
    const { turn, fetch } = start(['fetch'])
    turn({ type: 'granted', index: 0 }, 2_000)

    turn({ type: 'returned', index: 0 }, 2_500)

    expect([fetch.duration.count, fetch.duration.sum]).toEqual([1, 0.5])
    expect(ends(fetch.ends.succeeded)).toEqual({ none: 1 })
  })

  it('has the code of a failure from the attempt', () => {
    const { turn, fetch } = start(['fetch'])
    const facts = { type: 'FetchError', code: 'dns_failed', message: '' }
    turn({ type: 'granted', index: 0 }, 1)

    turn({ type: 'threw', index: 0, error: facts }, 2, { type: 'threw', facts, error: '{}', result: null })

    expect(ends(fetch.ends.failed)).toEqual({ dns_failed: 1 })
  })

  it('counts an attempt that was cut off as repeated when it starts again, and its wait once', () => {
    const { turn, fetch } = start(['fetch'])
    turn({ type: 'granted', index: 0 }, 1_000)
    turn({ type: 'interrupted', index: 0, repeats: true }, 2_000)

    turn({ type: 'granted', index: 0 }, 9_000)

    expect([fetch.accepted, fetch.started, fetch.repeated, fetch.wait.count]).toEqual([1, 2, 1, 1])
    expect(fetch.duration.count).toBe(0)
  })

  it('has an attempt that was cut off and is not repeated fail as interrupted', () => {
    const { turn, fetch } = start(['fetch'])
    turn({ type: 'granted', index: 0 }, 1)

    turn({ type: 'interrupted', index: 0, repeats: false }, 2)

    expect(ends(fetch.ends.failed)).toEqual({ interrupted: 1 })
  })

  it('has the cause of a cancellation, of jobs of each kind, and no attempt', () => {
    const { turn, fetch, sleep } = start(['sleep', 'fetch', 'sleep', 'sleep'])

    turn({ type: 'cancelBatch', reason: null }, 7)

    expect([ends(sleep.ends.cancelled), ends(fetch.ends.cancelled)]).toEqual([{ batch_cancel: 3 }, { batch_cancel: 1 }])
    expect([sleep.duration.count, fetch.duration.count]).toEqual([0, 0])
  })

  it('has the clock that a job ended by', () => {
    const { turn, sleep } = start(['sleep'], [{ queueTimeoutMs: 5 }])

    turn({ type: 'due', timer: 'queue_timeout', index: 0 }, 5)

    expect(ends(sleep.ends.timed_out)).toEqual({ queue_timeout: 1 })
  })

  it('counts batches by policy as they are accepted and settle, with the time between', () => {
    const { turn, counts } = start(['sleep'])
    turn({ type: 'granted', index: 0 }, 1_000)

    turn({ type: 'returned', index: 0 }, 4_000)

    const policy = counts.policy('all_settled')
    expect([policy.accepted, ends(policy.settled), policy.duration.sum]).toEqual([1, { succeeded: 1 }, 4])
  })
})

describe('a store that is counted', () => {
  const none: CommitGroup = { batches: [], jobs: [], heads: [], records: [], logs: [] }

  function open(commit: () => Promise<void>) {
    const counts = new EngineCounts(KINDS)
    const clock = new FakeClock()
    const store = { commit, expire: async () => 3 } as Partial<Store> as Store // Nothing else is called.
    return { counts, clock, store: counted(store, counts, clock) }
  }

  it('times commits, and counts the rows of each', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    const { store, counts, clock } = open(() => promise)
    const jobs = { no: 1, from: 0, kinds: ['fetch', 'fetch'], names: [null, null], specs: ['{}', '{}'] }
    const record = { no: 1, index: 0, count: 7 } as CommitGroup['records'][number] // Of which the count is looked at.

    const committed = store.commit({ ...none, jobs: [jobs], records: [record], logs: [{ no: 1, entries: [] }] })
    clock.advance(250)
    resolve()
    await committed

    expect([counts.commits.count, counts.commits.sum]).toEqual([1, 0.25])
    expect(counts.commitRows.sum).toBe(2 + 7 + 1)
  })

  it('does not time those that fail, and says what the store says', async () => {
    const { store, counts } = open(() => Promise.reject(new Error('full')))

    await expect(store.commit(none)).rejects.toThrow('full')

    expect([counts.commits.count, counts.commitRows.count]).toEqual([0, 0])
  })

  it('counts deleted rows', async () => {
    const { store, counts } = open(() => Promise.resolve())
    const step = { now: 0, drainedBefore: 0, keysBefore: 0, tombstonesBefore: 0 }

    expect(await store.expire(step)).toBe(3)
    await store.expire(step)

    expect(counts.rowsDeleted).toBe(6)
  })
})
