import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { baggageOf, childTraceparent } from '../../../src/jobs/fetch/trace.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'

describe('childTraceparent', () => {
  it('keeps the trace and its flags, and names a new span', () => {
    const child = childTraceparent(`00-${TRACE}-b7ad6b7169203331-01`)

    expect(child).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-01$`))
    expect(child).not.toContain('b7ad6b7169203331')
    expect(childTraceparent(`00-${TRACE}-b7ad6b7169203331-01`)).not.toBe(child)
  })

  it('understands a later version', () => {
    expect(childTraceparent(`cc-${TRACE}-b7ad6b7169203331-00-what-comes`)).toMatch(/^00-.*-00$/)
  })

  it.each([
    '',
    'x',
    `ff-${TRACE}-b7ad6b7169203331-01`,
    `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
  ])('is nothing under %j', (parent) => {
    expect(childTraceparent(parent)).toBe(undefined)
  })
})

describe('baggageOf', () => {
  it('writes a map as W3C baggage', () => {
    expect(baggageOf({ tenant: 'acme', 'ä (1)': 'a,b;c=d "e"\\' })).toBe(
      'tenant=acme,%C3%A4%20%281%29=a%2Cb%3Bc%3Dd%20%22e%22%5C',
    )
  })

  it('is nothing for an empty map', () => {
    expect(baggageOf({})).toBe(undefined)
  })

  it('leaves out what is too much', () => {
    const many = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`k${n}`, 'v']))

    expect(baggageOf(many)?.split(',').length).toBe(64)
    expect(baggageOf({ a: 'x'.repeat(9_000), b: '1' })).toBe('b=1')
  })

  it('is a header value that gives back any map', () => {
    fc.assert(
      fc.property(
        fc.dictionary(
          fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }),
          fc.string({ unit: 'grapheme', maxLength: 8 }),
          { maxKeys: 8 },
        ),
        (map) => {
          const baggage = baggageOf(map) ?? ''
          expect(baggage).toMatch(/^[!-~]*$/)
          const members =
            baggage === '' ? [] : baggage.split(',').map((member) => member.split('=').map(decodeURIComponent))
          expect(Object.fromEntries(members)).toEqual({ ...map })
        },
      ),
    )
  })

  it('takes a lone surrogate', () => {
    expect(baggageOf({ a: '\ud800' })).toBe('a=%EF%BF%BD')
  })
})
