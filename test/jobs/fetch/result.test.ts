import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isOk, parsedJson, rounded, textOrBase64 } from '../../../src/jobs/fetch/result.ts'

describe('textOrBase64', () => {
  it('gives back the same bytes, whatever they are', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (array) => {
        const bytes = Buffer.from(array)
        const { body, bodyEncoding, bytes: length } = textOrBase64(bytes)
        expect(Buffer.from(String(body), bodyEncoding as 'utf8' | 'base64').equals(bytes)).toBe(true)
        expect(length).toBe(bytes.length)
      }),
    )
  })

  it('keeps text as text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        expect(textOrBase64(Buffer.from(text))).toEqual({
          body: text,
          bodyEncoding: 'utf8',
          bytes: Buffer.byteLength(text),
        })
      }),
    )
  })
})

describe('parsedJson', () => {
  it('is the value that was written', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        const bytes = Buffer.from(JSON.stringify(value))
        expect(parsedJson(bytes)).toEqual({
          body: JSON.parse(bytes.toString()),
          bodyEncoding: 'json',
          bytes: bytes.length,
        })
      }),
    )
  })

  it('ignores a byte order mark', () => {
    expect(parsedJson(Buffer.from('\ufeff[1]'))).toMatchObject({ body: [1] })
  })

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['text', Buffer.from('secret')],
    ['half', Buffer.from('{"a":')],
    ['no UTF-8', Buffer.from([0x22, 0xff, 0x22])],
  ])('says that %s is no JSON, and does not quote it', (_what, bytes) => {
    expect(parsedJson(bytes)).toBe('The response body is not valid JSON.')
  })

  it.each([65, 1e6])('says that %i levels are too deep', (levels) => {
    expect(parsedJson(Buffer.from('['.repeat(levels) + ']'.repeat(levels)))).toBe(
      'The response body is JSON nested more than 64 deep.',
    )
  })

  it('takes 64 levels', () => {
    expect(parsedJson(Buffer.from('['.repeat(64) + ']'.repeat(64)))).toMatchObject({ bodyEncoding: 'json' })
  })
})

describe('isOk', () => {
  it.each([
    [200, ['2xx'], true],
    [299, ['2xx'], true],
    [300, ['2xx'], false],
    [404, ['2xx', 404], true],
    [405, ['2xx', 404], false],
    [999, ['2xx'], false],
  ] as const)('%i among %j is %s', (status, okStatus, expected) => {
    expect(isOk(status, [...okStatus])).toBe(expected)
  })
})

describe('rounded', () => {
  it('has three decimals', () => {
    expect([rounded(1.23456), rounded(0), rounded(2)]).toEqual([1.235, 0, 2])
  })
})
