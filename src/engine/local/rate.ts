import type { Clock } from '../../clock.ts'
import { type BucketRate, TokenBucket } from '../../token-bucket.ts'
import type { Timer, TimerOwner, Timers } from './timers.ts'

/**
 * The rate at which the jobs of one tenant may start (`rate.jobsPerSecond`). Whether one may start now is a field, so that
 * the fair queue asks for nothing; a timer sets it again when the next start is due, never early.
 *
 * It has filled since the service started, when it was empty: nobody knows how much of it the last process had used, and
 * a service that restarts every second must not start a burst every second.
 */
export class StartRate implements TimerOwner {
  /** A job may start now, as far as the rate goes. */
  open = false
  readonly #clock: Clock
  readonly #timers: Timers
  readonly #wake: () => void
  readonly #bucket: TokenBucket
  #perSecond: number
  #timer: Timer | null = null

  /**
   * @param options.since - When the service started, in milliseconds since the epoch.
   * @param options.wake - Called when a start is due again.
   */
  constructor(options: { perSecond: number; since: number; clock: Clock; timers: Timers; wake: () => void }) {
    const { perSecond, since, clock, timers, wake } = options
    this.#clock = clock
    this.#timers = timers
    this.#wake = wake
    this.#perSecond = perSecond
    const now = clock.now()
    const tokens = ((now - since) * perSecond) / 1_000
    this.#bucket = new TokenBucket({ rate: rateOf(perSecond), tokens, now })
    this.#look(now)
  }

  /** Jobs that may start now, as far as the rate goes. */
  get left(): number {
    return this.open ? this.#bucket.count(this.#clock.now()) : 0
  }

  /** A job starts. */
  spend(): void {
    const now = this.#clock.now()
    this.#bucket.take(now)
    this.#look(now)
  }

  /** The setting changed: what has come together stays. Whoever changes it has the fair queue look again. */
  change(perSecond: number): void {
    if (perSecond === this.#perSecond) return
    this.#perSecond = perSecond
    const now = this.#clock.now()
    this.#bucket.change(rateOf(perSecond), now)
    this.#look(now)
  }

  due(): void {
    this.#look(this.#clock.now())
    if (this.open) this.#wake()
  }

  /** There is no rate any more. */
  close(): void {
    this.#disarm()
  }

  #look(now: number): void {
    this.open = this.#bucket.count(now) >= 1
    this.#disarm()
    if (!this.open) this.#timer = this.#timers.arm(this, 'sleep', 0, this.#bucket.nextAt(now))
  }

  #disarm(): void {
    if (this.#timer !== null) this.#timers.cancel(this.#timer)
    this.#timer = null
  }
}

/** A second's worth may start at once, and always one. */
function rateOf(perSecond: number): BucketRate {
  return { perSecond, burst: Math.max(1, Math.ceil(perSecond)) }
}
