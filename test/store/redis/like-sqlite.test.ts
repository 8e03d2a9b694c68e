import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { EventType } from '../../../src/core/events.ts'
import { JOB_STATE_NAMES, Job } from '../../../src/core/states.ts'
import { RedisStore } from '../../../src/store/redis/store.ts'
import type { CommitGroup, Store } from '../../../src/store/store.ts'
import { NO_REDIS, RedisServer } from '../../support/redis.ts'
import { batchRow, group, headRow, jobRows, numbered, recordRow } from '../rows.ts'
import { directStore } from '../sqlite/direct-store.ts'

/** A change of one batch: the `nth` of those there are, modulo their number. */
type Change =
  | { type: 'enter'; tenant: number; jobs: number; label: number; key: boolean; named: boolean }
  | { type: 'append'; nth: number; jobs: number; named: boolean }
  | { type: 'end'; nth: number; at: number; run: number; state: number; result: string | null }
  | { type: 'respec'; nth: number; at: number }
  | { type: 'drain'; nth: number }

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({
    type: fc.constant('enter' as const),
    tenant: fc.nat(1),
    jobs: fc.oneof(fc.nat(6), fc.constantFrom(0, 40, 700)),
    label: fc.nat(2),
    key: fc.boolean(),
    named: fc.boolean(),
  }),
  fc.record({ type: fc.constant('append' as const), nth: fc.nat(5), jobs: fc.nat(5), named: fc.boolean() }),
  fc.record({
    type: fc.constant('end' as const),
    nth: fc.nat(5),
    at: fc.nat(700),
    run: fc.constantFrom(1, 1, 2, 20, 300),
    state: fc.integer({ min: 0, max: 6 }),
    result: fc.option(fc.json({ maxDepth: 1 })),
  }),
  fc.record({ type: fc.constant('respec' as const), nth: fc.nat(5), at: fc.oneof(fc.nat(2), fc.nat(700)) }),
  fc.record({ type: fc.constant('drain' as const), nth: fc.nat(5) }),
)

interface Made {
  no: number
  id: string
  tenantId: string
  jobs: number
  seq: number
  drained: boolean
}

/** Writes what changes stand for into both stores. */
class Program {
  readonly made: Made[] = []
  readonly names = ['a', 'job-1', 'job-99', 'nobody']
  readonly #stores: Store[]
  #no = 0

  constructor(...stores: Store[]) {
    this.#stores = stores
  }

  async commit(changes: readonly Change[]): Promise<void> {
    const whole = group({})
    const touched = new Set<Made>()
    for (const each of changes) {
      const batch = this.#apply(whole, each)
      if (batch !== null) touched.add(batch)
    }
    for (const { no, seq, drained } of touched)
      whole.heads.push(headRow(no, { seq, ...(drained ? { state: 'succeeded', drainedAt: no * 10 + 0.5 } : {}) }))
    for (const store of this.#stores) await store.commit(structuredClone(whole))
  }

  #apply(whole: CommitGroup, each: Change): Made | null {
    if (each.type === 'enter') return this.#enter(whole, each)
    const batch = this.made[each.nth % Math.max(1, this.made.length)]
    if (batch === undefined || batch.drained) return null
    if (each.type === 'append') this.#add(whole, batch, each.jobs, each.named)
    else if (each.type === 'drain') {
      batch.drained = true
      this.#log(whole, batch, 'batch.drained', -1, 1)
    } else if (each.at >= batch.jobs) return null
    else if (each.type === 'respec') whole.jobs.push({ ...jobRows(batch.no, each.at, 1), specs: ['{"delayMs":7}'] })
    else this.#end(whole, batch, each)
    return batch
  }

