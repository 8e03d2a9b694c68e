import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { attemptSpanId, batchSpanId, jobSpanId, spanIdOf } from '../../src/traces/ids.ts'
import { keptPlaceOf, placeOf, traceparentOf } from '../../src/traces/place.ts'

describe('the id of a span', () => {
  it('is one that W3C Trace Context takes, and the same each time', () => {
    fc.assert(
      fc.property(fc.string(), (name) => {
        expect(spanIdOf(name)).toMatch(/^(?!0{16})[0-9a-f]{16}$/)
        expect(spanIdOf(name)).toBe(spanIdOf(name))
      }),
    )
  })

  it('is another for each batch, job and attempt', () => {
    const ids = ['a', 'a-0', 'a-1'].flatMap((id) => [
      batchSpanId(id),
      jobSpanId(id),
      attemptSpanId(id, 1),
      attemptSpanId(id, 2),
    ])

    expect(new Set(ids).size).toBe(12)
  })
})

describe('where a span is', () => {
  const place = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 1 }

  it('is what its traceparent says, and back', () => {
    expect(placeOf(traceparentOf(place))).toEqual(place)
    expect(traceparentOf(place)).toBe('00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01')
    expect(traceparentOf({ ...place, traceFlags: 0 })).toMatch(/-00$/)
  })

  it('is nowhere without a good one', () => {
    expect([placeOf(undefined), placeOf(''), placeOf('nonsense')]).toEqual([null, null, null])
  })

  it.each([
    ['00', false],
    ['01', true],
    ['02', false],
    ['03', true],
  ])('is kept or not by the first of its flags: %s', (flags, kept) => {
    expect(keptPlaceOf(`00-${place.traceId}-${place.spanId}-${flags}`) !== null).toBe(kept)
  })
})
