import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { RawJson, stringify } from '../../src/json/raw.ts'

describe('stringify', () => {
  it('is JSON.stringify for what has no text of its own', () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        const attempt = (write: (value: unknown) => unknown) => {
          try {
            return { text: write(value) }
          } catch (error) {
            return { error: String(error) }
          }
        }
        expect(attempt(stringify)).toEqual(attempt(JSON.stringify))
      }),
    )
  })

  it('takes text over as it is, alone and as a field, in its place', () => {
    const raw = new RawJson('{"a":1.0,"a":2}')

    expect(stringify(raw)).toBe('{"a":1.0,"a":2}')
    expect(stringify({ before: 1, 'b"ody': raw, none: undefined, call: () => 1, after: [null] })).toBe(
      '{"before":1,"b\\"ody":{"a":1.0,"a":2},"after":[null]}',
    )
    expect(stringify({ raw, more: raw })).toBe('{"raw":{"a":1.0,"a":2},"more":{"a":1.0,"a":2}}')
  })

  it('means the same where it is deeper', () => {
    expect(stringify({ a: { b: new RawJson('[1.0]') } })).toBe('{"a":{"b":[1]}}')
    expect(stringify([new RawJson('[1.0]')])).toBe('[[1]]')
    expect(stringify({ toJSON: () => 'own', raw: new RawJson('1.0') })).toBe('"own"')
  })

  it('throws what JSON cannot carry beside a text, too', () => {
    expect(() => stringify({ raw: new RawJson('1'), big: 1n })).toThrow(TypeError)
  })
})
