import { describe, expect, it } from 'vitest'
import { etagOf, noneMatchHits } from '../../src/http/etag.ts'

describe('etagOf', () => {
  it('is the same for the same text and another for another', () => {
    expect(etagOf('a')).toBe(etagOf('a'))
    expect(etagOf('a')).not.toBe(etagOf('b'))
  })

  it('is quoted, and marked when weak', () => {
    expect(etagOf('a')).toMatch(/^"[\w-]{43}"$/)
    expect(etagOf('a', true)).toBe(`W/${etagOf('a')}`)
  })
})

describe('noneMatchHits', () => {
  it.each([
    ['"x"', '"x"', true],
    ['W/"x"', '"x"', true],
    ['"x"', 'W/"x"', true],
    ['"y", "x"', '"x"', true],
    ['"y",W/"x"', '"x"', true],
    ['"a,b", "x"', '"x"', true],
    ['*', '"x"', true],
    [' * ', '"x"', true],
    ['"y"', '"x"', false],
    ['x', '"x"', false],
    ['', '"x"', false],
    [undefined, '"x"', false],
  ])('compares %j with %j weakly: %s', (header, etag, hit) => {
    expect(noneMatchHits(header, etag)).toBe(hit)
  })
})
