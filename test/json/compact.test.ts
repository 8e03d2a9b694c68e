import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compact as compactBytes } from '../../src/json/compact.ts'

function compact(text: string): string {
  return compactBytes(Buffer.from(text)).toString()
}

const anyText = fc
  .tuple(fc.jsonValue({ stringUnit: 'binary' }), fc.constantFrom(0, 3, '\t', ' \r\n '))
  .map(([value, space]) => ` ${JSON.stringify(value, null, space as number)}\n`)

describe('compact', () => {
  it('leaves what JSON.stringify would have written', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(compact(text)).toBe(JSON.stringify(JSON.parse(text)))
      }),
    )
  })

  it('changes nothing that is compact', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const once = compact(text)
        expect(compact(once)).toBe(once)
      }),
    )
  })

  it('keeps everything as it was written, but for white space', () => {
    const text =
      '{ "a" : 1.50 , "a":\t[ 1E400, -0, "\\u0041 \\/ \\" \\\\" , 12345678901234567890 ],\r\n"__proto__": " x " }'

    expect(compact(text)).toBe(
      '{"a":1.50,"a":[1E400,-0,"\\u0041 \\/ \\" \\\\",12345678901234567890],"__proto__":" x "}',
    )
  })

  it('works in place', () => {
    const bytes = Buffer.from('[1, 2]')

    expect(compactBytes(bytes).buffer).toBe(bytes.buffer)
    expect(bytes.toString()).toBe('[1,2]]')
  })
})
