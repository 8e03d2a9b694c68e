import type { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { StoreError } from '../../../src/store/error.ts'
import { RedisStore } from '../../../src/store/redis/store.ts'
import type { Store } from '../../../src/store/store.ts'
import { NO_REDIS, RedisServer } from '../../support/redis.ts'
import { group, headRow, jobRows, numbered, recordRow, submission } from '../rows.ts'
import { both, ended, logOf } from './groups.ts'

const STEP = { now: 1_000, drainedBefore: 500, keysBefore: 500, tombstonesBefore: 0 }

describe.skipIf(NO_REDIS !== null)('RedisStore', () => {
  let server: RedisServer
  let redis: Redis
  beforeAll(async () => {
    server = await RedisServer.start()
    redis = server.client()
    // Each store listens.
    redis.setMaxListeners(0)
  })
  beforeEach(async () => {
    await redis.flushall()
  })
  afterAll(() => server[Symbol.asyncDispose]())

  describe('deleting', () => {
    const drained = async (store: Store, from: number, to: number, tenantId = 'acme') => {
      for (let no = from; no <= to; no++) {
        const idempotency = { key: `k${no}`, hash: 'h', answer: '{}' }
        await store.commit(submission(no, 20, { tenantId, acceptedAt: 1, idempotency }))
        await store.commit(
          group({ heads: [headRow(no, { drainedAt: 1 })], records: [recordRow(no, 0, { count: 20 })] }),
        )
      }
    }
    const sweep = async (store: Store, step = STEP) => {
      let rows = 0
      for (let own = 1; own > 0; rows += own) own = await store.expire(step)
      return rows
    }

    it('by two processes at once does each thing once, and leaves nothing', async () => {
      const stores = await Promise.all([RedisStore.open({ redis }), RedisStore.open({ redis })])
      await drained(stores[0], 1, 60)
      await drained(stores[1], 61, 120, 'other')

      const rows = await Promise.all(stores.map((store) => sweep(store)))

      // A batch goes out of sight, then its rows go; its Idempotency-Key.
      expect(rows[0] + rows[1]).toBe(3 * 120)
      expect(await redis.keys('gatherd:*:b:*')).toEqual([])
      expect(await redis.keys('gatherd:no:*')).toEqual([])
      for (const store of stores) await sweep(store, { ...STEP, tombstonesBefore: 2_000 })
      await stores[0].unfinished()
      expect([stores[0].storedBytes('acme'), stores[0].storedBytes('other')]).toEqual([0, 0])
      expect((await redis.keys('gatherd:{*')).sort()).toEqual(['gatherd:{acme}:t', 'gatherd:{other}:t'])
    })

    const looked = () => redis.smembers('gatherd:known')

    it('forgets a tenant of which nothing is left, and knows it again with its next batch', async () => {
      const store = await RedisStore.open({ redis })
      await drained(store, 1, 2)
      await drained(store, 3, 3, '{o}t{her}')
      await sweep(store)
      expect((await looked()).sort(), 'their tombstones are there').toEqual(['acme', '{o}t{her}'])

      await sweep(store, { ...STEP, tombstonesBefore: 2_000 })
      await sweep(store, { ...STEP, tombstonesBefore: 2_000 })
      expect(await looked()).toEqual([])
      await store.commit(submission(4, 1))

      expect(await looked()).toEqual(['acme'])
      expect((await store.unfinished()).map(({ no }) => no)).toEqual([4])
      expect(store.storedBytes('acme')).toBeGreaterThan(0)
    })

    it.each([
      ['a batch', { drainedBefore: 0 }],
      ['a key', { keysBefore: 0, tombstonesBefore: 2_000 }],
      ['a tombstone', {}],
    ])('forgets no tenant that has %s left', async (_, change) => {
      const store = await RedisStore.open({ redis })
      await drained(store, 1, 1)

      await sweep(store, { ...STEP, ...change })
      await sweep(store, { ...STEP, ...change })

      expect(await looked()).toEqual(['acme'])
    })

    it('forgets a deleted tenant once all of it is gone', async () => {
      const store = await RedisStore.open({ redis })
      await drained(store, 1, 60)
      await store.deleteTenant('acme', 60)
      await store.expire(STEP)
      expect(await looked()).toEqual(['acme'])

      await sweep(store)
      await sweep(store)

      expect([await looked(), await redis.keys('gatherd:*:b:*')]).toEqual([[], []])
    })

    it('forgets no tenant whose batch is written while another process finds it empty', async () => {
      const own = server.client()
      const store = await RedisStore.open({ redis: own })
      const other = await RedisStore.open({ redis })
      await redis.sadd('gatherd:known', 'acme')
      const call = own.call.bind(own) as (command: string, args: unknown[]) => Promise<unknown>
      const late = async (command: string, args: unknown[]) => {
        // After the numbers are given out, before the batch is there.
        if (command.startsWith('EVAL')) await other.expire(STEP)
        return await call(command, args)
      }
      Object.assign(own, { call: late })

      await store.commit(submission(1, 1))

      expect(await looked()).toEqual(['acme'])
    })

    it('a tenant hides all of it at once, and lets a new one of its name begin', async () => {
      const store = await RedisStore.open({ redis })
      await store.putTenant({ id: 'acme', settings: {}, createdAt: 1 })
      await drained(store, 1, 60)
      const live = submission(61, 3)
      await store.commit(live)

      await store.deleteTenant('acme', 61)

      expect([await store.tenants(), await store.unfinished(), store.storedBytes('acme')]).toEqual([[], [], 0])
      expect(await store.batches({ tenantId: 'acme', labels: {}, before: 99, limit: 9 })).toEqual([])
      expect([await store.batch('acme', live.batches[0].id), await store.idempotent('acme', 'k1')]).toEqual([
        null,
        null,
      ])
      const anew = submission(62, 2, { idempotency: { key: 'k1', hash: 'new', answer: '' } })
      await store.commit(anew)
      const kept = store.storedBytes('acme')
      // What was under way for the old one is nobody's.
      await store.commit(ended(61, 5))
      await store.commit(submission(60, 1))
      await store.deleteTenant('gone', 61)
      await sweep(store, { ...STEP, keysBefore: 0 })

      expect(await store.idempotent('acme', 'k1')).toMatchObject({ hash: 'new' })
      expect((await store.unfinished('acme')).map(({ no }) => no)).toEqual([62])
      expect(await store.jobs(62, { from: 0, limit: 9 })).toMatchObject({ data: { length: 2 } })
      expect(store.storedBytes('acme')).toBe(kept)
      expect((await redis.keys('gatherd:{acme}:b:*')).filter((key) => !key.includes(':b:62'))).toEqual([])
      expect(await redis.keys('gatherd:{acme}:dead*')).toEqual([])
    })

    it('a tenant whose batches were on their way out takes nothing from the next one of its name', async () => {
      const store = await RedisStore.open({ redis })
      await store.commit(submission(1, 1))
      // Out of sight with its bytes, and the process that was to let it go has ended.
      await redis.zadd('gatherd:{acme}:purge', 500, '9')
      await store.deleteTenant('acme', 9)
      await store.commit(submission(10, 1))
      const kept = store.storedBytes('acme')

      await sweep(store, { ...STEP, keysBefore: 0 })

      expect(store.storedBytes('acme')).toBe(kept)
    })

    it('a tenant twice leaves nothing of either', async () => {
      const store = await RedisStore.open({ redis })
      await drained(store, 1, 3)
      await store.deleteTenant('acme', 3)
      await drained(store, 4, 6)
      await store.deleteTenant('acme', 6)

      await sweep(store)

      expect(await redis.keys('gatherd:{acme}:*')).toEqual(['gatherd:{acme}:t'])
      expect(await redis.keys('gatherd:no:*')).toEqual([])
    })
  })

  describe('a large batch', () => {
    it('is seen whole or not at all while its specs go ahead', async () => {
      const seen = new Set<number>()
      const store = await RedisStore.open({ redis })
      const watcher = await RedisStore.open({ redis: server.client() })
      const large = submission(1, 10_000)
      const names = large.jobs[0].specs.map((_, i) => (i % 100 === 0 ? `n${i}` : null))
      large.jobs[0].names = names
      let done = false
      const watch = async () => {
        while (!done) {
          const row = await watcher.batch('acme', large.batches[0].id)
          if (row !== null) seen.add((await watcher.pending(1)).length)
          else seen.add(-1)
        }
      }

      const watching = watch()
      await store.commit(large)
      await watcher.pending(1).then((jobs) => seen.add(jobs.length))
      done = true
      await watching

      expect([...seen].sort()).toEqual([-1, 10_000])
      expect(await store.namesTaken(1, ['n100', 'n1', 'job-1', 'job-100'])).toEqual(['n100', 'job-1'])
      expect((await store.specs(1, { from: 9_999, limit: 5 })).length).toBe(1)
      expect(await redis.ttl('gatherd:{acme}:b:1:j')).toBe(-1)
    })

    it('whose specs went ahead of a commit that never came is nobody’s, and goes by itself', async () => {
      const store = await RedisStore.open({ redis })
      await store.commit(submission(1, 1))
      const failing = both(submission(2, 2_000), group({ jobs: [jobRows(1, 5, 2, ['twin', 'twin'])] }))

      await expect(store.commit(failing)).rejects.toThrow(StoreError)

      expect(await store.pending(2)).toEqual([])
      expect(await redis.pttl('gatherd:{acme}:b:2:j')).toBeGreaterThan(0)
    })

    it('is refused, whole, when its specs have expired before its commit came', async () => {
      await redis.set('gatherd:{acme}:owner', 'me')
      let scripts = 0
      // Before the last of three scripts; the same connection keeps the order.
      const owner = () => {
        if (++scripts === 3) void redis.del('gatherd:{acme}:b:1:j')
        return 'me'
      }
      const store = await RedisStore.open({ redis, owner })
      const large = submission(1, 1_000)

      await expect(store.commit(large)).rejects.toThrow('specs have expired')

      expect(await store.batch('acme', large.batches[0].id)).toBeNull()
    })

    it('comes back whole however large what its jobs left is', async () => {
      const store = await RedisStore.open({ redis })
      await store.commit(submission(1, 5))
      const result = JSON.stringify('x'.repeat(700_000))
      const indexes = [0, 1, 2, 3, 4]
      const records = indexes.map((index) =>
        recordRow(1, index, { result, state: 4, error: `{"type":"E","code":"c${index}","message":"m"}` }),
      )
      const entries = numbered(
        7,
        indexes.map((index) => ({ type: 'job.failed' as const, index })),
      )
      await store.commit(group({ records, logs: [{ no: 1, entries }] }))

      const { failures } = await store.history(1)

      expect(failures.map(({ code }) => code)).toEqual(['c0', 'c1', 'c2', 'c3', 'c4'])
    })

    it('runs as one record, which later ones replace', async () => {
      const store = await RedisStore.open({ redis })
      await store.commit(submission(1, 5_000))
      await store.commit(group({ records: [recordRow(1, 7, { attempts: 7 })] }))
      await store.commit(group({ records: [recordRow(1, 0, { count: 5_000, state: 6, cause: 'stop', attempts: 0 })] }))
      await store.commit(group({ records: [recordRow(1, 8, { attempts: 8 })] }))

      const { data } = await store.jobs(1, { from: 6, limit: 4 })

      expect(data.map((text) => [JSON.parse(text).state, JSON.parse(text).attempts])).toEqual([
        ['cancelled', 0],
        ['cancelled', 0],
        ['succeeded', 8],
        ['cancelled', 0],
      ])
      expect(await redis.hlen('gatherd:{acme}:b:1:r')).toBe(2)
    })
  })

  it('counts what a tenant keeps as it is, not as often as it was written', async () => {
    const store = await RedisStore.open({ redis })
    await store.commit(submission(1, 2))
    const bytes = [store.storedBytes('acme')]

    for (const result of ['"12345"', '"123456789"', '"12345"']) {
      await store.commit(
        group({ records: [recordRow(1, 0, { result })], jobs: [jobRows(1, 1, 1)], heads: [headRow(1)] }),
      )
      bytes.push(store.storedBytes('acme'))
    }

    expect(bytes[0]).toBeGreaterThan(0)
    expect(bytes[1] - bytes[0]).toBeGreaterThan(64)
    // The facts of its length are a digit as well.
    expect([bytes[2] - bytes[1], bytes[3] - bytes[1]]).toEqual([5, 0])
  })

  it('lists many batches, whatever of them is wanted', async () => {
    const store = await RedisStore.open({ redis })
    const numbers = Array.from({ length: 250 }, (_, i) => i + 1)
    for (const no of numbers) await store.commit(submission(no, 0, { labels: no % 3 === 0 ? { a: 'b' } : {} }))
    const list = async (labels: Record<string, string>, limit: number) =>
      (await store.batches({ tenantId: 'acme', labels, before: 1_000, limit })).map(({ no }) => no)
    const newest = numbers.toReversed()

    expect(await list({}, 220)).toEqual(newest.slice(0, 220))
    expect(await list({ a: 'b' }, 60)).toEqual(newest.filter((no) => no % 3 === 0).slice(0, 60))
    expect(await list({ a: 'b' }, 999)).toHaveLength(83)
  })

  it('tells the other replicas of each batch that changed, and of the directory', async () => {
    const listener = server.client()
    const heard: string[] = []
    listener.on('pmessage', (_pattern, channel, message) => heard.push(`${channel} ${message}`))
    await listener.psubscribe('*')
    const store = await RedisStore.open({ redis })
    const entering = submission(1, 1)
    const id = entering.batches[0].id

    await store.commit(entering)
    await store.commit(group({ heads: [headRow(1, { seq: 9, state: 'failed', drainedAt: 5 })] }))
    await store.putTenant({ id: 'acme', settings: {}, createdAt: 1 })

    await expect
      .poll(() => heard)
      .toEqual([`gatherd:b:${id} 2 running 0`, `gatherd:b:${id} 9 failed 1`, 'gatherd:0:directory acme'])
  })

  it.each<[string, (store: Store) => Promise<unknown>, () => Promise<unknown>]>([
    ['a record', (store) => store.job(1, 0), () => redis.hset('gatherd:{acme}:b:1:r', '0', 'x')],
    ['a job', (store) => store.job(1, 0), () => redis.hset('gatherd:{acme}:b:1:j', '0', 'x')],
    ['a log', (store) => logOf(store, 1), () => redis.xadd('gatherd:{acme}:b:1:l', '9-0', 'x', '{')],
    ['a tenant', (store) => store.tenants(), () => redis.hset('gatherd:tenants', 'x', '{"id":7}')],
    ['a key', (store) => store.keys(), () => redis.hset('gatherd:keys', 'x', 'no')],
    ['a type', (store) => store.tenants(), () => redis.set('gatherd:tenants', 'x')],
    ['the secret', () => RedisStore.open({ redis }), () => redis.set('gatherd:secret', 'x')],
    ['the counter', () => RedisStore.open({ redis }), () => redis.set('gatherd:no', 'x')],
  ])('says so when another program has written %s', async (_what, read, write) => {
    const store = await RedisStore.open({ redis })
    await store.commit(submission(1, 1))
    await write()

    await expect(read(store)).rejects.toThrow(StoreError)
  })

  it('says nothing of what was to be written when a write fails', async () => {
    const store = await RedisStore.open({ redis })
    await redis.set('gatherd:{acme}:batches', 'in the way')
    const secret = 'the-secret-of-a-job'

    const error = await store
      .commit({ ...submission(1, 0), jobs: [{ ...jobRows(1, 0, 1), specs: [secret] }] })
      .catch((thrown: unknown) => thrown)

    expect(error).toBeInstanceOf(StoreError)
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain(secret)
  })

  it('keeps what it has acknowledged when Redis is killed, and goes on', async () => {
    await using durable = await RedisServer.start({ appendOnly: true })
    const store = await RedisStore.open({ redis: durable.client() })
    const entering = submission(store.nextBatchNo(), 700)
    const no = entering.batches[0].no
    await store.commit(entering)

    await durable.restart()
    await store.commit(group({ records: [recordRow(no, 0)], heads: [headRow(no, { seq: 702 })] }))

    expect((await store.batch('acme', entering.batches[0].id))?.seq).toBe(702)
    expect(await store.pending(no)).toHaveLength(699)
  })

  it('rejects, and hangs for nobody, when Redis is away for longer than its client waits', async () => {
    await using paused = await RedisServer.start()
    const store = await RedisStore.open({ redis: paused.client({ commandTimeout: 50 }) })
    paused.pause()

    await expect(store.commit(submission(1, 1))).rejects.toThrow(StoreError)
    await expect(store.batch('acme', 'x')).rejects.toThrow(StoreError)
    paused.resume()
    await expect.poll(() => store.tenants().catch(() => null)).toEqual([])
  })
})
