/** How a {@link TokenBucket} fills. */
export interface BucketRate {
  /** Tokens that come back in a second; may be a fraction. */
  perSecond: number
  /** Tokens that it holds at most; at least one. */
  burst: number
}

/** What rounding may take of a token: a sum of fractions must not be late by a millisecond for it. */
const ROUNDING = 1e-9

/**
 * Tokens that come back evenly, up to a burst: in any stretch of `t` seconds no more than `burst + perSecond × t` are
 * taken. Pure: whoever asks brings the time, in milliseconds, which must not run backwards.
 */
export class TokenBucket {
  #rate: BucketRate
  #tokens: number
  #at: number

  /** @param options.tokens - What it begins with, cut to the burst. */
  constructor(options: { rate: BucketRate; tokens: number; now: number }) {
    this.#rate = options.rate
    this.#tokens = Math.min(options.tokens, options.rate.burst)
    this.#at = options.now
  }

  /** Whole tokens that are there. */
  count(now: number): number {
    this.#fill(now)
    return Math.max(0, Math.floor(this.#tokens + ROUNDING))
  }

  /** Take one; false when there is none. */
  take(now: number): boolean {
    if (this.count(now) < 1) return false
    this.#tokens--
    return true
  }

  /** When there is one more whole token than now: a whole millisecond, after `now`. Never too early. */
  nextAt(now: number): number {
    const missing = this.count(now) + 1 - this.#tokens
    return Math.max(Math.ceil(now + (missing * 1_000) / this.#rate.perSecond), Math.floor(now) + 1)
  }

  /** From now on it fills otherwise; what is in it stays, as far as the new burst has room. */
  change(rate: BucketRate, now: number): void {
    this.#fill(now)
    this.#rate = rate
    this.#fill(now)
  }

  #fill(now: number): void {
    const { perSecond, burst } = this.#rate
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#at) * perSecond) / 1_000)
    this.#at = now
  }
}
