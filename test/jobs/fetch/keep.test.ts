import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { keeperOf } from '../../../src/jobs/fetch/keep.ts'
import type { KeptBody } from '../../../src/jobs/fetch/result.ts'
import { RawJson } from '../../../src/json/raw.ts'

/** What is kept of a body, in steps of a size. Null: in one. */
function keep(bytes: Buffer, asJson: boolean, size: number | null = null) {
  const keeper = keeperOf(Buffer.from(bytes), asJson)
  let steps = 1
  while (!keeper.step(size ?? Math.max(1, bytes.length))) steps++
  return { kept: keeper.kept, failure: keeper.failure, steps }
}

/** The JSON text of a kept body. */
function textOf({ body }: KeptBody): string {
  return body instanceof RawJson ? body.text : JSON.stringify(body)
}

/** Steps of a few bytes, or one. */
const sizes = fc.option(fc.integer({ min: 1, max: 9 }))

describe('a body kept as text', () => {
  it('gives back the same bytes, whatever they are and in how many steps', () => {
    const bodies = fc.oneof(
      fc.uint8Array().map((array) => Buffer.from(array)),
      fc.string({ unit: 'grapheme' }).map((text) => Buffer.from(text)),
    )
    fc.assert(
      fc.property(bodies, sizes, (bytes, size) => {
        const { kept, failure } = keep(bytes, false, size)
        const body = JSON.parse(textOf(kept))
        expect(Buffer.from(body, kept.bodyEncoding as 'utf8' | 'base64').equals(bytes)).toBe(true)
        expect([kept.bytes, failure]).toEqual([bytes.length, undefined])
      }),
    )
  })

  it.each([null, 2])('is text when it is UTF-8, else base64 (%s)', (size) => {
    expect(keep(Buffer.from('é"\n'), false, size).kept).toMatchObject({ bodyEncoding: 'utf8', bytes: 4 })
    expect(keep(Buffer.from([0xff, 0x22]), false, size).kept).toMatchObject({ bodyEncoding: 'base64', bytes: 2 })
  })

  it('is no text of JSON yet where one step is enough, for that would be work for nothing', () => {
    expect(keep(Buffer.from('hello'), false).kept.body).toBe('hello')
    expect(keep(Buffer.from('hello'), false)).toMatchObject({ steps: 1 })
    expect(keep(Buffer.from('hello'), false, 4).kept.body).toEqual(new RawJson('"hello"'))
  })
})

describe('a body kept as JSON', () => {
  it('is the text that was received, without white space, in any number of steps', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), fc.nat(3), sizes, (value, indent, size) => {
        const bytes = Buffer.from(JSON.stringify(value, null, indent))
        const { kept, failure } = keep(bytes, true, size)
        expect(kept).toEqual({
          body: new RawJson(JSON.stringify(value)),
          bodyEncoding: 'json',
          bytes: bytes.length,
        })
        expect(failure).toBe(undefined)
      }),
    )
  })

  it.each([null, 3])('keeps digits, escapes and names that come twice (%s)', (size) => {
    const text = '{"a":1.0,"a":12345678901234567890,"__proto__":"\\u0041"}'

    expect(keep(Buffer.from(text), true, size).kept.body).toEqual(new RawJson(text))
  })

  it.each([null, 3])('ignores a byte order mark (%s)', (size) => {
    expect(keep(Buffer.from('\ufeff[1]'), true, size).kept).toEqual({
      body: new RawJson('[1]'),
      bodyEncoding: 'json',
      bytes: 6,
    })
    expect(keep(Buffer.from('\ufeff [ 1 ]'), true, size).kept).toMatchObject({ body: { text: '[1]' } })
    expect(keep(Buffer.from('\ufeff\ufeff[1]'), true, size).failure).toBe('The response body is not valid JSON.')
  })

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['text', Buffer.from('secret')],
    ['half', Buffer.from('{"a":')],
    ['a wrong last byte', Buffer.from(`[${'1, '.repeat(50)}1}`)],
    ['no UTF-8', Buffer.from([0x22, 0xff, 0x22])],
  ])('is text for %s, untouched, and the failure does not quote it', (_what, bytes) => {
    for (const size of [null, 1, 7]) {
      const { kept, failure } = keep(bytes, true, size)
      expect(failure).toBe('The response body is not valid JSON.')
      expect(JSON.parse(textOf(kept))).toEqual(JSON.parse(textOf(keep(bytes, false).kept)))
      expect([kept.bodyEncoding, kept.bytes]).toEqual([bytes[1] === 0xff ? 'base64' : 'utf8', bytes.length])
    }
  })

  it.each([65, 1e6])('says that %i levels are too deep', (levels) => {
    expect(keep(Buffer.from('['.repeat(levels) + ']'.repeat(levels)), true).failure).toBe(
      'The response body is JSON nested more than 64 deep.',
    )
  })

  it('takes 64 levels', () => {
    expect(keep(Buffer.from('['.repeat(64) + ']'.repeat(64)), true).kept.bodyEncoding).toBe('json')
  })

  it('looks at no more than it is told in a step', () => {
    expect(keep(Buffer.from(`[${'1,'.repeat(499)}1]`), true, 100).steps).toBe(11)
    expect(keep(Buffer.from(`[${'1 ,'.repeat(499)}1]`), true, 100).steps).toBe(15 + 15)
    // Wrong at the last byte, and then text of 1,001 bytes.
    expect(keep(Buffer.from(`[${'1,'.repeat(499)}1}`), true, 100).steps).toBe(11 + 1 + 11)
  })
})
