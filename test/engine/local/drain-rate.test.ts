import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DrainRate, LONGEST_S } from '../../../src/engine/local/drain-rate.ts'

/** A queue that is never empty, from which `count` jobs leave every `everyMs` from 0 on; where that ended. */
function steady(rate: DrainRate, { everyMs, forMs, count = 1 }: { everyMs: number; forMs: number; count?: number }) {
  rate.left(0, 0, false)
  let now = 0
  while (now < forMs) {
    now += everyMs
    rate.left(count, now, false)
  }
  return now
}

describe('DrainRate', () => {
  it('advises what a steady rate needs for so many jobs', () => {
    const rate = new DrainRate()
    const now = steady(rate, { everyMs: 100, forMs: 60_000 })

    expect(rate.secondsFor(10, now)).toBe(1)
    expect(rate.secondsFor(100, now)).toBe(10)
    expect(rate.secondsFor(5_000, now)).toBeGreaterThan(490)
    expect(rate.secondsFor(5_000, now)).toBeLessThanOrEqual(500)
  })

  it.each([2, 20, 200])('knows a rate after a few seconds as well as after many: %i s', (seconds) => {
    const rate = new DrainRate()
    const now = steady(rate, { everyMs: 100, forMs: seconds * 1_000 })

    expect(rate.secondsFor(1_000, now) / 100).toBeCloseTo(1, 1)
  })

  it('does not take a burst of less than a second for what goes on', () => {
    const rate = new DrainRate()
    rate.left(0, 0, false)
    rate.left(50, 1, false)

    expect(rate.secondsFor(50, 1)).toBe(1)
    expect(rate.secondsFor(500, 1)).toBeGreaterThanOrEqual(9)
  })

  it('follows a rate that changes', () => {
    const rate = new DrainRate()
    const changed = steady(rate, { everyMs: 10, forMs: 60_000 })
    expect(rate.secondsFor(1_000, changed)).toBe(10)

    for (let now = changed; now < changed + 100_000; now += 1_000) rate.left(1, now + 1_000, false)

    const advice = rate.secondsFor(100, changed + 100_000)
    expect(advice).toBeGreaterThan(85)
    expect(advice).toBeLessThan(115)
  })

  it('does not count the time in which the queue was empty', () => {
    const [rested, never] = [new DrainRate(), new DrainRate()]
    const at = steady(rested, { everyMs: 100, forMs: 30_000 })
    steady(never, { everyMs: 100, forMs: 30_000 })

    rested.left(1, at, true)
    never.left(1, at, false)
    const later = at + 3_600_000
    expect(rested.secondsFor(1_000, later)).toBe(never.secondsFor(1_000, at))

    rested.left(0, later, false)
    rested.left(0, later + 50, false)
    rested.left(1, later + 100, false)
    never.left(1, at + 100, false)
    expect(rested.secondsFor(1_000, later + 100)).toBe(never.secondsFor(1_000, at + 100))
  })

  it('advises more the longer nothing leaves', () => {
    const rate = new DrainRate()
    const now = steady(rate, { everyMs: 1_000, forMs: 60_000 })

    const advices = [0, 5, 10, 20, 40].map((s) => rate.secondsFor(10, now + s * 1_000))

    expect(advices).toEqual(advices.toSorted((a, b) => a - b))
    expect(new Set(advices).size).toBe(5)
  })

  it('advises as long as it has been when nothing ever left', () => {
    const rate = new DrainRate()
    expect(rate.secondsFor(7, 5_000)).toBe(1)

    rate.left(0, 5_000, false)

    expect(rate.secondsFor(7, 5_000)).toBe(1)
    expect(rate.secondsFor(7, 47_000)).toBe(42)
    expect(rate.secondsFor(7, 10_000_000)).toBe(LONGEST_S)
  })

  it('is a number also for none, when nothing has left for hours', () => {
    const rate = new DrainRate()
    const now = steady(rate, { everyMs: 1_000, forMs: 10_000 })

    expect(rate.secondsFor(0, now)).toBe(1)
    expect(rate.secondsFor(0, now + 36_000_000)).toBeGreaterThan(1_000)
    expect(rate.secondsFor(-3, now + 36_000_000)).toBeGreaterThan(1_000)
  })

  it('is never less than a second, nor more than an hour, always whole', () => {
    const count = fc.integer({ min: -5, max: 1_000_000 })
    const leave = fc.record({
      count: fc.integer({ min: 1, max: 10_000 }),
      afterMs: fc.nat(100_000),
      last: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(leave, { maxLength: 20 }), count, fc.nat(1e9), (leaves, wanted, afterMs) => {
        const rate = new DrainRate()
        let now = 0
        for (const { count, afterMs, last } of leaves) {
          now += afterMs
          rate.left(count, now, last)
        }
        const advice = rate.secondsFor(wanted, now + afterMs)
        return Number.isInteger(advice) && advice >= 1 && advice <= LONGEST_S
      }),
    )
  })

  it('is within a quarter of what a steady rate needs, whatever the rate, in the middle between two jobs too', () => {
    const steadyRate = fc.record({
      everyMs: fc.integer({ min: 1, max: 120_000 }),
      count: fc.integer({ min: 1, max: 100 }),
      /** When it is asked, as a share of the time to the next. */
      phase: fc.double({ min: 0, max: 1, noNaN: true }),
      seconds: fc.integer({ min: 10, max: LONGEST_S * 0.75 }),
    })
    fc.assert(
      fc.property(steadyRate, ({ everyMs, count, phase, seconds }) => {
        const rate = new DrainRate()
        const now = steady(rate, { everyMs, count, forMs: Math.max(30_000, 3 * everyMs) })
        const perSecond = (count / everyMs) * 1_000
        const jobs = Math.max(1, Math.round(seconds * perSecond))
        const exact = jobs / perSecond
        const advice = rate.secondsFor(jobs, now + phase * everyMs)
        // A whole second more is rounding.
        return advice >= exact * 0.75 && advice <= exact * 1.25 + 1
      }),
      { numRuns: 100 },
    )
  })
})
