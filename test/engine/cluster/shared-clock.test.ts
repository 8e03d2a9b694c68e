import type { Redis } from 'ioredis'
import { describe, expect, it } from 'vitest'
import { SharedClock } from '../../../src/engine/cluster/shared-clock.ts'
import { FakeClock } from '../../support/fake-clock.ts'

/** A Redis whose clock says `ours + offMs`, and whose answers take so long each, half of it each way. */
function redisAt(clock: FakeClock, offMs: number, takes: number[]): Redis {
  const time = async () => {
    const half = (takes.shift() ?? 0) / 2
    clock.advance(half)
    const now = clock.now() + offMs
    clock.advance(half)
    return [Math.floor(now / 1_000), Math.round((now % 1_000) * 1_000)]
  }
  return { time } as unknown as Redis
}

describe('SharedClock', () => {
  it.each([3_600_000, -3_600_000, 40])(
    'is that of Redis when ours is %i ms ahead, and runs as ours does',
    async (ms) => {
      const own = new FakeClock({ now: 1e12 })
      const clock = await SharedClock.of(own, redisAt(own, -ms, [10, 10, 10]))

      expect(clock.aheadMs).toBeCloseTo(ms)
      expect(clock.now()).toBeCloseTo(own.now() - ms)
      own.advance(5_000)
      expect(clock.now()).toBeCloseTo(own.now() - ms)
    },
  )

  it('believes the quickest of its looks', async () => {
    const own = new FakeClock({ now: 1e12 })
    const redis = redisAt(own, 0, [])
    let look = 0
    // Of a slow answer all the time goes by on its way back, so that it says too little.
    redis.time = async () => {
      const now = own.now() - 500
      own.advance(++look === 2 ? 2 : 4_000)
      return [Math.floor(now / 1_000), (now % 1_000) * 1_000]
    }

    expect((await SharedClock.of(own, redis)).aheadMs).toBeCloseTo(501)
    expect(look).toBe(3)
  })

  it('is ours when the two cannot be told apart', async () => {
    const own = new FakeClock({ now: 1e12 })

    expect((await SharedClock.of(own, redisAt(own, 4, [10, 10, 10]))).aheadMs).toBe(0)
    expect((await SharedClock.of(own, redisAt(own, 7, [10, 10, 10]))).aheadMs).toBeCloseTo(-7)
  })

  it('is ours for a user who may not ask for the time, and fails with a Redis that does', async () => {
    const own = new FakeClock({ now: 1e12 })
    const saying = (message: string) => ({ time: () => Promise.reject(new Error(message)) }) as unknown as Redis

    expect((await SharedClock.of(own, saying('NOPERM this user'))).aheadMs).toBe(0)
    await expect(SharedClock.of(own, saying('Connection is closed.'))).rejects.toThrow('closed')
  })

  it('has the timers of ours', async () => {
    const own = new FakeClock({ now: 1e12 })
    const clock = new SharedClock(own, 3_600_000)
    let fired = 0
    clock.after(100, () => void fired++)
    const cancelled = clock.after(100, () => void fired++)
    cancelled.cancel()

    own.advance(100)

    expect(fired).toBe(1)
  })
})
