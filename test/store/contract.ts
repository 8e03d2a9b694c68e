import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { stamp } from '../../src/clock.ts'
import type { EventType, LogEntry } from '../../src/core/events.ts'
import { Job } from '../../src/core/states.ts'
import { type CommitGroup, JOBS_PER_BATCH, type KeyRow, type Store, type TenantRow } from '../../src/store/store.ts'
import {
  ACCEPTED_AT,
  batchRow,
  flattened,
  group,
  headRow,
  jobRows,
  numbered,
  recordRow,
  specText,
  submission,
} from './rows.ts'

/** A store under test. */
export interface StoreUnderTest extends AsyncDisposable {
  store: Store
  /** Close the store and open it again, with what it kept; null: it keeps nothing. */
  reopen: (() => Promise<Store>) | null
}

const PAGE_CHARS = 1_048_576

/** What every store must do. */
export function storeContract(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(name, () => {
    commits(open)
    numbers(open)
    batchReads(open)
    jobViews(open)
    jobPages(open)
    completionPages(open)
    logs(open)
    specsAndNames(open)
    directory(open)
    restarts(open)
    keysAndExpiry(open)
    lifetime(open)
  })
}

type Open = () => Promise<StoreUnderTest>

function commits(open: Open): void {
  describe('commit', () => {
    it('shows a batch with all that came with it once it has resolved', async () => {
      await using under = await open()
      const { store } = under
      const entering = submission(1, 2)

      await store.commit(entering)

      const row = await store.batch('acme', entering.batches[0].id)
      expect(row).toEqual({
        ...headRow(1, { seq: 2 }),
        id: entering.batches[0].id,
        tenantId: 'acme',
        acceptedAt: ACCEPTED_AT,
        header: '{}',
      })
      expect((await store.jobs(1, { from: 0, limit: 10 })).data).toHaveLength(2)
    })

    it.each<[string, Partial<CommitGroup>]>([
      ['a number is used', { batches: [batchRow(1)] }],
      ['a name is taken', { jobs: [jobRows(1, 5, 2, ['twin', 'twin'])] }],
      ['a log entry is there', { logs: [{ no: 1, entries: numbered(1, [{ type: 'batch.accepted', index: -1 }]) }] }],
    ])('writes nothing of a group that fails because %s', async (_why, failing) => {
      await using under = await open()
      const { store } = under
      const first = submission(1, 1)
      await store.commit(first)
      const second = submission(2, 1)

      await expect(
        store.commit({
          batches: [...second.batches, ...(failing.batches ?? [])],
          jobs: [...second.jobs, ...(failing.jobs ?? [])],
          heads: [...second.heads, headRow(1, { state: 'failed' })],
          records: [recordRow(1, 0)],
          logs: [...second.logs, ...(failing.logs ?? [])],
        }),
      ).rejects.toThrow()

      expect(await store.batch('acme', second.batches[0].id)).toBeNull()
      expect(await store.batch('acme', first.batches[0].id)).toMatchObject({ state: 'running' })
      expect(await store.pending(1)).toEqual([0])
      expect(await store.specs(1, { from: 5, limit: 1 })).toEqual([])
      expect((await store.log(2, { after: 0, limit: 10, completionsOnly: false })).events).toEqual([])
      await store.commit(second)
      expect(await store.batch('acme', second.batches[0].id)).not.toBeNull()
    })

    it('takes an empty group', async () => {
      await using under = await open()

      await expect(under.store.commit(group({}))).resolves.toBeUndefined()
    })

    it('keeps groups in the order they were given, whoever waits for them', async () => {
      await using under = await open()
      const { store } = under
      await store.commit(submission(1, 1))

      await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          store.commit(group({ heads: [headRow(1, { seq: i })], records: [recordRow(1, 0, { attempts: i })] })),
        ),
      )

      expect(JSON.parse((await store.job(1, 0)) ?? '')).toMatchObject({ attempts: 19 })
    })

    it('replaces the head, records and specs of what is there', async () => {
      await using under = await open()
      const { store } = under
      const entering = submission(1, 2)
      await store.commit(entering)
      await store.commit(group({ records: [recordRow(1, 0, { state: Job.running, finishedAt: null })] }))

      await store.commit(
        group({
          heads: [headRow(1, { state: 'succeeded', seq: 9, settledAt: 5.5, drainedAt: 6.5 })],
          records: [recordRow(1, 0, { result: '7' })],
          jobs: [{ no: 1, from: 1, kinds: ['sleep'], names: [null], specs: ['{"new":1}'] }],
        }),
      )

      expect(await store.batch('acme', entering.batches[0].id)).toMatchObject({
        state: 'succeeded',
        seq: 9,
        settledAt: 5.5,
        drainedAt: 6.5,
      })
      expect(JSON.parse((await store.job(1, 0)) ?? '')).toMatchObject({ state: 'succeeded', result: 7 })
      expect(await store.specs(1, { from: 0, limit: 9 })).toEqual([specText(0), '{"new":1}'])
    })
  })
}

