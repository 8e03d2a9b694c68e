import type { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { StoreError } from '../../../src/store/error.ts'
import { RedisStore } from '../../../src/store/redis/store.ts'
import type { Store } from '../../../src/store/store.ts'
import { NO_REDIS, RedisServer } from '../../support/redis.ts'
import { group, headRow, numbered, recordRow, submission } from '../rows.ts'

const READ = { after: 4, limit: 99, completionsOnly: false }

describe.skipIf(NO_REDIS !== null)('a log that is read while it is written', () => {
  let server: RedisServer
  let redis: Redis
  let writer: RedisStore
  beforeAll(async () => {
    server = await RedisServer.start()
    redis = server.client()
    redis.setMaxListeners(0)
  })
  beforeEach(async () => {
    await redis.flushall()
    writer = await RedisStore.open({ redis })
    // Events 1 to 4: that it was accepted, and its jobs.
    await writer.commit(submission(1, 3))
  })
  afterAll(() => server[Symbol.asyncDispose]())

  /** One commit of one event: that a job has ended. */
  const end = async (seq: number, index: number) => {
    const change = group({
      heads: [headRow(1, { seq })],
      records: [recordRow(1, index)],
      logs: [{ no: 1, entries: numbered(seq, [{ type: 'job.succeeded', index }]) }],
    })
    await writer.commit(change)
  }

  /** A store on whose connection something happens before the second of its reads of a log. */
  const between = async (happens: () => Promise<unknown>): Promise<Store> => {
    const own = server.client()
    const call = own.call.bind(own) as (command: string, args: unknown[]) => Promise<unknown>
    const reads: Promise<unknown>[] = []
    const slow = async (command: string, args: unknown[]) => {
      if (!/^X(REV)?RANGE$/.test(command)) return await call(command, args)
      const read = reads.length === 1 ? reads[0].then(happens).then(() => call(command, args)) : call(command, args)
      reads.push(read)
      return await read
    }
    Object.assign(own, { call: slow })
    return await RedisStore.open({ redis: own })
  }

  const twoCommits = async () => {
    await end(5, 0)
    await end(6, 1)
  }

  it('leaves out none of what two commits add between the reads', async () => {
    const reader = await between(twoCommits)

    const { events, after } = await reader.log(1, READ)

    expect([events.map(({ seq }) => seq), after]).toEqual([[5, 6], 6])
  })

  it('leaves out no completion of them', async () => {
    const reader = await between(twoCommits)

    const { data } = await reader.completions(1, { from: 4, limit: 99 })

    expect(data.map((job) => JSON.parse(job).index)).toEqual([0, 1])
  })

  it('goes on after one commit that comes between the reads, and others before them', async () => {
    await twoCommits()
    const reader = await between(() => end(7, 2))

    const { events } = await reader.log(1, READ)

    expect(events.map(({ seq }) => seq)).toEqual([5, 6, 7])
  })

  it('is empty when it is deleted between the reads, and not the second half of it', async () => {
    await twoCommits()
    const reader = await between(() => redis.del('gatherd:{acme}:b:1:l'))

    expect(await reader.log(1, { ...READ, after: 0 })).toEqual({ events: [], after: 0 })
  })

  it.each([
    ['the first row that is wanted', '5-0', 0],
    ['a later one', '6-0', 4],
  ])('is not read past a row that Redis has lost: %s', async (_which, row, after) => {
    await twoCommits()
    await end(7, 2)
    await redis.xdel('gatherd:{acme}:b:1:l', row)

    await expect(writer.log(1, { ...READ, after })).rejects.toThrow(StoreError)
    await expect(writer.completions(1, { from: after, limit: 99 })).rejects.toThrow(/event \d where event \d is due/)
  })

  it('is not read past a lost row at the border of two pages', async () => {
    for (let seq = 5; seq <= 220; seq++) await writer.commit(startedOnly(seq))
    // The first read is of the row of events 1 to 4 and a hundred others.
    await redis.xdel('gatherd:{acme}:b:1:l', '105-0')

    await expect(writer.log(1, { ...READ, after: 0, limit: 999 })).rejects.toThrow(StoreError)
  })
})

/** One commit of one event that no job's state depends on. */
function startedOnly(seq: number) {
  return group({
    heads: [headRow(1, { seq })],
    logs: [{ no: 1, entries: numbered(seq, [{ type: 'job.started', index: 0, attempt: 1 }]) }],
  })
}
