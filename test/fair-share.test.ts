import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fitsShare } from '../src/fair-share.ts'

/** What each of `tenants` ends with of `limit`, when they take turns to ask for one more until nobody gets any. */
function shares(limit: number, tenants: number): number[] {
  const held: number[] = Array(tenants).fill(0)
  const free = () => limit - held.reduce((sum, each) => sum + each, 0)
  let goesOn = true
  while (goesOn) {
    goesOn = false
    for (const i of held.keys()) {
      if (!fitsShare({ held: held[i], wanted: 1, free: free() })) continue
      held[i]++
      goesOn = true
    }
  }
  return held
}

describe('fitsShare', () => {
  it('gives one alone a half, two a third each, three a quarter each', () => {
    expect(shares(120, 1)).toEqual([60])
    expect(shares(120, 2)).toEqual([40, 40])
    expect(shares(120, 3)).toEqual([30, 30, 30])
  })

  it('gives one that has nothing what fits, the whole budget too, and no byte more', () => {
    expect(fitsShare({ held: 0, wanted: 100, free: 100 })).toBe(true)
    expect(fitsShare({ held: 0, wanted: 101, free: 100 })).toBe(false)
    expect(fitsShare({ held: 0, wanted: 0, free: 0 })).toBe(true)
  })

  it('leaves free as much as whoever has something has then', () => {
    const amount = fc.nat(1_000)
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1_000 }), amount, amount, (held, wanted, free) => {
        expect(fitsShare({ held, wanted, free })).toBe(free - wanted >= held + wanted)
      }),
    )
  })
})
