import { describe, expect, it } from 'vitest'
import { heartbeatKey, Membership } from '../../../src/engine/cluster/membership.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { NO_REDIS, RedisServer } from '../../support/redis.ts'

describe.skipIf(NO_REDIS !== null)('a lease at a Redis that is full', () => {
  it('is renewed, and ends when its key is gone', async () => {
    await using server = await RedisServer.start()
    const redis = server.client()
    const clock = new FakeClock()
    const lost: string[] = []
    const membership = new Membership({ redis, clock, leaseMs: 10_000, onLost: (id) => lost.push(id) })
    await membership.start()
    const id = membership.id ?? ''
    await redis.config('SET', 'maxmemory', '1')
    const armed = clock.armed
    const beat = async () => {
      clock.advance(4_000)
      await expect.poll(() => clock.armed).toBe(armed)
    }

    for (let beats = 0; beats < 5; beats++) await beat()
    const idAfter = membership.id
    expect(membership.full).toBe(true)
    await redis.config('SET', 'maxmemory', '0')
    await beat()
    expect(membership.full).toBe(false)
    await redis.del(heartbeatKey(id))
    clock.advance(4_000)

    await expect.poll(() => lost).toEqual([id])
    expect(idAfter).toBe(id)
    await membership.leave()
  })
})
