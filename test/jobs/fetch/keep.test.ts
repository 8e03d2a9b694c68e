import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { keep as keepIn, LARGE_BYTES } from '../../../src/jobs/fetch/keep.ts'
import type { KeptBody } from '../../../src/jobs/fetch/result.ts'
import { RawJson } from '../../../src/json/raw.ts'

const keep = (bytes: Buffer, asJson: boolean) => keepIn(Buffer.from(bytes), asJson)

/** The JSON text of a kept body. */
function textOf({ body }: KeptBody): string {
  return body instanceof RawJson ? body.text : JSON.stringify(body)
}

/** Long enough to be large, with something to escape. */
const PADDING = 'é"x\n'.repeat(LARGE_BYTES / 4)

describe('a body kept as text', () => {
  it('gives back the same bytes, whatever they are', () => {
    const bodies = fc.oneof(
      fc.uint8Array().map((array) => Buffer.from(array)),
      fc.string({ unit: 'grapheme' }).map((text) => Buffer.from(text)),
    )
    fc.assert(
      fc.property(bodies, (bytes) => {
        const { kept, failure } = keep(bytes, false)
        const body = JSON.parse(textOf(kept))
        expect(Buffer.from(body, kept.bodyEncoding as 'utf8' | 'base64').equals(bytes)).toBe(true)
        expect([kept.bytes, failure]).toEqual([bytes.length, undefined])
      }),
    )
  })

  it('is text when it is UTF-8, else base64', () => {
    expect(keep(Buffer.from('é"\n'), false).kept).toEqual({ body: 'é"\n', bodyEncoding: 'utf8', bytes: 4 })
    expect(keep(Buffer.from([0xff, 0x22]), false).kept).toEqual({ body: '/yI=', bodyEncoding: 'base64', bytes: 2 })
  })

  it.each([
    ['utf8', Buffer.from(PADDING)],
    ['base64', Buffer.concat([Buffer.from(PADDING), Buffer.from([0xff])])],
  ])('is bytes of JSON where it is large: %s', (bodyEncoding, bytes) => {
    const { kept } = keep(bytes, false)

    expect([kept.bodyEncoding, kept.bytes]).toEqual([bodyEncoding, bytes.length])
    expect((kept.body as RawJson).json).toBeInstanceOf(Uint8Array)
    expect(textOf(kept) === JSON.stringify(bytes.toString(bodyEncoding as 'utf8'))).toBe(true)
  })

  it('is large from its first byte over the bound', () => {
    const bodies = [LARGE_BYTES, LARGE_BYTES + 1].map((size) => keep(Buffer.alloc(size, 'x'), false).kept.body)

    expect(bodies.map((body) => body instanceof RawJson)).toEqual([false, true])
  })
})

describe('a body kept as JSON', () => {
  it('is the text that was received, without white space', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), fc.nat(3), (value, indent) => {
        const bytes = Buffer.from(JSON.stringify(value, null, indent))
        const { kept, failure } = keep(bytes, true)
        expect(kept).toEqual({
          body: new RawJson(JSON.stringify(value)),
          bodyEncoding: 'json',
          bytes: bytes.length,
        })
        expect(failure).toBe(undefined)
      }),
    )
  })

  it('keeps digits, escapes and names that come twice', () => {
    const text = '{"a":1.0,"a":12345678901234567890,"__proto__":"\\u0041"}'

    expect(keep(Buffer.from(text), true).kept.body).toEqual(new RawJson(text))
  })

  it('ignores a byte order mark', () => {
    expect(keep(Buffer.from('\ufeff[1]'), true).kept).toEqual({
      body: new RawJson('[1]'),
      bodyEncoding: 'json',
      bytes: 6,
    })
    expect(keep(Buffer.from('\ufeff [ 1 ]'), true).kept).toMatchObject({ body: { json: '[1]' } })
    expect(keep(Buffer.from('\ufeff\ufeff[1]'), true).failure).toBe('The response body is not valid JSON.')
  })

  it.each([
    ['nothing', Buffer.alloc(0)],
    ['text', Buffer.from('secret')],
    ['half', Buffer.from('{"a":')],
    ['a wrong last byte', Buffer.from(`[${'1, '.repeat(50)}1}`)],
    ['no UTF-8', Buffer.from([0x22, 0xff, 0x22])],
  ])('is text for %s, untouched, and the failure does not quote it', (_what, bytes) => {
    const { kept, failure } = keep(bytes, true)
    expect(failure).toBe('The response body is not valid JSON.')
    expect(kept).toEqual(keep(bytes, false).kept)
  })

  it.each([65, 1e6])('says that %i levels are too deep', (levels) => {
    expect(keep(Buffer.from('['.repeat(levels) + ']'.repeat(levels)), true).failure).toBe(
      'The response body is JSON nested more than 64 deep.',
    )
  })

  it('takes 64 levels', () => {
    expect(keep(Buffer.from('['.repeat(64) + ']'.repeat(64)), true).kept.bodyEncoding).toBe('json')
  })

  it('is bytes where it is large, a part of those that came', () => {
    const value = [PADDING, { a: 1 }]
    const bytes = Buffer.from(`\ufeff${JSON.stringify(value, null, 1)}`)

    const { kept, failure } = keepIn(bytes, true)

    const { json } = kept.body as RawJson
    expect([(json as Uint8Array).buffer === bytes.buffer, failure]).toEqual([true, undefined])
    expect(textOf(kept) === JSON.stringify(value)).toBe(true)
  })
})
