import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Compaction } from '../../src/json/compact.ts'

/** All of a text, in steps of a size. */
function compact(text: string, size: number): string {
  const compaction = new Compaction(Buffer.from(text))
  while (!compaction.step(size));
  return Buffer.from(compaction.bytes).toString()
}

const anyText = fc
  .tuple(fc.jsonValue({ stringUnit: 'binary' }), fc.constantFrom(0, 3, '\t', ' \r\n '))
  .map(([value, space]) => ` ${JSON.stringify(value, null, space as number)}\n`)

describe('Compaction', () => {
  it('leaves what JSON.stringify would have written, in steps of any size', () => {
    fc.assert(
      fc.property(anyText, fc.integer({ min: 1, max: 40 }), (text, size) => {
        expect(compact(text, size)).toBe(JSON.stringify(JSON.parse(text)))
      }),
    )
  })

  it('changes nothing that is compact', () => {
    fc.assert(
      fc.property(anyText, fc.integer({ min: 1, max: 40 }), (text, size) => {
        const once = compact(text, size)
        expect(compact(once, size)).toBe(once)
      }),
    )
  })

  it('keeps everything as it was written, but for white space', () => {
    const text =
      '{ "a" : 1.50 , "a":\t[ 1E400, -0, "\\u0041 \\/ \\" \\\\" , 12345678901234567890 ],\r\n"__proto__": " x " }'

    for (let size = 1; size <= 10; size++) {
      expect(compact(text, size)).toBe(
        '{"a":1.50,"a":[1E400,-0,"\\u0041 \\/ \\" \\\\",12345678901234567890],"__proto__":" x "}',
      )
    }
  })

  it('takes no more of its bytes in a step than it is told', () => {
    const compaction = new Compaction(Buffer.from('[1, 2]'))

    expect([compaction.step(3), Buffer.from(compaction.bytes).toString()]).toEqual([false, '[1,'])
    expect([compaction.step(3), Buffer.from(compaction.bytes).toString()]).toEqual([true, '[1,2]'])
  })
})