  #enter(whole: CommitGroup, { tenant, jobs, label, key, named }: Extract<Change, { type: 'enter' }>): Made {
    const labels: Record<string, string> = label === 0 ? {} : { env: `e${label}` }
    const no = ++this.#no
    const idempotency = { key: `k${no}`, hash: `h${no}`, answer: '{"a":"\\n"}\n1' }
    const row = batchRow(no, {
      tenantId: `t${tenant}`,
      labels,
      header: JSON.stringify({ labels }),
      acceptedAt: no + 0.25,
      ...(key ? { idempotency } : {}),
    })
    const batch = { no, id: row.id, tenantId: row.tenantId, jobs: 0, seq: 0, drained: false }
    this.made.push(batch)
    whole.batches.push(row)
    this.#log(whole, batch, 'batch.accepted', -1, 1)
    this.#add(whole, batch, jobs, named)
    return batch
  }

  #add(whole: CommitGroup, batch: Made, jobs: number, named: boolean): void {
    if (jobs === 0) return
    const names = named ? [`n${batch.jobs}`, null, `ü "${batch.jobs}"`] : []
    whole.jobs.push(jobRows(batch.no, batch.jobs, jobs, names))
    this.names.push(`n${batch.jobs}`, `job-${batch.jobs}`)
    this.#log(whole, batch, 'job.queued', batch.jobs, jobs)
    batch.jobs += jobs
  }

  #end(whole: CommitGroup, batch: Made, { at, run, state, result }: Extract<Change, { type: 'end' }>): void {
    const count = Math.min(run, batch.jobs - at)
    const error = state === Job.failed ? '{"type":"E","code":"c","message":"m"}' : null
    whole.records.push(
      recordRow(batch.no, at, {
        count,
        state,
        result,
        error,
        cause: state > 4 ? 'deadline' : null,
        reason: 'why\n[é]',
      }),
    )
    const type: EventType = state < 3 ? 'job.started' : (`job.${JOB_STATE_NAMES[state]}` as EventType)
    this.#log(whole, batch, type, at, count)
  }

  #log(whole: CommitGroup, batch: Made, type: EventType, index: number, count: number): void {
    const rows = whole.logs.find(({ no }) => no === batch.no) ?? { no: batch.no, entries: [] }
    if (rows.entries.length === 0) whole.logs.push(rows)
    rows.entries.push(...numbered(batch.seq + 1, [{ type, index, count }]))
    batch.seq += count
  }
}

/** All that can be read of a store. */
async function everything(store: Store, { made, names }: Program): Promise<unknown[]> {
  const read: unknown[] = [await store.unfinished(), await store.unfinished('t1')]
  for (const tenantId of ['t0', 't1', 't2']) {
    for (const labels of [{}, { env: 'e1' }] as Record<string, string>[])
      for (const state of [undefined, 'running', 'succeeded'])
        read.push(await store.batches({ tenantId, labels, state, before: 4, limit: 2 }))
    read.push(await store.batches({ tenantId, labels: {}, before: 1e9, limit: 99 }))
    for (const { id, no } of made)
      read.push([
        await store.batch(tenantId, id),
        await store.wasDeleted(tenantId, id),
        await store.idempotent(tenantId, `k${no}`),
      ])
  }
  for (const { no, seq, jobs } of made) {
    for (const from of [0, 1, 3, Math.floor(jobs / 2), jobs]) {
      read.push(await store.jobs(no, { from, limit: 3 }), await store.jobs(no, { from, limit: 600 }))
      read.push(await store.jobs(no, { from, limit: 2, states: ['queued', 'failed'] }))
      read.push(await store.specs(no, { from, limit: 3 }), await store.job(no, from))
      for (const limit of [2, 500]) {
        for (const completionsOnly of [true, false])
          read.push(await store.log(no, { after: Math.min(from, seq), limit, completionsOnly }))
        for (const state of [undefined, 'cancelled'] as const)
          read.push(await store.completions(no, { from: Math.min(from, seq), limit, state }))
      }
    }
    read.push(await store.pending(no), await store.namesTaken(no, names))
  }
  return read
}

describe.skipIf(NO_REDIS !== null)('RedisStore beside SqliteStore', () => {
  let server: RedisServer
  beforeAll(async () => {
    server = await RedisServer.start()
  })
  afterAll(() => server[Symbol.asyncDispose]())

  it('reads the same, whatever is written, and after what is old has been deleted', { timeout: 120_000 }, async () => {
    const redis = server.client()
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.array(change, { maxLength: 4 }), { minLength: 1, maxLength: 7 }),
        async (commits) => {
          await redis.flushall()
          const [theirs, ours] = [directStore(':memory:'), await RedisStore.open({ redis })]
          const program = new Program(theirs, ours)
          for (const changes of commits) await program.commit(changes)

          expect(await everything(ours, program)).toEqual(await everything(theirs, program))
          for (const { no } of program.made) expect(await ours.history(no)).toEqual(await theirs.history(no))
          for (const store of [theirs, ours]) {
            const step = { now: 99, drainedBefore: 25, keysBefore: 2, tombstonesBefore: 0 }
            while ((await store.expire(step)) > 0);
          }
          expect(await everything(ours, program)).toEqual(await everything(theirs, program))
          await ours.close()
          await theirs.close()
        },
      ),
      { numRuns: 40 },
    )
  })
})
