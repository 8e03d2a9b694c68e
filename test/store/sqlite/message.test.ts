import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { LogEntry } from '../../../src/core/events.ts'
import { EVENT_TYPES } from '../../../src/store/entries.ts'
import { packGroup, unpackGroup } from '../../../src/store/sqlite/message.ts'
import type { CommitGroup, JobRecord, NewJobs } from '../../../src/store/store.ts'

const text = fc.string()
const no = fc.integer({ min: 1, max: 2 ** 32 })
const ms = fc.double({ min: 0, max: 4e12, noNaN: true })
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null })

const results: fc.Arbitrary<JobRecord['result']> = fc.oneof(
  maybe(text),
  fc.tuple(text, fc.uint8Array({ maxLength: 8 }), text),
)

const records: fc.Arbitrary<JobRecord> = fc.record({
  no,
  index: fc.nat(2 ** 20),
  count: fc.integer({ min: 1, max: 2 ** 20 }),
  state: fc.nat(6),
  attempts: fc.nat(9),
  startedAt: maybe(ms),
  finishedAt: maybe(ms),
  cause: maybe(text),
  reason: maybe(text),
  cancelRequests: fc.nat(3),
  result: results,
  error: maybe(text),
})

const facts = fc.record(
  {
    attempt: fc.integer({ min: 1, max: 9 }),
    cause: fc.constantFrom('user' as const, 'timeout' as const),
    reason: maybe(text),
    decidedBy: fc.nat(5),
    state: fc.constantFrom('succeeded' as const, 'failed' as const),
    error: maybe(fc.record({ type: text, code: text, message: text })),
  },
  { requiredKeys: [] },
)

/** Entries without a gap between them. */
const entries: fc.Arbitrary<LogEntry[]> = fc
  .tuple(
    fc.integer({ min: 1, max: 1e6 }),
    fc.array(
      fc.record({
        count: fc.integer({ min: 1, max: 1_000 }),
        type: fc.constantFrom(...EVENT_TYPES),
        at: ms,
        index: fc.integer({ min: -1, max: 1_000 }),
        facts,
      }),
      { maxLength: 6 },
    ),
  )
  .map(([first, list]) => {
    let seq = first
    return list.map(({ facts: rare, ...entry }) => {
      const whole = { seq, ...entry, ...rare } as LogEntry
      seq += entry.count
      return whole
    })
  })

const jobs: fc.Arbitrary<NewJobs> = fc
  .array(fc.tuple(fc.constantFrom('fetch', 'sleep'), maybe(text), text), { maxLength: 5 })
  .chain((list) =>
    fc.record({
      no,
      from: fc.nat(1_000),
      kinds: fc.constant(list.map(([kind]) => kind)),
      names: fc.constant(list.map(([, name]) => name)),
      specs: fc.constant(list.map(([, , spec]) => spec)),
    }),
  )

const groups: fc.Arbitrary<CommitGroup> = fc.record({
  batches: fc.constant([]),
  heads: fc.array(
    fc.record({ no, state: text, seq: fc.nat(), settledAt: maybe(ms), drainedAt: maybe(ms), facts: text }),
    { maxLength: 2 },
  ),
  jobs: fc.array(jobs, { maxLength: 3 }),
  records: fc.array(records, { maxLength: 6 }),
  logs: fc.array(fc.record({ no, entries }), { maxLength: 3 }),
})

describe('a commit on its way to the thread', () => {
  it('is the same commit there', () => {
    fc.assert(
      fc.property(groups, (group) => {
        expect(unpackGroup(structuredClone(packGroup(group)))).toEqual(group)
      }),
      { numRuns: 500 },
    )
  })

  it('has the names of its jobs and their kinds once, where they are alike', () => {
    const alike = { no: 1, from: 0, kinds: ['fetch', 'fetch'], names: [null, null], specs: ['{}', '{}'] }
    const group = { batches: [], heads: [], records: [], logs: [], jobs: [alike, { ...alike, names: [null, 'b'] }] }

    const [first, second] = packGroup(group).jobs

    expect([first.kinds, first.names, second.names]).toEqual(['fetch', null, [null, 'b']])
  })
})
