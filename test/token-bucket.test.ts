import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type BucketRate, TokenBucket } from '../src/token-bucket.ts'

const START = Date.UTC(2026, 0, 1)

function bucketOf(rate: BucketRate, tokens = rate.burst, now = START): TokenBucket {
  return new TokenBucket({ rate, tokens, now })
}

/** Take all there is; how many that was. */
function drain(bucket: TokenBucket, now: number): number {
  for (let taken = 0; ; taken++) if (!bucket.take(now)) return taken
}

describe('TokenBucket', () => {
  it('begins with what it is given, and never holds more than its burst', () => {
    expect(bucketOf({ perSecond: 1, burst: 5 }, 3).count(START)).toBe(3)
    expect(bucketOf({ perSecond: 1, burst: 5 }, 9).count(START)).toBe(5)
    expect(bucketOf({ perSecond: 1, burst: 5 }, 0).count(START + 3_600_000)).toBe(5)
  })

  it('gives a token as often as it has one', () => {
    const bucket = bucketOf({ perSecond: 2, burst: 3 })

    expect(drain(bucket, START)).toBe(3)
    expect([bucket.take(START + 499), bucket.take(START + 500), bucket.take(START + 999)]).toEqual([false, true, false])
    expect(drain(bucket, START + 1_500)).toBe(2)
  })

  it.each([
    [1, 1_000],
    [0.5, 2_000],
    [3, 334],
    [1_000, 1],
    [100_000, 1],
    [0.001, 1_000_000],
  ])('says of %d a second that the next one is there after %d ms, and then it is', (perSecond, wait) => {
    const bucket = bucketOf({ perSecond, burst: 1 }, 0)

    expect(bucket.nextAt(START)).toBe(START + wait)
    expect([bucket.count(START + wait - 1), bucket.count(START + wait)]).toEqual([0, 1])
  })

  it('names an instant for the next token that is after now, and at which it is there, whatever the time', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.001, max: 1e6, noNaN: true }),
        fc.double({ min: 0, max: 0.999_999, noNaN: true }),
        fc.double({ min: 0, max: 1e9, noNaN: true }),
        (perSecond, tokens, after) => {
          const now = START + after
          const bucket = bucketOf({ perSecond, burst: 1 }, tokens, now)

          const at = bucket.nextAt(now)

          expect(at).toBeGreaterThan(now)
          expect(Number.isInteger(at)).toBe(true)
          // Rounding may cost another millisecond, but never a loop that does not move.
          expect(bucket.count(at) >= 1 || bucket.nextAt(at) === at + 1).toBe(true)
        },
      ),
      { numRuns: 500 },
    )
  })

  it('gives no more than burst + rate × t in any stretch of t, however it is asked', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(0.1, 0.5, 1, 3, 7.7, 1_000 / 3, 5_000),
        fc.array(fc.oneof(fc.double({ min: 0, max: 3, noNaN: true }), fc.integer({ min: 0, max: 2_000 })), {
          maxLength: 300,
        }),
        (perSecond, gaps) => {
          const burst = Math.max(1, Math.ceil(perSecond))
          const bucket = bucketOf({ perSecond, burst })
          const taken: number[] = []
          let now = START
          for (const gap of gaps) {
            now += gap
            if (bucket.take(now)) taken.push(now)
          }

          for (const [i, from] of taken.entries())
            for (const [j, to] of taken.entries())
              if (j >= i) expect(j - i + 1).toBeLessThanOrEqual(burst + ((to - from) * perSecond) / 1_000 + 1e-6)
        },
      ),
      { numRuns: 100 },
    )
  })

  it('keeps what is in it when its rate changes, as far as there is room', () => {
    const bucket = bucketOf({ perSecond: 10, burst: 10 }, 0)

    bucket.change({ perSecond: 1, burst: 3 }, START + 500)
    expect(bucket.count(START + 500)).toBe(3)
    bucket.change({ perSecond: 10, burst: 10 }, START + 1_000)
    expect(bucket.count(START + 1_000)).toBe(3)
    expect(bucket.count(START + 1_100)).toBe(4)
  })

  it('counts the time before a change at the rate of then', () => {
    const bucket = bucketOf({ perSecond: 1, burst: 100 }, 0)

    bucket.change({ perSecond: 100, burst: 100 }, START + 2_000)

    expect(bucket.count(START + 2_000)).toBe(2)
  })
})
