import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bytesOf, lengthOf, RawJson, stringify, textOf } from '../../src/json/raw.ts'

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

  it('is in pieces where one of the texts is bytes, and copies none of them', () => {
    const bytes = Buffer.from('"é"')

    const pieces = stringify({ a: 1, body: new RawJson(bytes), small: new RawJson('2'), b: 'x' })

    expect(pieces).toEqual(['{"a":1,"body":', bytes, ',"small":2,"b":"x"}'])
    expect((pieces as unknown[])[1]).toBe(bytes)
    expect(stringify(new RawJson(bytes))).toEqual(['', bytes, ''])
  })

  it('means the same in pieces', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.tuple(fc.jsonValue(), fc.nat(2))), (fields) => {
        const entries = Object.entries(fields).filter(([name]) => name !== 'toJSON')
        const value = Object.fromEntries(
          entries.map(([name, [field, how]]) => {
            const text = JSON.stringify(field)
            return [name, [field, new RawJson(text), new RawJson(Buffer.from(text))][how]]
          }),
        )
        const written = stringify(value) ?? ''
        const pieces = typeof written === 'string' ? [written] : written
        const plain = JSON.stringify(Object.fromEntries(entries.map(([name, [field]]) => [name, field])))
        expect(textOf(pieces)).toBe(plain)
        expect(Buffer.from(bytesOf(pieces)).toString()).toBe(plain)
      }),
    )
  })
})

describe('lengthOf', () => {
  it('adds up characters of text and bytes', () => {
    expect(lengthOf('"a"')).toBe(3)
    expect(lengthOf(['"a', Buffer.from('\u00e9'), '"'])).toBe(5)
  })

  it('is 0 without a text', () => {
    expect(lengthOf(null)).toBe(0)
  })
})
