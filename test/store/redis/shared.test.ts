import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { OverloadedError } from '../../../src/errors.ts'
import { StoreError } from '../../../src/store/error.ts'
import { RedisStore } from '../../../src/store/redis/store.ts'
import type { Store } from '../../../src/store/store.ts'
import { LossyProxy, NO_REDIS, RedisServer } from '../../support/redis.ts'
import { group, headRow, jobRows, recordRow, submission } from '../rows.ts'
import { both, ended, logOf } from './groups.ts'

/** A client that gives up at once, and never says anything twice. */
const ONCE = { maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false }

describe.skipIf(NO_REDIS !== null)('RedisStore beside other writers', () => {
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

  const dump = async () => {
    const keys = (await redis.keys('*')).sort()
    return await Promise.all(keys.map(async (key) => [key, (await redis.dumpBuffer(key))?.toString('hex')]))
  }

  describe('a writer that is not the owner', () => {
    it('writes nothing of that tenant, all of the others, and is told before the commit resolves', async () => {
      const told: string[] = []
      const store = await RedisStore.open({ redis, owner: () => 'me', onStale: (tenantId) => told.push(tenantId) })
      await redis.set('gatherd:{mine}:owner', 'me')
      await redis.set('gatherd:{theirs}:owner', 'them')
      const [mine, theirs] = [submission(1, 2, { tenantId: 'mine' }), submission(2, 2, { tenantId: 'theirs' })]

      const order: string[] = []
      await store.commit(both(mine, theirs)).then(() => order.push(`resolved after ${told.join()}`))

      expect(order).toEqual(['resolved after theirs'])
      expect(await store.batch('mine', mine.batches[0].id)).not.toBeNull()
      expect(await redis.keys('gatherd:{theirs}:*')).toEqual(['gatherd:{theirs}:owner'])
    })

    it('leaves what is there as it was, byte for byte, of a large append, too', async () => {
      const first = await RedisStore.open({ redis })
      await first.commit(submission(1, 1))
      await redis.set('gatherd:{acme}:owner', 'them')
      const store = await RedisStore.open({ redis, owner: () => 'me' })
      await store.unfinished('acme')
      const before = await dump()

      await store.commit(ended(1))
      await store.commit(group({ jobs: [jobRows(1, 1, 1_200)], heads: [headRow(1, { seq: 9 })] }))

      expect(await dump()).toEqual(before)
    })

    it('sends nothing once it knows by itself that it owns the tenant no more', async () => {
      const told: string[] = []
      const store = await RedisStore.open({ redis, owner: () => null, onStale: (tenantId) => told.push(tenantId) })

      await store.commit(submission(1, 1))
      await expect(store.deleteTenant('acme', 9)).rejects.toThrow(StoreError)

      expect(told).toEqual(['acme', 'acme'])
      expect(await redis.keys('gatherd:{acme}:*')).toEqual([])
    })

    it('cannot delete a tenant', async () => {
      await (await RedisStore.open({ redis })).commit(submission(1, 1))
      await redis.set('gatherd:{acme}:owner', 'them')
      const store = await RedisStore.open({ redis, owner: () => 'me' })
      const before = await dump()

      await expect(store.deleteTenant('acme', 9)).rejects.toThrow("another replica's")

      expect(await dump()).toEqual(before)
    })
  })

  describe('a connection that is lost between a write and its answer', () => {
    /** A store behind a proxy that can lose answers. */
    const behind = async (proxy: LossyProxy, options = {}) => {
      const own = server.client({ port: proxy.port, ...options })
      return await RedisStore.open({ redis: own })
    }
    const isCommit = (request: string) => request.includes('evalsha') || request.includes('EVALSHA')

    it.each([
      ['is sent again by the client', {}],
      ['is tried again by the journal', ONCE],
    ])('leaves the record with each event once when what was written %s', async (_how, options) => {
      await using proxy = await LossyProxy.start(server.port)
      const store = await behind(proxy, options)
      const entering = submission(1, 1)
      await store.commit(entering)
      const change = ended(1)
      change.jobs.push(jobRows(1, 1, 20, ['named']))
      change.records.push(recordRow(1, 1, { count: 20, state: 6, cause: 'stop' }))

      const lost = proxy.loseAnswer(isCommit)
      let tries = 0
      const write = async (): Promise<void> => {
        tries++
        await store.commit(change).catch((error: unknown) => {
          expect(error).toBeInstanceOf(StoreError)
          return tries < 9 ? new Promise((resolve) => setTimeout(resolve, 20)).then(write) : undefined
        })
      }
      await write()
      await lost

      expect(tries > 1).toBe(options === ONCE)
      const other = await RedisStore.open({ redis })
      expect(await logOf(other, 1)).toEqual([
        [1, 'batch.accepted'],
        [2, 'job.queued'],
        [3, 'job.succeeded'],
      ])
      expect((await other.jobs(1, { from: 0, limit: 99 })).data).toHaveLength(21)
      const bytes = async (of: Store) => {
        await of.unfinished()
        return of.storedBytes('acme')
      }
      const again = await bytes(other)
      await redis.flushall()
      const straight = await RedisStore.open({ redis })
      await straight.commit(entering)
      await straight.commit(change)
      expect(again).toBe(await bytes(straight))
    })

    it('takes back a new batch whose caller was refused, before anything else of the tenant is written', async () => {
      await using proxy = await LossyProxy.start(server.port)
      const store = await behind(proxy, ONCE)
      await store.commit(submission(1, 1))
      const refused = submission(2, 3, { idempotency: { key: 'k', hash: 'h', answer: '{}' }, labels: { a: 'b' } })

      const lost = proxy.loseAnswer((request) => isCommit(request) && request.includes(refused.batches[0].id))
      await expect(store.commit(refused)).rejects.toThrow(StoreError)
      await lost
      const other = await RedisStore.open({ redis })
      const between = (await other.unfinished('acme')).map(({ no }) => no)
      for (let tries = 0; ; tries++) {
        try {
          await store.commit(ended(1))
          break
        } catch (error) {
          if (tries === 9) throw error
          await new Promise((resolve) => setTimeout(resolve, 20))
        }
      }

      expect(between).toEqual([1, 2])
      expect((await other.unfinished()).map(({ no }) => no)).toEqual([1])
      expect(await other.batch('acme', refused.batches[0].id)).toBeNull()
      expect(await other.idempotent('acme', 'k')).toBeNull()
      expect(await redis.keys('gatherd:*:2*')).toEqual([])
      expect(await redis.exists('gatherd:no:2')).toBe(0)
    })

    it('takes it back by itself when Redis can be reached again', async () => {
      await using proxy = await LossyProxy.start(server.port)
      const store = await behind(proxy, ONCE)
      const refused = submission(2, 3)
      const lost = proxy.loseAnswer((request) => isCommit(request) && request.includes(refused.batches[0].id))

      await expect(store.commit(refused)).rejects.toThrow(StoreError)
      await lost

      await expect.poll(() => redis.exists('gatherd:{acme}:b:2')).toBe(0)
      expect(await store.batch('acme', refused.batches[0].id).catch(() => null)).toBeNull()
    })

    it('never says of what it refused that it was accepted, though it is on record', async () => {
      await using proxy = await LossyProxy.start(server.port)
      const store = await behind(proxy, ONCE)
      await store.commit(submission(1, 1))
      const refused = submission(2, 3, { idempotency: { key: 'k', hash: 'h', answer: '{}' } })
      const lost = proxy.loseAnswer((request) => isCommit(request) && request.includes(refused.batches[0].id))
      await expect(store.commit(refused)).rejects.toThrow(StoreError)
      await lost
      expect(await redis.hexists('gatherd:{acme}:ik', 'k')).toBe(1)

      const read = async () => [await store.idempotent('acme', 'k'), await store.batch('acme', refused.batches[0].id)]
      const asked = async (): Promise<unknown> => await read().catch(asked)

      expect(await asked()).toEqual([null, null])
    })

    it('takes back nothing once another owner was there in between', async () => {
      await using proxy = await LossyProxy.start(server.port)
      const client = new Redis({ port: proxy.port, host: '127.0.0.1', ...ONCE })
      client.on('error', () => undefined)
      let me = 'first'
      await redis.set('gatherd:{acme}:owner', me)
      const store = await RedisStore.open({ redis: client, owner: () => me })
      const refused = submission(2, 3, { idempotency: { key: 'k', hash: 'h', answer: '{}' } })
      const lost = proxy.loseAnswer((request) => isCommit(request) && request.includes(refused.batches[0].id))
      await expect(store.commit(refused)).rejects.toThrow(StoreError)
      me = 'second'
      await redis.set('gatherd:{acme}:owner', me)
      await lost

      const adopted = async (): Promise<number[]> => {
        const rows = await store.unfinished('acme').catch(() => null)
        return rows === null ? await adopted() : rows.map(({ no }) => no)
      }
      expect(await adopted()).toEqual([2])
      await store.commit(submission(3, 1))

      expect((await store.idempotent('acme', 'k'))?.answer).toBe('{}')
      client.disconnect()
    })

    it('takes back nothing of a tenant that came back under the same name, before it is taken up', async () => {
      await using proxy = await LossyProxy.start(server.port)
      const client = new Redis({ port: proxy.port, host: '127.0.0.1', ...ONCE })
      client.on('error', () => undefined)
      await redis.set('gatherd:{acme}:owner', 'me')
      const store = await RedisStore.open({ redis: client, owner: () => 'me' })
      const refused = submission(2, 3, { idempotency: { key: 'k', hash: 'h', answer: '{}' } })
      const lost = proxy.loseAnswer((request) => isCommit(request) && request.includes(refused.batches[0].id))
      await expect(store.commit(refused)).rejects.toThrow(StoreError)
      store.leaveBe('acme')
      await lost

      const read = async () => [await store.idempotent('acme', 'k'), await store.batch('acme', refused.batches[0].id)]
      const asked = async (): Promise<unknown[]> => await read().catch(asked)

      expect(await asked()).toEqual([expect.objectContaining({ answer: '{}' }), expect.objectContaining({ no: 2 })])
      client.disconnect()
    })

    it('does not write a batch a second time under another number', async () => {
      const store = await RedisStore.open({ redis })
      const first = submission(1, 1)
      await store.commit(first)
      const [{ id }] = first.batches
      const again = submission(2, 1)
      again.batches[0] = { ...again.batches[0], id }
      const before = await dump()

      await expect(store.commit(again)).rejects.toThrow('the batch is there as number 1')
      // It takes back what it refused, and leaves what is there.
      expect(await store.idempotent('acme', 'k')).toBeNull()
      expect((await store.batch('acme', id))?.no).toBe(1)
      const known = ['gatherd:no:2', 'gatherd:{acme}:t']
      const after = (await dump()).filter(([key]) => !known.includes(String(key)))
      expect(after).toEqual(before.filter(([key]) => !known.includes(String(key))))
    })

    it.each([
      ['id', { id: 'same' }, 'the batch enters as number 1'],
      [
        'Idempotency-Key',
        { idempotency: { key: 'k', hash: 'h', answer: '{}' } },
        'the Idempotency-Key is used by number 1',
      ],
    ])('writes neither of two batches of one group that have the same %s', async (_what, own, conflict) => {
      const store = await RedisStore.open({ redis })

      await expect(store.commit(both(submission(1, 1, own), submission(2, 1, own)))).rejects.toThrow(conflict)

      expect(await redis.exists('gatherd:{acme}:b:1', 'gatherd:{acme}:b:2', 'gatherd:{acme}:ids')).toBe(0)
    })

    it('writes batches of one group that have no key', async () => {
      const store = await RedisStore.open({ redis })

      await store.commit(both(submission(1, 1), submission(2, 1)))

      expect((await store.unfinished('acme')).map(({ no }) => no)).toEqual([1, 2])
    })

    it('does not do a write that a later one has overtaken', async () => {
      const store = await RedisStore.open({ redis })
      await store.commit(submission(1, 1))
      await store.commit(group({ records: [recordRow(1, 0, { attempts: 1 })] }))
      const revision = (await redis.hget('gatherd:{acme}:t', 'rev')) ?? ''
      const [writer, count] = revision.split(' ')
      await redis.hset('gatherd:{acme}:t', 'rev', `${writer} ${Number(count) + 5}`)

      await expect(store.commit(group({ records: [recordRow(1, 0, { attempts: 2 })] }))).rejects.toThrow(
        'after a later',
      )

      expect(JSON.parse((await store.job(1, 0)) ?? '')).toMatchObject({ attempts: 1 })
    })
  })

  describe('a Redis that has lost its last writes', () => {
    it.each([
      ['events', () => redis.hset('gatherd:{acme}:b:1', 'e', '1')],
      ['the batch', () => redis.del('gatherd:{acme}:b:1')],
    ])('ends what this process thought it knew: %s', async (_what, lose) => {
      const told: string[] = []
      await redis.set('gatherd:{acme}:owner', 'me')
      const store = await RedisStore.open({ redis, owner: () => 'me', onStale: (tenantId) => told.push(tenantId) })
      await store.commit(submission(1, 1))
      await lose()
      const before = await dump()

      await store.commit(ended(1))

      expect(told).toEqual(['acme'])
      expect(await dump()).toEqual(before)
    })

    it('gives no number of another tenant away', async () => {
      const store = await RedisStore.open({ redis })
      await redis.set('gatherd:no:1', 'other')

      await expect(store.commit(submission(1, 1))).rejects.toThrow("another tenant's")

      expect(await redis.keys('gatherd:{acme}:*')).toEqual([])
      expect(await redis.get('gatherd:no:1')).toBe('other')
    })

    it("leaves another tenant's number its own when the refused batch is taken back", async () => {
      const store = await RedisStore.open({ redis })
      await redis.set('gatherd:no:1', 'other')
      await store.commit(submission(1, 1)).catch(() => undefined)

      await store.commit(submission(2, 1))

      expect(await redis.mget('gatherd:no:1', 'gatherd:no:2')).toEqual(['other', 'acme'])
    })
  })

  describe('numbers', () => {
    it('of two processes are never the same, over many blocks', async () => {
      const stores = await Promise.all([RedisStore.open({ redis }), RedisStore.open({ redis })])
      const given = new Set<number>()
      for (let nth = 0; nth < 22_000; nth++) {
        for (const store of stores) given.add(store.nextBatchNo())
        // Prefetching needs a turn.
        if (nth % 1_000 === 0) await redis.ping()
      }

      expect(given.size).toBe(44_000)
    })

    it('refuse when there are none left and Redis is away, and go on after it', async () => {
      const store = await RedisStore.open({ redis: server.client() })
      const draw = () => {
        for (let nth = 0; nth < 10_001; nth++) store.nextBatchNo()
      }

      expect(draw).toThrow(OverloadedError)
      await expect
        .poll(() => {
          try {
            return store.nextBatchNo()
          } catch {
            return 0
          }
        })
        .toBeGreaterThan(10_000)
    })

    it('go above all that a tenant had, deleted ones as well', async () => {
      const [low, high] = [await RedisStore.open({ redis }), await RedisStore.open({ redis })]
      const no = high.nextBatchNo()
      await high.commit(submission(no, 1))
      await high.deleteTenant('acme', high.lastBatchNo)
      const before = low.lastBatchNo

      await low.unfinished('acme')

      expect(before).toBeLessThan(no)
      expect(low.nextBatchNo()).toBeGreaterThan(no)
    })
  })
})
