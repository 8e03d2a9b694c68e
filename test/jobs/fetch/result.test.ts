import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type FetchResult, isOk, rounded, writeResult } from '../../../src/jobs/fetch/result.ts'
import { RawJson, stringify, textOf } from '../../../src/json/raw.ts'

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

const ms = fc.double({ min: 0, max: 1e9, noNaN: true }).map(rounded)
const text = fc.string({ unit: 'binary' })
const headerNames = fc.oneof(fc.constantFrom('content-type', 'set-cookie', '__proto__', 'constructor'), text)
const results: fc.Arbitrary<FetchResult> = fc.record({
  status: fc.integer({ min: 200, max: 599 }),
  url: fc.oneof(fc.webUrl(), text),
  redirects: fc.array(fc.record({ status: fc.constantFrom(301, 308), url: text }), { maxLength: 2 }),
  headers: fc.dictionary(headerNames, fc.oneof(text, fc.array(text, { maxLength: 2 })), {
    maxKeys: 4,
    noNullPrototype: false,
  }),
  body: fc.oneof(
    text,
    fc.constant(null),
    fc.json().map((json) => new RawJson(json)),
    fc.json().map((json) => new RawJson(Buffer.from(json))),
  ),
  bodyEncoding: fc.constantFrom('utf8' as const, 'base64' as const, 'json' as const, null),
  bytes: fc.nat(),
  truncated: fc.boolean(),
  timing: fc.record({ queuedMs: ms, connectMs: ms, firstByteMs: ms, totalMs: ms }),
})

describe('writeResult', () => {
  it('writes what JSON.stringify would, to the letter', () => {
    fc.assert(
      fc.property(results, (result) => {
        const expected = stringify(result) ?? ''
        const written = writeResult(result)

        expect(typeof written).toBe(typeof expected)
        expect(whole(written)).toBe(whole(expected))
      }),
      { numRuns: 500 },
    )
  })
})

function whole(json: ReturnType<typeof writeResult>): string {
  return typeof json === 'string' ? json : textOf(json)
}