function numbers(open: Open): void {
  describe('the numbers of batches', () => {
    it('rise, are given once, and leave room for their jobs', async () => {
      await using under = await open()
      const { store } = under

      const given = Array.from({ length: 3 }, () => store.nextBatchNo())

      expect(given[0]).toBeGreaterThan(0)
      expect(given[1]).toBeGreaterThan(given[0])
      expect(given[2]).toBeGreaterThan(given[1])
      expect(store.lastBatchNo).toBe(given[2])
      expect(Number.isSafeInteger(given[2] * JOBS_PER_BATCH + JOBS_PER_BATCH - 1)).toBe(true)
    })

    it('given after a start are above all that are used, of batches that are finished, too', async () => {
      await using under = await open()
      if (under.reopen === null) return
      const [first, second] = [under.store.nextBatchNo(), under.store.nextBatchNo()]
      await under.store.commit(submission(first, 1))
      await under.store.commit(submission(second, 1))
      await under.store.commit(group({ heads: [headRow(second, { state: 'succeeded', drainedAt: 9 })] }))

      const again = await under.reopen()
      await again.unfinished('acme')

      expect(again.lastBatchNo).toBeGreaterThanOrEqual(second)
      expect(again.nextBatchNo()).toBeGreaterThan(second)
    })
  })
}

function batchReads(open: Open): void {
  describe('batch and batches', () => {
    it('does not tell a batch of another tenant from none', async () => {
      await using under = await open()
      const { store } = under
      const mine = submission(1, 1)
      await store.commit(mine)

      expect(await store.batch('acme', mine.batches[0].id)).not.toBeNull()
      expect(await store.batch('other', mine.batches[0].id)).toBeNull()
      expect(await store.batch('acme', 'no such id')).toBeNull()
    })

    it('lists the newest first, of one tenant, below a number', async () => {
      await using under = await open()
      const { store } = under
      for (let no = 1; no <= 6; no++)
        await store.commit(submission(no, 0, { tenantId: no % 3 === 0 ? 'other' : 'acme' }))
      const list = async (before: number, limit: number) =>
        (await store.batches({ tenantId: 'acme', labels: {}, before, limit })).map(({ no }) => no)

      expect(await list(Number.MAX_SAFE_INTEGER, 10)).toEqual([5, 4, 2, 1])
      expect(await list(Number.MAX_SAFE_INTEGER, 2)).toEqual([5, 4])
      expect(await list(4, 2)).toEqual([2, 1])
      expect(await list(1, 2)).toEqual([])
    })

    it('filters by state and by every label given', async () => {
      await using under = await open()
      const { store } = under
      const labels: Record<string, string>[] = [
        { env: 'prod', team: 'a' },
        { env: 'prod', team: 'b' },
        { env: 'dev', team: 'a' },
        { team: 'prod' },
      ]
      for (const [i, own] of labels.entries()) await store.commit(submission(i + 1, 0, { labels: own }))
      await store.commit(submission(9, 0, { tenantId: 'other', labels: labels[0] }))
      await store.commit(group({ heads: [headRow(2, { state: 'failed' })] }))
      const list = async (own: Record<string, string>, state?: string) =>
        (await store.batches({ tenantId: 'acme', state, labels: own, before: 100, limit: 10 })).map(({ no }) => no)

      expect(await list({ env: 'prod' })).toEqual([2, 1])
      expect(await list({ env: 'prod', team: 'a' })).toEqual([1])
      expect(await list({ env: 'prod' }, 'failed')).toEqual([2])
      expect(await list({}, 'running')).toEqual([4, 3, 1])
      expect(await list({ team: 'prod' })).toEqual([4])
      expect(await list({ env: 'a' })).toEqual([])
    })
  })
}

