import { describe, expect, it } from 'vitest'
import { boundOf, judge, type Target, TOO_SHORT } from '../../../bench/report/verdict.ts'

const FOUND = {
  series: [
    { name: 'loop', unit: 'jobs/s', figures: [1_000, 4_000, 2_000] },
    { name: 'gatherd', unit: 'jobs/s', figures: [700, 3_600, 1_500] },
    { name: 'late', unit: 'ms', figures: [8, 12, 10] },
  ],
  skipped: [],
}
const verdict = (target: Target) => judge(FOUND, target).verdict

describe('a target', () => {
  it('is judged by the median of the rounds', () => {
    expect(verdict({ series: 'late', most: 10 })).toBe('met')
    expect(verdict({ series: 'late', most: 9.9 })).toBe('missed')
    expect(verdict({ series: 'late', least: 10 })).toBe('met')
    expect(verdict({ series: 'late', least: 10.1 })).toBe('missed')
  })

  it('of what must never be is judged by the worst of them', () => {
    expect(verdict({ series: 'late', most: 11, always: true })).toBe('missed')
    expect(verdict({ series: 'late', most: 12, always: true })).toBe('met')
    expect(verdict({ series: 'late', least: 9, always: true })).toBe('missed')
    expect(verdict({ series: 'late', least: 8, always: true })).toBe('met')
    expect(judge(FOUND, { series: 'late', most: 12, always: true }).target).toBe('late ≤ 12 ms, always')
  })

  it('that is a share is judged by the shares of each round, not by those of the medians', () => {
    // 0.7, 0.9 and 0.75; the medians would give 0.75 as well, but not the same spread.
    const share: Target = { series: 'gatherd', per: 'loop', least: 0.75 }

    expect(judge(FOUND, share)).toMatchObject({ verdict: 'met', found: { median: 0.75, low: 0.7, high: 0.9 } })
    expect(verdict({ ...share, least: 0.76 })).toBe('missed')
  })

  it('may be a share of which there must not be more', () => {
    expect(verdict({ series: 'gatherd', per: 'loop', most: 0.8 })).toBe('met')
    expect(verdict({ series: 'gatherd', per: 'loop', most: 0.7 })).toBe('missed')
  })

  it.each([
    { series: 'nobody', most: 1 },
    { series: 'late', per: 'nobody', most: 1 },
    { series: 'nobody', per: 'late', most: 1 },
  ])('is neither met nor missed when it was not measured: %j', (target) => {
    expect(judge(FOUND, target)).toMatchObject({ verdict: 'not measured', told: '–' })
  })

  it('is told to be too short for a judgement when that is why there is no figure', () => {
    const found = {
      series: [],
      skipped: [
        { name: 'heap', why: TOO_SHORT },
        { name: 'disk', why: 'no disk' },
      ],
    }

    expect(judge(found, { series: 'heap', most: 1 })).toMatchObject({ verdict: 'too short to judge', told: '–' })
    expect(judge(found, { series: 'disk', most: 1 }).verdict).toBe('not measured')
  })

  it('can be read, and what was found as well', () => {
    expect(judge(FOUND, { series: 'late', most: 10 })).toMatchObject({ target: 'late ≤ 10 ms', told: '10 (8–12) ms' })
    expect(judge(FOUND, { series: 'gatherd', per: 'loop', least: 0.7 })).toMatchObject({
      target: 'gatherd ≥ 0.70 × loop',
      told: '0.75 (0.70–0.90) ×',
    })
  })
})

describe('where a target is drawn', () => {
  it('is in the unit of its series', () => {
    expect(boundOf(FOUND, { series: 'late', most: 10 })).toBe(10)
    expect(boundOf(FOUND, { series: 'gatherd', per: 'loop', least: 0.7 })).toBe(1_400)
  })

  it('is nowhere when what it is a share of was not measured', () => {
    expect(boundOf(FOUND, { series: 'gatherd', per: 'nobody', least: 0.7 })).toBeNaN()
  })
})
