import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Quoting } from '../../src/json/quote.ts'

function quote(bytes: Buffer, size?: number): { text: string; steps: number } {
  const quoting = new Quoting(bytes)
  let steps = 1
  while (!quoting.step(size)) steps++
  return { text: quoting.text, steps }
}

describe('Quoting', () => {
  it('writes what JSON.stringify writes, in steps of any size', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), fc.integer({ min: 1, max: 20 }), (string, size) => {
        // A lone surrogate has no UTF-8.
        const bytes = Buffer.from(string)
        expect(quote(bytes, size).text).toBe(JSON.stringify(bytes.toString()))
      }),
      { numRuns: 1_000 },
    )
  })

  it('keeps a byte order mark, and every control', () => {
    const text = `\ufeff${String.fromCharCode(...Array(32).keys())}"\\\u007f`

    expect(JSON.parse(quote(Buffer.from(text), 5).text)).toBe(text)
  })

  it('does a step of about the size it is told', () => {
    expect(quote(Buffer.alloc(100, 'x'), 10).steps).toBe(10)
    expect(quote(Buffer.alloc(100, 'x')).steps).toBe(1)
    expect(quote(Buffer.alloc(0))).toEqual({ text: '""', steps: 1 })
  })
})