function jobViews(open: Open): void {
  describe('the view of a job', () => {
    it('of a job without a record is queued, with every field', async () => {
      await using under = await open()
      const { store } = under
      const entering = submission(1, 1)
      await store.commit(entering)
      const batchId = entering.batches[0].id

      expect(JSON.parse((await store.job(1, 0)) ?? '')).toEqual({
        id: `${batchId}-0`,
        batchId,
        index: 0,
        name: 'job-0',
        kind: 'sleep',
        state: 'queued',
        attempts: 0,
        acceptedAt: '2026-01-02T03:04:05.678Z',
        startedAt: null,
        finishedAt: null,
        cause: null,
        reason: null,
        cancelRequests: 0,
        result: null,
        error: null,
      })
    })

    it('shows the times, the attempts and the result as it was written, never parsed', async () => {
      await using under = await open()
      const { store } = under
      await store.commit(submission(1, 1))
      const result = '{"n":12345678901234567890,"t":"</script>\\u2028","a":[1.0]}'

      await store.commit(group({ records: [recordRow(1, 0, { attempts: 2, result })] }))

      const text = (await store.job(1, 0)) ?? ''
      expect(text).toContain(`"result":${result},"error":null}`)
      expect(JSON.parse(text)).toMatchObject({
        state: 'succeeded',
        attempts: 2,
        startedAt: stamp(ACCEPTED_AT + 10),
        finishedAt: stamp(ACCEPTED_AT + 20),
      })
    })

    it.each([
      [Job.running, 'running', {}, null],
      [Job.cancelling, 'cancelling', { cause: 'user', reason: 'why', cancelRequests: 3 }, null],
      [Job.failed, 'failed', { error: '{"type":"Http","status":500}' }, { type: 'Http', status: 500 }],
      [Job.timedOut, 'timed_out', { cause: 'timeout' }, { type: 'TimeoutError', code: 'timeout' }],
      [Job.timedOut, 'timed_out', { cause: 'deadline' }, { type: 'TimeoutError', code: 'deadline' }],
      [Job.timedOut, 'timed_out', { cause: 'queue_timeout' }, { type: 'TimeoutError', code: 'queue_timeout' }],
      [Job.cancelled, 'cancelled', { cause: 'user', reason: 'enough' }, { code: 'cancelled', message: 'enough' }],
      [Job.cancelled, 'cancelled', { cause: 'user' }, { type: 'CancelledError', message: 'The job was cancelled.' }],
      [Job.cancelled, 'cancelled', { cause: 'stop' }, { message: 'The job was cancelled: stop.' }],
    ])('in state %i is %s, with its error', async (state, name, own, error) => {
      await using under = await open()
      const { store } = under
      await store.commit(submission(1, 1))

      await store.commit(group({ records: [recordRow(1, 0, { state, ...own })] }))

      const view = JSON.parse((await store.job(1, 0)) ?? '')
      expect(view).toMatchObject({ state: name, cause: null, reason: null, cancelRequests: 0, ...own, error })
    })

    it('keeps a result beside an error', async () => {
      await using under = await open()
      const { store } = under
      await store.commit(submission(1, 1))

      await store.commit(
        group({ records: [recordRow(1, 0, { state: Job.failed, result: '[1]', error: '{"code":"x"}' })] }),
      )

      expect(JSON.parse((await store.job(1, 0)) ?? '')).toMatchObject({ result: [1], error: { code: 'x' } })
    })

    it('keeps a result in pieces as one text, and counts it as that', async () => {
      await using under = await open()
      const { store } = under
      await store.commit(submission(1, 2))
      const [text, bytes] = ['{"é":"ü"}', new Uint8Array(new SharedArrayBuffer(4))]
      bytes.set(Buffer.from('"ü"'))
      const sizes = [store.storedBytes('acme')]
      for (const [index, result] of [text, ['{"é":', bytes, '}']].entries()) {
        await store.commit(group({ records: [recordRow(1, index, { result })] }))
        sizes.push(store.storedBytes('acme'))
      }

      for (const index of [0, 1]) expect(await store.job(1, index)).toContain(`"result":${text}`)
      expect(sizes[2] - sizes[1]).toBe(sizes[1] - sizes[0])
    })

    it('says when its part of the batch was accepted', async () => {
      await using under = await open()
      const { store } = under
      await store.commit(submission(1, 2))
      const accepted = [
        { from: 0, at: ACCEPTED_AT },
        { from: 2, at: ACCEPTED_AT + 1_000 },
      ]

      await store.commit(group({ jobs: [jobRows(1, 2, 1, ['late'])], heads: [headRow(1, {}, accepted)] }))

      const { data } = await store.jobs(1, { from: 0, limit: 5 })
      expect(data.map((text) => [JSON.parse(text).name, JSON.parse(text).acceptedAt])).toEqual([
        ['job-0', stamp(ACCEPTED_AT)],
        ['job-1', stamp(ACCEPTED_AT)],
        ['late', stamp(ACCEPTED_AT + 1_000)],
      ])
    })

    it('does not exist for an index or a batch that does not', async () => {
      await using under = await open()
      const { store } = under
      await store.commit(submission(1, 2))
      await store.commit(submission(2, 1))

      expect([await store.job(1, 2), await store.job(3, 0), await store.job(1, 2 ** 20)]).toEqual([null, null, null])
    })
  })
}

function jobPages(open: Open): void {
  describe('jobs', () => {
    it('pages in input order, and says where the next page begins exactly when there is one', async () => {
      await using under = await open()
      const { store } = under
      await store.commit(submission(1, 5))
      await store.commit(submission(2, 5))
      const page = async (from: number, limit: number) => {
        const { data, next } = await store.jobs(1, { from, limit })
        return [data.map((text) => JSON.parse(text).index), next]
      }

      expect(await page(0, 2)).toEqual([[0, 1], 2])
      expect(await page(2, 2)).toEqual([[2, 3], 4])
      expect(await page(4, 2)).toEqual([[4], null])
      expect(await page(0, 5)).toEqual([[0, 1, 2, 3, 4], null])
      expect(await page(0, 4)).toEqual([[0, 1, 2, 3], 4])
      expect(await page(5, 2)).toEqual([[], null])
    })

    it('has no jobs of a batch that has none, or is none', async () => {
      await using under = await open()
      const { store } = under
      await store.commit(submission(1, 0))

      expect(await store.jobs(1, { from: 0, limit: 9 })).toEqual({ data: [], next: null })
      expect(await store.jobs(7, { from: 0, limit: 9 })).toEqual({ data: [], next: null })
    })

    it('filters by states, those without a record being queued', async () => {
      await using under = await open()
      const { store } = under
      await store.commit(submission(1, 6))
      await store.commit(
        group({
          records: [recordRow(1, 1), recordRow(1, 2, { state: Job.failed }), recordRow(1, 4, { state: Job.running })],
        }),
      )
      const page = async (limit: number, ...states: ('queued' | 'running' | 'succeeded' | 'failed')[]) => {
        const { data, next } = await store.jobs(1, { from: 0, limit, states })
        return [data.map((text) => JSON.parse(text).index), next]
      }

      expect(await page(9, 'queued')).toEqual([[0, 3, 5], null])
      expect(await page(2, 'queued')).toEqual([[0, 3], 5])
      expect(await page(9, 'succeeded', 'failed', 'running')).toEqual([[1, 2, 4], null])
      expect(await page(9)).toEqual([[], null])
    })

    it('gives every job of a run the same record', async () => {
      await using under = await open()
      const { store } = under
      await store.commit(submission(1, 6))

      await store.commit(
        group({
          records: [recordRow(1, 2, { count: 3, state: Job.cancelled, attempts: 0, startedAt: null, cause: 'stop' })],
        }),
      )

      const { data } = await store.jobs(1, { from: 0, limit: 9 })
      expect(data.map((text) => JSON.parse(text).state)).toEqual([
        'queued',
        'queued',
        'cancelled',
        'cancelled',
        'cancelled',
        'queued',
      ])
      expect(await store.pending(1)).toEqual([0, 1, 5])
    })

    it('ends a page at about 1 MiB, and loses nothing over the pages', async () => {
      await using under = await open()
      const { store } = under
      await store.commit(submission(1, 6))
      const result = JSON.stringify('x'.repeat(PAGE_CHARS / 2))
      await store.commit(group({ records: [0, 1, 2, 3, 4, 5].map((index) => recordRow(1, index, { result })) }))

      const sizes: number[] = []
      for (let from: number | null = 0; from !== null; ) {
        const page: { data: string[]; next: number | null } = await store.jobs(1, { from, limit: 100 })
        sizes.push(page.data.length)
        from = page.next
      }

      expect(sizes).toEqual([2, 2, 2])
    })
  })
}

