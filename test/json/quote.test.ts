import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { quote } from '../../src/json/quote.ts'
import { textOf } from '../../src/json/raw.ts'

describe('quote', () => {
  it('writes what JSON.stringify writes, and leaves its bytes alone', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (string) => {
        // A lone surrogate has no UTF-8.
        const bytes = Buffer.from(string)
        const before = Buffer.from(bytes)
        expect(textOf([quote(bytes)])).toBe(JSON.stringify(bytes.toString()))
        expect(bytes.equals(before)).toBe(true)
      }),
      { numRuns: 1_000 },
    )
  })

  it('writes a byte order mark, and every character of one byte', () => {
    const text = `\ufeff${String.fromCharCode(...Array(128).keys())}`

    expect(textOf([quote(Buffer.from(text))])).toBe(JSON.stringify(text))
  })

  it('is two bytes longer where there is nothing to escape, in memory that threads share', () => {
    const quoted = quote(Buffer.alloc(100, 'x'))

    expect([quoted.length, quoted.buffer.byteLength]).toEqual([102, 102])
    expect(quoted.buffer).toBeInstanceOf(SharedArrayBuffer)
    expect(textOf([quote(Buffer.alloc(0))])).toBe('""')
  })
})
