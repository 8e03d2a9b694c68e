import { describe, expect, it } from 'vitest'
import { StartRate } from '../../../src/engine/local/rate.ts'
import { Timers } from '../../../src/engine/local/timers.ts'
import { type BadHabits, FakeClock } from '../../support/fake-clock.ts'

/** A rate on a clock that has run for `upMs`; `wakes` are the instants at which it said that a start is due. */
function start(perSecond: number, { upMs = 0, ...habits }: { upMs?: number } & BadHabits = {}) {
  const clock = new FakeClock(habits)
  const since = clock.now()
  clock.advance(upMs)
  const timers = new Timers({ clock })
  const wakes: number[] = []
  const rate = new StartRate({ perSecond, since, clock, timers, wake: () => wakes.push(clock.now() - since) })
  return { clock, timers, rate, wakes }
}

/** Start as many as may start now. */
function startAll(rate: StartRate): number {
  let count = 0
  for (; rate.open && count < 20_000; count++) rate.spend()
  return count
}

describe('StartRate', () => {
  it('is empty when the service starts, and opens when the first start is due', () => {
    const { clock, rate, wakes } = start(2)

    expect(rate.open).toBe(false)
    clock.advance(499)
    expect([rate.open, wakes]).toEqual([false, []])
    clock.advance(1)
    expect([rate.open, wakes]).toEqual([true, [500]])
  })

  it('has filled since then for a tenant that comes later, up to a second’s worth', () => {
    expect(startAll(start(4, { upMs: 250 }).rate)).toBe(1)
    expect(startAll(start(4, { upMs: 500 }).rate)).toBe(2)
    expect(startAll(start(4, { upMs: 3_600_000 }).rate)).toBe(4)
    expect(startAll(start(2.5, { upMs: 3_600_000 }).rate)).toBe(3)
    expect(startAll(start(0.5, { upMs: 3_600_000 }).rate)).toBe(1)
  })

  it('closes with the last start, and opens again with the next one due', () => {
    const { clock, rate, wakes } = start(0.5, { upMs: 10_000 })

    rate.spend()
    expect(rate.open).toBe(false)
    clock.advance(1_999)
    expect(rate.open).toBe(false)
    clock.advance(1)
    expect([rate.open, wakes]).toEqual([true, [12_000]])
  })

  it('arms no timer while it is open, and one while it is not', () => {
    const { timers, rate } = start(3, { upMs: 10_000 })

    expect(timers.size).toBe(0)
    startAll(rate)
    expect(timers.size).toBe(1)
  })

  it('is not fooled by a timer that fires too soon', () => {
    const { clock, rate, wakes } = start(1, { earlyMs: 0.9 })

    clock.advance(999.5)
    expect(rate.open).toBe(false)
    clock.advance(1)
    expect(rate.open).toBe(true)
    expect(wakes.every((at) => at >= 1_000)).toBe(true)
  })

  it('goes on at a new rate from the moment it is told', () => {
    const { clock, rate, wakes } = start(0.01)

    clock.advance(1_000)
    rate.change(10)
    expect(rate.open).toBe(false)
    clock.advance(99)
    expect([rate.open, wakes]).toEqual([true, [1_099]])
  })

  it('has one timer, however often it is changed', () => {
    const { timers, rate } = start(1)

    for (const perSecond of [2, 3, 0.5, 4]) rate.change(perSecond)

    expect(timers.size).toBe(1)
  })

  it('keeps no more than the new rate has room for', () => {
    const { rate } = start(100, { upMs: 10_000 })

    rate.change(2)

    expect(startAll(rate)).toBe(2)
  })

  it('may be told the rate that it has', () => {
    const { clock, rate, wakes } = start(1)

    for (let ms = 0; ms < 1_000; ms += 100) {
      rate.change(1)
      clock.advance(100)
    }

    expect([rate.open, wakes]).toEqual([true, [1_000]])
  })

  it('wakes nobody any more once it is closed', () => {
    const { clock, timers, rate, wakes } = start(1)

    rate.close()
    clock.advance(10_000)
    rate.close()

    expect([wakes, timers.size]).toEqual([[], 0])
  })

  it.each([0.3, 1, 2.5, 40, 333, 5_000])(
    'starts %d a second in the long run, neither more nor much less',
    (perSecond) => {
      const { clock, rate } = start(perSecond)
      let started = 0

      const seconds = 60
      for (let ms = 0; ms < seconds * 1_000; ms++) {
        clock.advance(1)
        started += startAll(rate)
      }

      expect(started).toBeLessThanOrEqual(perSecond * seconds)
      expect(started).toBeGreaterThan(perSecond * seconds * 0.99 - 1)
    },
  )
})