/** A batch whose jobs 0…n-1 ended in the order given, one event each, after `batch.accepted` and n times `job.queued`. */
async function ended(store: Store, order: number[], own: { result?: string } = {}): Promise<void> {
  await store.commit(submission(1, order.length))
  await store.commit(
    group({
      records: order.map((index) => recordRow(1, index, own)),
      logs: [
        {
          no: 1,
          entries: numbered(
            order.length + 2,
            order.map((index) => ({ type: 'job.succeeded', index })),
          ),
        },
      ],
    }),
  )
}

function completionPages(open: Open): void {
  describe('completions', () => {
    it('pages in the order in which jobs ended; the next page follows an event', async () => {
      await using under = await open()
      const { store } = under
      await ended(store, [3, 0, 2, 1])
      const page = async (from: number, limit: number) => {
        const { data, next } = await store.completions(1, { from, limit })
        return [data.map((text) => JSON.parse(text).index), next]
      }

      expect(await page(0, 2)).toEqual([[3, 0], 7])
      expect(await page(7, 2)).toEqual([[2, 1], null])
      expect(await page(0, 4)).toEqual([[3, 0, 2, 1], null])
      expect(await page(0, 3)).toEqual([[3, 0, 2], 8])
      expect(await page(9, 2)).toEqual([[], null])
    })

    it('filters by state', async () => {
      await using under = await open()
      const { store } = under
      await store.commit(submission(1, 4))
      await store.commit(
        group({
          records: [
            recordRow(1, 0),
            recordRow(1, 1, { count: 2, state: Job.cancelled, cause: 'user' }),
            recordRow(1, 3),
          ],
          logs: [
            {
              no: 1,
              entries: numbered(6, [
                { type: 'job.started', index: 0, attempt: 1 },
                { type: 'job.succeeded', index: 3 },
                { type: 'job.cancelled', index: 1, count: 2, cause: 'user', reason: null },
                { type: 'job.succeeded', index: 0 },
              ]),
            },
          ],
        }),
      )
      const page = async (state: 'succeeded' | 'cancelled' | 'failed' | 'queued', limit = 9) => {
        const { data, next } = await store.completions(1, { from: 0, limit, state })
        return [data.map((text) => JSON.parse(text).index), next]
      }

      expect(await page('succeeded')).toEqual([[3, 0], null])
      expect(await page('cancelled')).toEqual([[1, 2], null])
      expect(await page('cancelled', 1)).toEqual([[1], 8])
      expect(await page('failed')).toEqual([[], null])
    })

    it('ends a page at about 1 MiB', async () => {
      await using under = await open()
      const { store } = under
      await ended(store, [2, 1, 0], { result: JSON.stringify('x'.repeat(PAGE_CHARS)) })

      const first = await store.completions(1, { from: 0, limit: 100 })
      const second = await store.completions(1, { from: first.next ?? 0, limit: 100 })

      expect([first.data.length, first.next, second.data.length]).toEqual([1, 5, 1])
    })
  })
}

const TYPES: EventType[] = ['job.queued', 'job.started', 'job.succeeded', 'job.cancelled', 'batch.aborting']

/** A log in commits: each an array of entries, runs among them. */
const logInCommits: fc.Arbitrary<LogEntry[][]> = fc
  .array(
    fc.array(fc.record({ type: fc.constantFrom(...TYPES), count: fc.constantFrom(1, 1, 2, 5), index: fc.nat(9) }), {
      minLength: 1,
      maxLength: 4,
    }),
    { minLength: 1, maxLength: 5 },
  )
  .map((commitsOf) => {
    let seq = 1
    return commitsOf.map((entries) => {
      const own = numbered(
        seq,
        entries.map((entry) => (entry.type.startsWith('batch') ? { ...entry, count: 1, index: -1 } : entry)),
      )
      seq = own.reduce((next, { count }) => next + count, seq)
      return own
    })
  })

