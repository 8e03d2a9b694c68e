import { describe, expect, it } from 'vitest'
import { Book } from '../../../bench/report/book.ts'
import { gapsIn } from '../../../bench/soak/follow.ts'
import { fateOf, JOBS, jobsOf } from '../../../bench/soak/mix.ts'
import { growth } from '../../../bench/soak/soak.ts'
import { grown, MAY_GROW } from '../../../bench/soak/verdict.ts'
import { LOOKS, type Look, type Sighting } from '../../../bench/soak/watch.ts'

/** A look a minute, each figure by the minute. */
function soak(minutes: number, figure: (look: Look, minute: number) => number): Sighting[] {
  const looks = Object.keys(LOOKS) as Look[]
  return Array.from({ length: minutes }, (_, i) => ({
    minutes: i + 1,
    figures: Object.fromEntries(looks.map((look) => [look, figure(look, i + 1)])) as Record<Look, number>,
  }))
}

describe('the mix of a soak', () => {
  it('has as many jobs as it says, of all kinds', () => {
    const jobs = jobsOf('http://origin')

    expect(jobs).toHaveLength(JOBS)
    expect(jobs).toContainEqual({ kind: 'fetch', url: 'http://origin/hang', timeoutMs: 30 })
    expect(jobs).toContainEqual({ kind: 'sleep', durationMs: 10 })
  })

  it('has batches that are cancelled, followed and read', () => {
    const fates = Map.groupBy(
      Array.from({ length: 100 }, (_, i) => i),
      fateOf,
    )

    expect([fates.get('cancel')?.length, fates.get('follow')?.length, fates.get('read')?.length]).toEqual([10, 20, 70])
  })
})

describe('the events of a stream over its reconnects', () => {
  it.each([
    [0, [1, 2, 3], 0],
    [3, [4, 5], 0],
    [3, [], 0],
    [3, [5, 6], 1],
    [3, [3, 4], 1],
    [3, [4, 4, 5], 1],
    [3, [4, 7, 9], 2],
  ])('after %i, %j has %i gaps', (after, seqs, gaps) => {
    expect(gapsIn(after, seqs)).toBe(gaps)
  })
})

describe('the verdict on a soak', () => {
  it('is that nothing grows when nothing does', () => {
    for (const [, percent] of grown(soak(30, () => 100))) expect(percent).toBe(0)
  })

  it('is not moved by how it begins', () => {
    const warming = soak(30, (_, minute) => Math.min(minute, 10))

    expect(grown(warming).get('resident memory')).toBe(0)
  })

  it('tells what grows from what does not', () => {
    const leaking = soak(30, (look, minute) => (look === 'heap' ? 100 + minute : 100))

    expect(grown(leaking).get('heap')).toBeGreaterThan(MAY_GROW.heap ?? 0)
    expect(grown(leaking).get('resident memory')).toBe(0)
  })

  it('is in percent of the median', () => {
    // From the 10th to the 30th minute, 110 to 130.
    expect(grown(soak(30, (_, minute) => 100 + minute)).get('heap')).toBeCloseTo((100 * 20) / 120, 5)
  })

  it.each([
    [9, 0, Object.keys(MAY_GROW).length],
    [10, Object.keys(MAY_GROW).length, 0],
  ])('is given after ten minutes: %i', (minutes, judged, tooShort) => {
    const book = new Book()

    growth(
      book,
      soak(minutes, () => 100),
    )

    const { series, skipped } = book.findings()
    expect(series).toHaveLength(judged)
    expect(skipped.filter(({ why }) => why === 'too short to judge')).toHaveLength(tooShort)
  })

  it('is also given when the last look came a little before the end', () => {
    const book = new Book()

    growth(
      book,
      soak(20, () => 100).map(({ minutes, figures }) => ({ minutes: minutes * 0.4999, figures })),
    )

    expect(book.findings().skipped).toEqual([])
  })

  it('has nothing to say of nothing', () => {
    expect(grown([]).get('heap')).toBe(0)
  })
})
