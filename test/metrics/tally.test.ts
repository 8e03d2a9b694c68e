import { describe, expect, it } from 'vitest'
import { Buckets, OTHER, Tally } from '../../src/metrics/tally.ts'

describe('Buckets', () => {
  it('has for each bound how many values were at most as large', () => {
    const buckets = new Buckets([1, 10, 100])

    for (const value of [0, 1, 1.5, 10, 99, 100, 101, 1e9]) buckets.observe(value)

    expect(buckets.cumulative).toEqual([2, 4, 6])
  })

  it('counts and sums what is larger than every bound, too', () => {
    const buckets = new Buckets([1])

    for (const value of [0.5, 7, 7]) buckets.observe(value)

    expect([buckets.count, buckets.sum]).toEqual([3, 14.5])
  })

  it('begins with nothing', () => {
    const buckets = new Buckets([1, 2])

    expect([buckets.count, buckets.sum, ...buckets.cumulative]).toEqual([0, 0, 0, 0])
  })
})

describe('Tally', () => {
  const all = (tally: Tally) => Object.fromEntries(tally.entries())

  it('counts by a key', () => {
    const tally = new Tally()

    for (const key of ['a', 'b', 'a']) tally.add(key)
    tally.add('b', 10)

    expect(all(tally)).toEqual({ a: 2, b: 11 })
  })

  it('has so many different keys at most, and goes on with those', () => {
    const tally = new Tally(2)

    for (const key of ['a', 'b', 'c', 'd', 'a']) tally.add(key)

    expect(all(tally)).toEqual({ a: 2, b: 1, [OTHER]: 2 })
  })

  it.each(['', 'two words', 'http://a.test/', 'a"b', 'ä', 'line\nbreak', '9lives', 'x'.repeat(65)])(
    'takes no key that is no word: %j',
    (key) => {
      const tally = new Tally()

      tally.add(key, 3)

      expect(all(tally)).toEqual({ [OTHER]: 3 })
    },
  )

  it.each(['timeout', 'http_status', 'not-allowed', 'E2BIG', 'x'.repeat(64)])('takes a word: %j', (key) => {
    const tally = new Tally()

    tally.add(key)

    expect(all(tally)).toEqual({ [key]: 1 })
  })
})