function logs(open: Open): void {
  describe('log', () => {
    it('renders events with their facts, and jobs with those that end them', async () => {
      await using under = await open()
      const { store } = under
      const entering = submission(1, 2)
      await store.commit(entering)
      const id = entering.batches[0].id
      const errors = [{ index: 0, type: 'E', code: 'c', message: 'm' }]
      await store.commit(
        group({
          records: [recordRow(1, 0, { state: Job.failed, error: '{"type":"E"}' })],
          logs: [
            {
              no: 1,
              entries: numbered(4, [
                { type: 'job.started', index: 0, attempt: 1 },
                { type: 'job.failed', index: 0 },
                { type: 'batch.aborting', index: -1, cause: 'sibling_failed', decidedBy: 0 },
                { type: 'batch.aborting', index: -1, cause: 'stop' },
                { type: 'job.cancelling', index: 1, cause: 'stop', reason: null },
                {
                  type: 'batch.settled',
                  index: -1,
                  state: 'failed',
                  error: { type: 'ExceptionGroup', code: 'exception_group', message: '1', errors },
                },
                { type: 'batch.drained', index: -1 },
              ]),
            },
          ],
        }),
      )

      const { events, after } = await store.log(1, { after: 3, limit: 100, completionsOnly: false })

      const at = (seq: number) => stamp(ACCEPTED_AT + seq)
      const job = { jobId: `${id}-0`, index: 0 }
      expect(after).toBe(10)
      expect(events.map(({ seq, type }) => [seq, type])).toEqual(
        events.map(({ json }) => [JSON.parse(json).seq, JSON.parse(json).type]),
      )
      expect(events.map(({ json }) => JSON.parse(json))).toEqual([
        { seq: 4, type: 'job.started', at: at(4), batchId: id, ...job, attempt: 1 },
        { seq: 5, type: 'job.failed', at: at(5), batchId: id, ...job, job: JSON.parse((await store.job(1, 0)) ?? '') },
        { seq: 6, type: 'batch.aborting', at: at(6), batchId: id, cause: 'sibling_failed', decidedBy: job },
        { seq: 7, type: 'batch.aborting', at: at(7), batchId: id, cause: 'stop', decidedBy: null },
        {
          seq: 8,
          type: 'job.cancelling',
          at: at(8),
          batchId: id,
          jobId: `${id}-1`,
          index: 1,
          cause: 'stop',
          reason: null,
        },
        {
          seq: 9,
          type: 'batch.settled',
          at: at(9),
          batchId: id,
          state: 'failed',
          error: {
            type: 'ExceptionGroup',
            code: 'exception_group',
            message: '1',
            errors: [{ jobId: `${id}-0`, ...errors[0] }],
          },
        },
        { seq: 10, type: 'batch.drained', at: at(10), batchId: id },
      ])
    })

    it('is the flat list of its events, read in pages of any size from any event on', async () => {
      await using under = await open()
      const { store } = under
      let no = 0
      await fc.assert(
        fc.asyncProperty(logInCommits, fc.nat(40), fc.integer({ min: 1, max: 7 }), async (parts, from, limit) => {
          no++
          await store.commit(group({ batches: [batchRow(no)], jobs: [jobRows(no, 0, 20)], heads: [headRow(no)] }))
          for (const entries of parts) await store.commit(group({ logs: [{ no, entries }] }))
          const flat = flattened(parts.flat())
          const expected = flat.filter(({ seq }) => seq > from).map(({ seq, type, index }) => [seq, type, index])

          const read: unknown[] = []
          for (let after = from; ; ) {
            const page = await store.log(no, { after, limit, completionsOnly: false })
            if (page.events.length > limit) throw new Error('a page is longer than its limit')
            for (const { seq, type, json } of page.events) read.push([seq, type, JSON.parse(json).index ?? -1])
            if (page.after === after) break
            after = page.after
          }
          const ends = flat.filter(({ seq, type }) => seq > from && /succeeded|cancelled/.test(type))
          const completed: unknown[] = []
          for (let after: number | null = from; after !== null; ) {
            const page: { data: string[]; next: number | null } = await store.completions(no, { from: after, limit })
            for (const job of page.data) completed.push(JSON.parse(job).index)
            after = page.next
          }

          expect(read).toEqual(expected)
          expect(completed).toEqual(ends.map(({ index }) => index))
        }),
        { numRuns: 60 },
      )
    })

    it('with completions only has the ends of jobs and the end of the batch, and says how far it has looked', async () => {
      await using under = await open()
      const { store } = under
      await store.commit(submission(1, 3))
      await store.commit(
        group({
          records: [recordRow(1, 0), recordRow(1, 1, { state: Job.timedOut, cause: 'deadline' })],
          logs: [
            {
              no: 1,
              entries: numbered(5, [
                { type: 'job.started', index: 0, attempt: 1 },
                { type: 'job.succeeded', index: 0 },
                { type: 'job.timed_out', index: 1, cause: 'deadline', reason: null },
                { type: 'job.started', index: 2, attempt: 1 },
                { type: 'batch.settled', index: -1, state: 'succeeded', error: null },
                { type: 'batch.drained', index: -1 },
              ]),
            },
          ],
        }),
      )
      const read = async (after: number, limit: number) => {
        const page = await store.log(1, { after, limit, completionsOnly: true })
        return [page.events.map(({ seq }) => seq), page.after]
      }

      expect(await read(0, 100)).toEqual([[6, 7, 10], 10])
      expect(await read(0, 2)).toEqual([[6, 7], 7])
      expect(await read(7, 1)).toEqual([[10], 10])
      expect(await read(10, 1)).toEqual([[], 10])
    })

    it('ends a page at about 1 MiB, and goes on after it', async () => {
      await using under = await open()
      const { store } = under
      await ended(store, [0, 1, 2], { result: JSON.stringify('x'.repeat(PAGE_CHARS)) })

      const seqs: number[][] = []
      for (let after = 0; after < 7; ) {
        const page = await store.log(1, { after, limit: 100, completionsOnly: false })
        seqs.push(page.events.map(({ seq }) => seq ?? 0))
        after = page.after
      }

      expect(seqs).toEqual([[1, 2, 3, 4, 5], [6], [7]])
    })

    it('of a batch that is none is empty', async () => {
      await using under = await open()

      expect(await under.store.log(3, { after: 7, limit: 9, completionsOnly: false })).toEqual({ events: [], after: 7 })
    })
  })
}

