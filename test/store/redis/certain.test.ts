import type { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { StoreError, TenantsNotWrittenError } from '../../../src/store/error.ts'
import { RedisStore } from '../../../src/store/redis/store.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { NO_REDIS, RedisServer } from '../../support/redis.ts'
import { group, submission } from '../rows.ts'
import { both } from './groups.ts'

/** A client that gives up soon, on a connection that stays. */
const HASTY = { commandTimeout: 200, maxRetriesPerRequest: 0, autoResendUnfulfilledCommands: false }

describe.skipIf(NO_REDIS !== null)('what was refused to its caller', () => {
  let server: RedisServer
  let redis: Redis
  let clock: FakeClock
  let store: RedisStore
  let owner: string | null
  /** Called before a script is sent. */
  let beforeScript: () => void
  beforeAll(async () => {
    server = await RedisServer.start()
    redis = server.client()
  })
  beforeEach(async () => {
    await redis.flushall()
    clock = new FakeClock()
    owner = 'me'
    await redis.mset('gatherd:{acme}:owner', 'me', 'gatherd:{other}:owner', 'me')
    beforeScript = () => undefined
    const client = server.client(HASTY)
    const call = client.call.bind(client) as (command: string, args: unknown[]) => Promise<unknown>
    const watched = (command: string, args: unknown[]) => {
      if (command === 'EVALSHA') beforeScript()
      return call(command, args)
    }
    Object.assign(client, { call: watched })
    store = await RedisStore.open({ redis: client, owner: () => owner, clock })
  })
  afterEach(() => store.close())
  afterAll(() => server[Symbol.asyncDispose]())

  /** Have a batch refused by a Redis that stands still, and then does what it was told all the same. */
  const refusedByStall = async (no = 1) => {
    const refused = submission(no, 2)
    // A script that is sent for the first time is sent twice.
    await store.commit(submission(90 + no, 1))
    beforeScript = () => server.pause()
    await expect(store.commit(refused)).rejects.toThrow(StoreError)
    beforeScript = () => undefined
    server.resume()
    await expect.poll(() => redis.hexists('gatherd:{acme}:ids', refused.batches[0].id)).toBe(1)
    return refused.batches[0].id
  }
  const isThere = async (id: string) => (await redis.hexists('gatherd:{acme}:ids', id)) === 1

  it('is taken back while its tenant asks for nothing and the connection stays', async () => {
    const id = await refusedByStall()

    await expect.poll(() => clock.elapse(250).then(() => isThere(id))).toBe(false)

    expect(await redis.zrange('gatherd:{acme}:live', 0, -1)).toEqual(['91'])
    await expect.poll(() => clock.armed).toBe(0)
  })

  it('is tried to be taken back until that is done', async () => {
    const id = await refusedByStall()
    server.pause()
    for (let nth = 0; nth < 3; nth++) {
      await expect.poll(() => clock.armed).toBe(1)
      await clock.elapse(250)
    }
    server.resume()

    await expect.poll(() => clock.elapse(250).then(() => isThere(id))).toBe(false)
    await expect.poll(() => clock.armed).toBe(0)
  })

  it('is taken back at once before its tenant is given up', async () => {
    const id = await refusedByStall()

    await store.makeCertain('acme')

    expect(await isThere(id)).toBe(false)
  })

  it('is tried to be taken back before its tenant is given up, as long as that can be', async () => {
    const id = await refusedByStall()
    server.pause()
    let isCertain = false
    const certain = store.makeCertain('acme').then(() => {
      isCertain = true
    })
    await expect.poll(() => clock.armed).toBe(2)
    expect(isCertain).toBe(false)
    server.resume()

    await expect.poll(() => clock.elapse(250).then(() => isCertain)).toBe(true)
    await certain
    expect(await isThere(id)).toBe(false)
  })

  it('holds nobody up when the tenant is lost, or has nothing that is uncertain, or Redis cannot be asked', async () => {
    await store.makeCertain('other')
    await refusedByStall()
    owner = null
    await store.makeCertain('acme')
    owner = 'me'
    await refusedByStall(2)
    await store.close()

    let isOver = false
    void store.makeCertain('acme').then(() => {
      isOver = true
    })
    await clock.elapse(60_000)
    expect(isOver).toBe(true)
  })

  it('is tried no more once the store is closed', async () => {
    await refusedByStall()
    expect(clock.armed).toBe(1)

    await store.close()

    expect(clock.armed).toBe(0)
  })

  it('is what its own tenant had of a commit, and nothing that another had', async () => {
    const first = submission(1, 1)
    await store.commit(first)
    const again = submission(2, 1)
    again.batches[0] = { ...again.batches[0], id: first.batches[0].id }
    const others = submission(3, 1, { tenantId: 'other' })

    const error = await store.commit(both(again, others)).catch((thrown: unknown) => thrown)

    expect(error).toBeInstanceOf(TenantsNotWrittenError)
    expect(error).toMatchObject({ tenantIds: new Set(['acme']), message: expect.stringContaining('number 1') })
    await expect.poll(() => clock.elapse(250).then(() => clock.armed)).toBe(0)
    expect(await store.batch('other', others.batches[0].id)).toMatchObject({ no: 3 })
    expect((await store.batch('acme', first.batches[0].id))?.no).toBe(1)
  })

  it('is all of a commit when all its tenants were refused', async () => {
    await store.commit(both(submission(1, 1), submission(2, 1, { tenantId: 'other' })))
    server.pause()

    const error = await store
      .commit(both(submission(3, 1), submission(4, 1, { tenantId: 'other' })))
      .catch((thrown: unknown) => thrown)
    server.resume()

    expect(error).toBeInstanceOf(StoreError)
    expect(error).not.toBeInstanceOf(TenantsNotWrittenError)
    await expect.poll(() => clock.elapse(250).then(() => clock.armed)).toBe(0)
    expect((await store.unfinished('acme')).map(({ no }) => no)).toEqual([1])
    expect((await store.unfinished('other')).map(({ no }) => no)).toEqual([2])
  })

  it('is nothing of a commit that has no new batch', async () => {
    await store.commit(submission(1, 1))
    server.pause()
    await expect(store.commit(group({ jobs: [submission(1, 3).jobs[0]] }))).rejects.toThrow(StoreError)
    server.resume()

    expect(clock.armed).toBe(0)
  })
})
