import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { JsonScanner } from '../../src/json/scanner.ts'
import { SeamFinder, type Seams } from '../../src/json/seams.ts'

/** The seams of a text, fed in pieces of `stepBytes`. */
function seamsOf(text: string, groupBytes: number, stepBytes = 1 << 20): Seams | null {
  const bytes = Buffer.from(text)
  const finder = new SeamFinder(groupBytes)
  const scanner = new JsonScanner({ maxDepth: 1_000 }, finder)
  for (let at = 0; at < bytes.length; at += stepBytes) scanner.write(bytes, at, Math.min(bytes.length, at + stepBytes))
  expect(scanner.end()).toBeNull()
  return finder.seams
}

/** The text with a bar at each seam. */
function cut(text: string, groupBytes: number): string {
  const seams = seamsOf(text, groupBytes)
  if (seams === null) return 'whole'
  const at = [seams.open, ...seams.commas, seams.close]
  return [...text].map((char, i) => (at.includes(i) ? '|' : char)).join('')
}

describe('SeamFinder', () => {
  it.each([
    ['{"jobs":[1,2,3]}', 1, '{"jobs":|1|2|3|}'],
    ['{"jobs":[11,22,33,44]}', 4, '{"jobs":|11,22|33,44|}'],
    ['{"a":[[1,2],{"b":[3,4]},"],["],"c":5}', 1, '{"a":|[1,2]|{"b":[3,4]}|"],["|,"c":5}'],
    ['{"a":[1],"b":[],"c":[1,2],"d":[3,4]}', 1, '{"a":[1],"b":[],"c":|1|2|,"d":[3,4]}'],
    ['{"a":{"b":1,"c":2},"d":[1,2]}', 1, '{"a":{"b":1,"c":2},"d":|1|2|}'],
  ])('cuts %s where a group of %i bytes is over', (text, groupBytes, expected) => {
    expect(cut(text, groupBytes)).toBe(expected)
  })

  it.each([
    '[[1,2],[3,4]]',
    '[1,2,3]',
    '{"a":{"b":1,"c":2}}',
    '{"a":{"b":[1,2]}}',
    '{"a":[1],"b":["1,2"]}',
    '"[1,2]"',
    '{}',
  ])('leaves %s whole', (text) => {
    expect(cut(text, 1)).toBe('whole')
  })

  it('finds the same in pieces of any size', () => {
    const text = JSON.stringify({ a: 'é', jobs: Array.from({ length: 50 }, (_, i) => ({ i, text: ',]['.repeat(i) })) })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 400 }), (stepBytes, groupBytes) => {
        expect(seamsOf(text, groupBytes, stepBytes)).toEqual(seamsOf(text, groupBytes))
      }),
      { numRuns: 50 },
    )
  })
})