function specsAndNames(open: Open): void {
  describe('specs, pending and names', () => {
    it('gives specs from an index on, of this batch only', async () => {
      await using under = await open()
      const { store } = under
      await store.commit(submission(1, 4))
      await store.commit(submission(2, 4))

      expect(await store.specs(1, { from: 0, limit: 2 })).toEqual([specText(0), specText(1)])
      expect(await store.specs(1, { from: 3, limit: 9 })).toEqual([specText(3)])
      expect(await store.specs(1, { from: 4, limit: 9 })).toEqual([])
    })

    it('gives at least one spec, however large, and stops at about 1 MiB', async () => {
      await using under = await open()
      const { store } = under
      const large = JSON.stringify('x'.repeat(2 * PAGE_CHARS))
      const specs = [large, large, '1', '2']
      await store.commit(submission(1, 0))
      await store.commit(group({ jobs: [{ ...jobRows(1, 0, 4), specs }] }))

      expect(await store.specs(1, { from: 0, limit: 9 })).toHaveLength(1)
      expect(await store.specs(1, { from: 1, limit: 9 })).toHaveLength(1)
      expect(await store.specs(1, { from: 2, limit: 9 })).toEqual(['1', '2'])
    })

    it('names the jobs that have not ended', async () => {
      await using under = await open()
      const { store } = under
      await store.commit(submission(1, 8))
      const states = [Job.running, Job.cancelling, Job.succeeded, Job.failed, Job.timedOut, Job.cancelled, Job.queued]
      await store.commit(group({ records: states.map((state, index) => recordRow(1, index, { state })) }))

      expect(await store.pending(1)).toEqual([0, 1, 6, 7])
      expect(await store.pending(2)).toEqual([])
    })

    it('says which names a batch has, the ones that jobs have by default among them', async () => {
      await using under = await open()
      const { store } = under
      await store.commit(submission(1, 2))
      await store.commit(submission(2, 9))
      await store.commit(group({ jobs: [jobRows(1, 2, 3, ['a', null, 'job-9'])] }))

      const taken = await store.namesTaken(1, [
        'job-0',
        'a',
        'b',
        'job-2',
        'job-3',
        'job-5',
        'job-9',
        'job-01',
        'job-9999999',
        'job-1048576',
      ])

      expect(taken).toEqual(['job-0', 'a', 'job-3', 'job-9'])
      expect(await store.namesTaken(1, [])).toEqual([])
    })

    it('refuses a name twice in a batch, and takes it in two', async () => {
      await using under = await open()
      const { store } = under
      await store.commit(submission(1, 0))
      await store.commit(submission(2, 0))
      await store.commit(group({ jobs: [jobRows(1, 0, 2, ['a', null])] }))

      await expect(store.commit(group({ jobs: [jobRows(1, 2, 1, ['a'])] }))).rejects.toThrow()
      await store.commit(group({ jobs: [jobRows(2, 0, 3, ['a', null, null])] }))

      expect((await store.jobs(1, { from: 0, limit: 9 })).data).toHaveLength(2)
      expect((await store.jobs(2, { from: 0, limit: 9 })).data).toHaveLength(3)
    })
  })
}

const TENANT: TenantRow = { id: 'acme', settings: { maxConcurrency: 4, paused: true }, createdAt: 1_700_000_000_123 }
const KEY: KeyRow = {
  id: 'k1',
  tenantId: 'acme',
  name: 'ci',
  hash: 'ab'.repeat(32),
  scopes: ['read', 'write'],
  createdAt: 1_700_000_000_123,
  expiresAt: null,
  revokedAt: null,
}

