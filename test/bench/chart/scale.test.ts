import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isWide, linear, logarithmic } from '../../../bench/chart/scale.ts'

const positive = fc.double({ min: 1e-6, max: 1e9, noNaN: true })

describe('a linear scale', () => {
  it('goes from 0 to the first round figure that is not less than the greatest', () => {
    expect(linear(47, 100).ticks).toEqual([0, 10, 20, 30, 40, 50])
    expect(linear(50, 100).ticks).toEqual([0, 10, 20, 30, 40, 50])
    expect(linear(0.7, 100).ticks).toEqual([0, 0.2, 0.4, 0.6, 0.8])
    expect(linear(50, 100).at(25)).toBe(50)
  })

  it('has room for whatever there is, and a few ticks', () => {
    fc.assert(
      fc.property(positive, (greatest) => {
        const { at, ticks } = linear(greatest, 300)

        expect(at(greatest)).toBeLessThanOrEqual(300 * (1 + 1e-6))
        expect(at(greatest)).toBeGreaterThan(120)
        expect(ticks.length).toBeLessThanOrEqual(7)
      }),
    )
  })

  it('is there when all is 0', () => {
    const { at, ticks } = linear(0, 100)

    expect(at(0)).toBe(0)
    expect(ticks.length).toBeGreaterThan(1)
    expect(ticks.every(Number.isFinite)).toBe(true)
  })
})

describe('a logarithmic scale', () => {
  it('goes from the power of ten below to the one above', () => {
    const { at, ticks } = logarithmic(3, 800, 300)

    expect(ticks).toEqual([1, 10, 100, 1_000])
    expect([1, 10, 100, 1_000].map(at)).toEqual([0, 100, 200, 300])
  })

  it('ends where the figures do when they are powers of ten', () => {
    expect(logarithmic(1, 1_000, 300).ticks).toEqual([1, 10, 100, 1_000])
  })

  it('has room for one figure', () => {
    expect(logarithmic(10, 10, 300).ticks).toEqual([10, 100])
  })

  it('has a place for whatever there is', () => {
    fc.assert(
      fc.property(positive, positive, (a, b) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)]
        const { at } = logarithmic(low, high, 300)

        expect(at(low)).toBeGreaterThanOrEqual(-1e-3)
        expect(at(high)).toBeLessThanOrEqual(300 + 1e-3)
      }),
    )
  })
})

describe('figures of a wide spread', () => {
  it.each([
    [[1, 99], false],
    [[1, 100], true],
    [[0, 1_000], false],
    [[-1, 1_000], false],
  ])('%j: %s', (figures, wide) => {
    expect(isWide(figures)).toBe(wide)
  })
})
