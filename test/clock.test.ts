import { describe, expect, it, vi } from 'vitest'
import { MAX_TIMER_MS, stamp, systemClock } from '../src/clock.ts'

describe('systemClock', () => {
  it('is anchored to the wall clock and does not run backwards', () => {
    const wall = performance.timeOrigin

    const first = systemClock.now()
    const second = systemClock.now()

    expect(first).toBeGreaterThan(wall)
    expect(second).toBeGreaterThanOrEqual(first)
  })

  it('calls back after the delay, once, and not when it was cancelled', () => {
    vi.useFakeTimers()
    try {
      const calls: string[] = []
      systemClock.after(10, () => calls.push('kept'))
      const cancelled = systemClock.after(5, () => calls.push('cancelled'))
      cancelled.cancel()
      cancelled.cancel()

      vi.advanceTimersByTime(9)
      expect(calls).toEqual([])
      vi.advanceTimersByTime(100)

      expect(calls).toEqual(['kept'])
    } finally {
      vi.useRealTimers()
    }
  })

  it('cuts a wait that Node would fire at once to the longest that it keeps', () => {
    vi.useFakeTimers()
    try {
      let calls = 0
      systemClock.after(MAX_TIMER_MS * 3, () => calls++)
      systemClock.after(-5, () => calls++)

      vi.advanceTimersByTime(0)
      expect(calls).toBe(1)
      vi.advanceTimersByTime(MAX_TIMER_MS - 1)
      expect(calls).toBe(1)
      vi.advanceTimersByTime(1)

      expect(calls).toBe(2)
    } finally {
      vi.useRealTimers()
    }
  })
})

describe('stamp', () => {
  it.each([
    [0, '1970-01-01T00:00:00.000Z'],
    [Date.UTC(2026, 0, 2, 3, 4, 5, 678) + 0.999, '2026-01-02T03:04:05.678Z'],
    [Date.UTC(2026, 11, 31, 23, 59, 59, 999) + 0.5, '2026-12-31T23:59:59.999Z'],
  ])('of %d is ISO 8601 in UTC, rounded down', (ms, expected) => {
    expect(stamp(ms)).toBe(expected)
  })
})