function directory(open: Open): void {
  describe('tenants and keys', () => {
    it('say whether there ever was a key, gone with its tenant or not, and after one that was not stored', async () => {
      await using under = await open()
      const { store } = under
      await store.putTenant(TENANT)
      const said = [await store.hadKeys()]
      await expect(store.putKey({ ...KEY, hash: null as unknown as string })).rejects.toThrow()
      said.push(await store.hadKeys())

      await store.putKey({ ...KEY, tenantId: TENANT.id })
      said.push(await store.hadKeys())
      await store.deleteTenant(TENANT.id, 0)
      said.push(await store.hadKeys())

      expect([said, await store.keys()]).toEqual([[false, false, true, true], []])
    })

    it('have one first key, and none after one that is gone', async () => {
      await using under = await open()
      const { store } = under
      await store.putTenant(TENANT)

      const said = [await store.putFirstKey(KEY)]
      said.push(await store.putFirstKey({ ...KEY, id: 'k2' }))
      await store.deleteTenant(TENANT.id, 0)
      said.push(await store.putFirstKey({ ...KEY, id: 'k3' }))

      expect([said, await store.keys()]).toEqual([[true, false, false], []])
    })

    it('come back as they were put, and are replaced by id', async () => {
      await using under = await open()
      const { store } = under
      expect([await store.tenants(), await store.keys()]).toEqual([[], []])

      await store.putTenant(TENANT)
      await store.putTenant({ id: 'b', settings: {}, createdAt: 5 })
      await store.putKey(KEY)
      await store.putKey({ ...KEY, id: 'k0', name: null, expiresAt: 7 })
      const replaced = { ...TENANT, settings: { weight: 3 } }
      await store.putTenant(replaced)
      const revoked = { ...KEY, revokedAt: 1_700_000_000_999 }
      await store.putKey(revoked)

      expect(await store.tenants()).toEqual([replaced, { id: 'b', settings: {}, createdAt: 5 }])
      expect(await store.keys()).toEqual([{ ...KEY, id: 'k0', name: null, expiresAt: 7 }, revoked])
    })
  })
}

function lifetime(open: Open): void {
  describe('close', () => {
    it('may be called twice, and lets nothing more be asked', async () => {
      await using under = await open()
      const { store } = under

      await store.close()
      await store.close()

      await expect(store.tenants()).rejects.toThrow()
      await expect(store.commit(group({}))).rejects.toThrow()
    })

    it('finishes what was asked for before it', async () => {
      await using under = await open()
      const { store } = under
      const entering = submission(1, 3)

      const committed = store.commit(entering)
      const closed = store.close()

      await expect(committed).resolves.toBeUndefined()
      await closed
      if (under.reopen === null) return
      const again = await under.reopen()
      expect(await again.batch('acme', entering.batches[0].id)).not.toBeNull()
    })

    it('leaves everything there for the next start, or nothing at all', async () => {
      await using under = await open()
      const { store, reopen } = under
      expect(store.secret.length).toBeGreaterThanOrEqual(32)
      const no = store.nextBatchNo()
      const entering = submission(no, 3, { labels: { a: 'b' } })
      await store.commit(entering)
      await store.commit(group({ records: [recordRow(no, 1)] }))
      await store.putTenant(TENANT)
      await store.putKey(KEY)
      const before = [
        await store.batch('acme', entering.batches[0].id),
        await store.jobs(no, { from: 0, limit: 9 }),
        await store.log(no, { after: 0, limit: 9, completionsOnly: false }),
        await store.pending(41),
      ]
      const secret = Buffer.from(store.secret)
      if (reopen === null) return

      const again = await reopen()

      expect([
        await again.batch('acme', entering.batches[0].id),
        await again.jobs(no, { from: 0, limit: 9 }),
        await again.log(no, { after: 0, limit: 9, completionsOnly: false }),
        await again.pending(41),
      ]).toEqual(before)
      expect([await again.tenants(), await again.keys()]).toEqual([[TENANT], [KEY]])
      await again.unfinished()
      expect(again.nextBatchNo()).toBeGreaterThan(no)
      expect(Buffer.from(again.secret)).toEqual(secret)
    })
  })
}

function restarts(open: Open): void {
  describe('unfinished and history', () => {
    it('names the batches that have not drained, first accepted first, of all tenants', async () => {
      await using under = await open()
      const { store } = under
      for (const no of [1, 2, 3, 4]) await store.commit(submission(no, 1, { tenantId: `t${no % 2}` }))
      await store.commit(
        group({
          heads: [headRow(2, { state: 'failed', settledAt: 5 }), headRow(3, { state: 'succeeded', drainedAt: 9 })],
        }),
      )

      expect((await store.unfinished()).map(({ no, state }) => [no, state])).toEqual([
        [1, 'running'],
        [2, 'failed'],
        [4, 'running'],
      ])
      expect((await store.unfinished('t0')).map(({ no }) => no)).toEqual([2, 4])
      expect(await store.unfinished('t2')).toEqual([])
    })

    it('gives the jobs of a batch as the record has them', async () => {
      await using under = await open()
      const { store } = under
      const specs = [
        { kind: 'sleep' },
        { kind: 'sleep', timeoutMs: 5, priority: -2 },
        { kind: 'sleep', deadlineMs: 0, shield: true },
        { kind: 'sleep', delayMs: 7 },
        { kind: 'sleep' },
      ].map((spec) => JSON.stringify(spec))
      await store.commit(submission(1, 0))
      await store.commit(submission(2, 3))
      const error = '{"type":"HttpError","code":"http_status","message":"503","status":503}'
      const running = recordRow(1, 1, { state: Job.running, attempts: 2, finishedAt: null })
      const cancelling = recordRow(1, 2, { state: Job.cancelling, cause: 'user', reason: 'why', cancelRequests: 2 })
      await store.commit(
        group({
          jobs: [{ ...jobRows(1, 0, 5), specs }],
          records: [
            recordRow(1, 0, { state: Job.failed, error }),
            running,
            cancelling,
            recordRow(1, 4, { state: Job.timedOut, cause: 'deadline' }),
          ],
          logs: [
            {
              no: 1,
              entries: numbered(3, [
                { type: 'job.timed_out', index: 4, cause: 'deadline', reason: null },
                { type: 'job.started', index: 1, attempt: 2 },
                { type: 'job.failed', index: 0 },
              ]),
            },
          ],
        }),
      )

      const history = await store.history(1)

      expect([...history.states]).toEqual([Job.failed, Job.running, Job.cancelling, Job.queued, Job.timedOut])
      const { timeoutMs, deadlineMs, queueTimeoutMs, delayMs, priority, shield } = history.plans
      expect([timeoutMs?.[0], timeoutMs?.[1], deadlineMs?.[1], deadlineMs?.[2]]).toEqual([-1, 5, -1, 0])
      expect([delayMs?.[0], delayMs?.[3], priority?.[0], priority?.[1], shield?.[1], shield?.[2]]).toEqual([
        0, 7, 0, -2, 0, 1,
      ])
      expect(queueTimeoutMs).toBeNull()
      expect(history.unended).toEqual([
        expect.objectContaining({
          index: 1,
          state: Job.running,
          attempts: 2,
          startedAt: running.startedAt,
          spec: specs[1],
        }),
        expect.objectContaining({ index: 2, state: Job.cancelling, cause: 'user', reason: 'why', cancelRequests: 2 }),
      ])
      expect(history.failures).toEqual([
        { index: 4, type: 'TimeoutError', code: 'deadline', message: expect.any(String) },
        { index: 0, type: 'HttpError', code: 'http_status', message: '503' },
      ])
    })
  })
}

