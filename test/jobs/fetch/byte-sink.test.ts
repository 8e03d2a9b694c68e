import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ByteSink } from '../../../src/jobs/fetch/byte-sink.ts'

const chunks = fc.array(fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)))

describe('ByteSink', () => {
  it('gives back what was pushed, in order, and leaves the chunks alone', () => {
    fc.assert(
      fc.property(chunks, (pushed) => {
        const before = Buffer.concat(pushed)
        const sink = new ByteSink({ limit: before.length })

        for (const chunk of pushed) expect(sink.push(chunk)).toBe(true)

        expect(sink.bytes().equals(before)).toBe(true)
        expect(Buffer.concat(pushed).equals(before)).toBe(true)
      }),
    )
  })

  it('refuses the first chunk that goes over the limit', () => {
    const sink = new ByteSink({ limit: 3 })

    expect([sink.push(Buffer.from('ab')), sink.push(Buffer.from('cd')), sink.push(Buffer.from('c'))]).toEqual([
      true,
      false,
      true,
    ])
    expect(sink.bytes().toString()).toBe('abc')
  })

  it('takes nothing with a limit of 0', () => {
    expect([
      new ByteSink({ limit: 0 }).push(Buffer.alloc(0)),
      new ByteSink({ limit: 0 }).push(Buffer.alloc(1)),
    ]).toEqual([true, false])
  })
})
