import { describe, expect, it } from 'vitest'
import { markOf } from '../../src/json/mark.ts'

describe('markOf', () => {
  it('is three bytes where a text begins with the mark', () => {
    expect(markOf(Buffer.from('\ufeff{}'))).toBe(3)
    expect(markOf(Buffer.from('\ufeff'))).toBe(3)
  })

  it('is nothing elsewhere, nor of part of a mark', () => {
    for (const bytes of [[], [0xef], [0xef, 0xbb], [0xef, 0xbb, 0x20], [0xef, 0x20, 0xbf], [0x20, 0xef, 0xbb, 0xbf]])
      expect(markOf(Uint8Array.from(bytes)), String(bytes)).toBe(0)
  })
})
