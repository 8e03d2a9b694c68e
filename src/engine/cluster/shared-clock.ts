import type { Redis } from 'ioredis'
import type { Clock, TimerHandle } from '../../clock.ts'

/** Looks at Redis' clock: the quickest answer says it best. */
const LOOKS = 3

/**
 * Our own clock, put right by what Redis' says once, at the start: what one replica writes another goes on from, so all stamps of the record are
 * those of one clock. From then on it runs as our own does.
 */
export class SharedClock implements Clock {
  /** How far our own clock was ahead of Redis', in milliseconds; 0: no further than can be told. */
  readonly aheadMs: number
  readonly #own: Clock

  constructor(own: Clock, aheadMs: number) {
    this.#own = own
    this.aheadMs = aheadMs
  }

  /** @throws what Redis says, unless that we may not know its time: then our own clock is as good. */
  static async of(own: Clock, redis: Redis): Promise<SharedClock> {
    try {
      return new SharedClock(own, await aheadOf(own, redis))
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('NOPERM'))) throw error
      return new SharedClock(own, 0)
    }
  }

  now(): number {
    return this.#own.now() - this.aheadMs
  }

  after(delayMs: number, fire: () => void): TimerHandle {
    return this.#own.after(delayMs, fire)
  }
}

async function aheadOf(own: Clock, redis: Redis): Promise<number> {
  let best = { errorMs: Number.POSITIVE_INFINITY, aheadMs: 0 }
  for (let look = 0; look < LOOKS; look++) {
    const before = own.now()
    const [seconds, micros] = await redis.time()
    const errorMs = (own.now() - before) / 2
    const aheadMs = before + errorMs - (Number(seconds) * 1_000 + Number(micros) / 1_000)
    if (errorMs < best.errorMs) best = { errorMs, aheadMs }
  }
  return Math.abs(best.aheadMs) <= best.errorMs + 1 ? 0 : best.aheadMs
}
