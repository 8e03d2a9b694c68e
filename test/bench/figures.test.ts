import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { growth, median, quantile, ratios, shown, slope, spreadOf, told } from '../../bench/figures.ts'

const figures = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 50 })
const line = (length: number, y: (x: number) => number) => Array.from({ length }, (_, x) => ({ x, y: y(x) }))

describe('quantile', () => {
  it('is one of the figures, and not less for a greater share', () => {
    fc.assert(
      fc.property(
        figures,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (all, a, b) => {
          const [low, high] = [quantile(all, Math.min(a, b)), quantile(all, Math.max(a, b))]

          expect(all).toContain(low)
          expect(low).toBeLessThanOrEqual(high)
        },
      ),
    )
  })

  it('sorts figures as numbers, whatever their order', () => {
    expect(quantile([100, 9, 20], 0)).toBe(9)
    expect(quantile([100, 9, 20], 1)).toBe(100)
  })

  it('has no figure of none', () => {
    expect(quantile([], 0.5)).toBeNaN()
  })

  it('leaves the figures as they were', () => {
    const all = [3, 1, 2]

    median(all)

    expect(all).toEqual([3, 1, 2])
  })
})

describe('spreadOf', () => {
  it('is the median, the least and the greatest', () => {
    expect(spreadOf([5, 1, 9])).toEqual({ median: 5, low: 1, high: 9 })
  })

  it('is nothing of nothing', () => {
    expect(spreadOf([])).toEqual({ median: Number.NaN, low: Number.NaN, high: Number.NaN })
  })
})

describe('ratios', () => {
  it('are between figures of the same round', () => {
    expect(ratios([10, 30], [100, 100])).toEqual([0.1, 0.3])
  })

  it('leave out the rounds that one of the two lacks', () => {
    expect(ratios([10, 30], [100])).toEqual([0.1])
    expect(ratios([10], [100, 5])).toEqual([0.1])
  })
})

describe('slope', () => {
  it('is that of a line', () => {
    expect(slope(line(9, (x) => 3 * x + 4))).toBeCloseTo(3)
  })

  it('is not moved by an outlier', () => {
    const points = line(9, (x) => 3 * x)
    points[7].y = 1e9

    expect(slope(points)).toBeCloseTo(3)
  })

  it('is 0 where there is nothing to compare', () => {
    expect(slope([])).toBe(0)
    expect(slope([{ x: 1, y: 5 }])).toBe(0)
    expect(
      slope([
        { x: 1, y: 5 },
        { x: 1, y: 7 },
      ]),
    ).toBe(0)
  })
})

describe('growth', () => {
  it('is the whole rise as a share of the median', () => {
    // From 100 to 120, in the middle 110.
    expect(growth(line(11, (x) => 100 + 2 * x))).toBeCloseTo(20 / 110)
  })

  it('is the same whatever the unit of time', () => {
    const points = line(11, (x) => 100 + 2 * x)

    expect(growth(points.map(({ x, y }) => ({ x: x / 60, y })))).toBeCloseTo(growth(points))
  })

  it('is less than nothing of what shrinks, and nothing of what stays or is not there', () => {
    expect(growth(line(5, (x) => 100 - x))).toBeLessThan(0)
    expect(growth(line(5, () => 7))).toBe(0)
    expect(growth(line(5, () => 0))).toBe(0)
    expect(growth([])).toBe(0)
  })
})

describe('a figure to be read', () => {
  it.each([
    [31_234.6, '31,235'],
    [100.4, '100'],
    [12.345, '12.3'],
    [0.356, '0.36'],
    [-0.356, '-0.36'],
    [64, '64'],
    [0, '0'],
    [Number.NaN, '–'],
    [Infinity, '–'],
  ])('%d is %s', (figure, text) => {
    expect(shown(figure)).toBe(text)
  })

  it('has the rounds that it lies between, unless there is one', () => {
    expect(told({ median: 5, low: 1.5, high: 900 })).toBe('5 (1.50–900)')
    expect(told({ median: 5, low: 5, high: 5 })).toBe('5')
  })
})