const EXPIRY = { now: 1_000, drainedBefore: 500, keysBefore: 0, tombstonesBefore: 0 }

/** Delete step by step until nothing is left; returns the number of steps. */
async function expireAll(store: Store, step: typeof EXPIRY): Promise<number> {
  let steps = 1
  while ((await store.expire(step)) > 0) if (++steps > 1_000) throw new Error('expire() does not come to an end')
  return steps
}

function keysAndExpiry(open: Open): void {
  describe('idempotency keys and expiry', () => {
    it('keeps a key with its batch, or neither', async () => {
      await using under = await open()
      const { store } = under
      const idempotency = { key: 'k', hash: 'h', answer: '{"id":1}' }
      await store.commit(submission(1, 1, { idempotency }))
      const again = submission(2, 1, { idempotency })

      await expect(store.commit(again)).rejects.toThrow()
      await store.commit(submission(3, 1, { tenantId: 'other', idempotency: { ...idempotency, hash: 'h2' } }))

      expect(await store.idempotent('acme', 'k')).toEqual({ hash: 'h', answer: '{"id":1}' })
      expect(await store.idempotent('other', 'k')).toMatchObject({ hash: 'h2' })
      expect(await store.idempotent('acme', 'other')).toBeNull()
      expect(await store.batch('acme', again.batches[0].id)).toBeNull()
    })

    it('forgets keys that were used before an instant', async () => {
      await using under = await open()
      const { store } = under
      for (const [no, acceptedAt] of [
        [1, 100],
        [2, 200],
      ])
        await store.commit(submission(no, 0, { acceptedAt, idempotency: { key: `k${no}`, hash: 'h', answer: '' } }))

      await expireAll(store, { ...EXPIRY, keysBefore: 150 })

      expect([await store.idempotent('acme', 'k1'), await store.idempotent('acme', 'k2')]).toEqual([
        null,
        { hash: 'h', answer: '' },
      ])
    })

    it('deletes batches that drained before an instant with all that is theirs, and no other', async () => {
      await using under = await open()
      const { store } = under
      const labels = { env: 'prod' }
      const batches = [1, 2, 3].map((no) => submission(no, 5, { labels, header: JSON.stringify({ labels }) }))
      for (const batch of batches) await store.commit(batch)
      await store.commit(
        group({
          heads: [headRow(1, { drainedAt: 499 }), headRow(2, { drainedAt: 500 })],
          records: [recordRow(1, 0), recordRow(2, 0)],
        }),
      )
      const [gone, kept] = batches.map((batch) => batch.batches[0].id)

      await expireAll(store, EXPIRY)

      expect([await store.batch('acme', gone), await store.wasDeleted('acme', gone)]).toEqual([null, true])
      expect([await store.wasDeleted('other', gone), await store.wasDeleted('acme', kept)]).toEqual([false, false])
      expect([await store.specs(1, { from: 0, limit: 9 }), await store.pending(1)]).toEqual([[], []])
      expect((await store.log(1, { after: 0, limit: 9, completionsOnly: false })).events).toEqual([])
      const list = await store.batches({ tenantId: 'acme', labels, before: 99, limit: 9 })
      expect(list.map(({ no }) => no)).toEqual([3, 2])
      expect((await store.jobs(2, { from: 0, limit: 9 })).data).toHaveLength(5)
      expect((await store.log(2, { after: 0, limit: 9, completionsOnly: false })).events).toHaveLength(6)
      expect(await expireAll(store, EXPIRY)).toBe(1)
    })

    it('deletes a large batch, and forgets it later', async () => {
      await using under = await open()
      const { store } = under
      const large = submission(1, 9_000)
      await store.commit(large)
      await store.commit(group({ heads: [headRow(1, { drainedAt: 1 })], records: [recordRow(1, 0, { count: 9_000 })] }))

      expect(await expireAll(store, EXPIRY)).toBeGreaterThan(1)
      expect(await store.wasDeleted('acme', large.batches[0].id)).toBe(true)
      await expireAll(store, { ...EXPIRY, tombstonesBefore: 1_001 })

      expect(await store.wasDeleted('acme', large.batches[0].id)).toBe(false)
    })
  })
}
