import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { StoreError } from '../../../src/store/error.ts'
import { Connection } from '../../../src/store/redis/connection.ts'
import { Script } from '../../../src/store/redis/script.ts'
import { RedisStore } from '../../../src/store/redis/store.ts'
import { NO_REDIS, RedisServer } from '../../support/redis.ts'
import { submission } from '../rows.ts'
import { both } from './groups.ts'

describe.skipIf(NO_REDIS !== null)('the connection of the Redis store', () => {
  let server: RedisServer
  beforeAll(async () => {
    server = await RedisServer.start()
  })
  afterAll(() => server[Symbol.asyncDispose]())

  /** A connection that is ready, and counts of the writes to its socket. */
  const watched = async () => {
    const redis = server.client({ maxRetriesPerRequest: 0, retryStrategy: () => 1 })
    await redis.ping()
    const single = vi.spyOn(redis.stream, '_write')
    const many = vi.spyOn(redis.stream, '_writev')
    const writes = () => single.mock.calls.length + many.mock.calls.length
    return { redis, connection: new Connection(redis), writes }
  }

  it('sends what several ask for at once in one write, in its order', async () => {
    const { connection, writes } = await watched()
    const push = new Script("return redis.call('RPUSH', KEYS[1], ARGV[1])")
    await connection.run(push, ['list'], ['0'])
    const before = writes()

    const answers = [1, 2, 3].map((nth) =>
      nth === 2 ? connection.run(push, ['list'], [nth]) : connection.call('RPUSH', 'list', nth),
    )

    expect(await Promise.all(answers)).toEqual([2, 3, 4])
    expect(writes() - before).toBe(1)
    expect(await connection.call('LRANGE', 'list', 0, -1)).toEqual(['0', '1', '2', '3'])
  })

  it('also what follows from an answer, and does not wait for more', async () => {
    const { connection, writes } = await watched()

    await connection.call('SET', 'a', '1')
    const before = writes()
    const both = await Promise.resolve().then(() =>
      Promise.all([connection.call('GET', 'a'), connection.call('GET', 'b')]),
    )
    await connection.call('GET', 'a')

    expect(both).toEqual(['1', null])
    expect(writes() - before).toBe(2)
  })

  it('goes on over a new socket when the old one ends while it is written to', async () => {
    const { redis, connection } = await watched()
    const first = redis.stream
    const lost = connection.call('SET', 'c', '1').catch((error: unknown) => error)
    first.destroy()
    expect([null, 'OK']).toContain(await lost.then((said) => (said instanceof StoreError ? null : said)))

    await expect.poll(() => connection.call('SET', 'c', '2').catch(() => null)).toBe('OK')

    expect(redis.stream).not.toBe(first)
    expect(redis.stream.writableCorked).toBe(0)
  })

  it('is a write for all tenants of a commit group, and one for who their new batches are', async () => {
    const { redis, writes } = await watched()
    const store = await RedisStore.open({ redis })
    await store.commit(submission(1, 1, { tenantId: 'zero' }))
    const before = writes()

    const tenants = ['one', 'two', 'three', 'four'].map((tenantId, i) => submission(i + 2, 1, { tenantId }))
    await store.commit(tenants.reduce(both))

    expect(writes() - before).toBe(2)
    expect((await store.unfinished()).map(({ tenantId }) => tenantId)).toEqual(['zero', 'one', 'two', 'three', 'four'])
  })
})
