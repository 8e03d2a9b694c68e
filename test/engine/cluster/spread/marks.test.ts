import type { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import { awayKey, type Mark, Marks } from '../../../../src/engine/cluster/spread/marks.ts'
import { FakeClock, turn } from '../../../support/fake-clock.ts'
import { RedisServer } from '../../../support/redis.ts'
import { overRedis, until } from '../support.ts'

const MARK: Mark = { tenantId: 'acme', seat: 's1', owner: 'owner' }

overRedis('Marks of attempts on other replicas', () => {
  let server: RedisServer
  let redis: Redis
  beforeAll(async () => {
    server = await RedisServer.start()
    redis = server.client()
  })
  beforeEach(async () => {
    await redis.flushall()
    await redis.set('gatherd:{acme}:owner', 'owner')
  })
  afterAll(() => server[Symbol.asyncDispose]())

  const start = () => {
    const clock = new FakeClock({ now: 0 })
    const living = new Set(['taker'])
    const trouble: unknown[] = []
    const members = { isAlive: async (id: string) => living.has(id) }
    const onError = (error: unknown) => trouble.push(error)
    return { clock, living, trouble, marks: new Marks({ redis, members, clock, leaseMs: 1_000, onError }) }
  }

  it('are set for the owner alone', async () => {
    const { marks } = start()

    expect(await marks.put(MARK, 'taker')).toBe(true)
    expect(await marks.put({ ...MARK, seat: 's2', owner: 'the one before' }, 'taker')).toBe(false)

    expect(await redis.hgetall(awayKey('acme'))).toEqual({ s1: 'taker' })
  })

  it('hold up who takes the tenant up until the last of them is removed', async () => {
    const { clock, marks } = start()
    await marks.put(MARK, 'taker')
    await marks.put({ ...MARK, seat: 's2' }, 'taker')
    const log: string[] = []

    const quiet = marks.quiet('acme').then(() => log.push('quiet'))
    for (const seat of ['s1', 's2']) {
      await until(() => clock.armed > 0)
      log.push(`removes ${seat}`)
      await marks.remove({ ...MARK, seat })
      await clock.elapse(20)
    }
    await quiet

    expect(log).toEqual(['removes s1', 'removes s2', 'quiet'])
    expect(clock.now()).toBeLessThan(1_000)
  })

  it('of a replica that is gone hold up nobody, and go', async () => {
    const { living, marks } = start()
    await marks.put(MARK, 'taker')
    living.clear()

    await marks.quiet('acme')

    expect(await redis.exists(awayKey('acme'))).toBe(0)
  })

  it('hold up nobody for longer than a lease', async () => {
    const { clock, marks } = start()
    await marks.put(MARK, 'taker')
    let isOver = false

    const quiet = marks.quiet('acme').finally(() => {
      isOver = true
    })
    while (!isOver) {
      await until(() => clock.armed > 0 || isOver)
      await clock.elapse(20)
      await turn()
    }
    await quiet

    expect(clock.now()).toBe(1_000)
  })

  it('are removed later when Redis is away', async () => {
    const { marks, trouble } = start()
    await marks.put(MARK, 'taker')
    const { hdel } = redis
    redis.hdel = () => Promise.reject(new Error('away'))

    await marks.remove(MARK)
    redis.hdel = hdel
    expect([trouble.length, await redis.hlen(awayKey('acme'))]).toEqual([1, 1])
    await marks.retry()

    expect(await redis.exists(awayKey('acme'))).toBe(0)
  })
})
