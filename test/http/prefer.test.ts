import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { preferredWait, splitList } from '../../src/http/prefer.ts'

describe('preferredWait', () => {
  it.each([
    ['wait=10', 10_000, 'wait=10'],
    ['wait=0', 0, 'wait=0'],
    ['Wait=10', 10_000, 'wait=10'],
    ['wait="10"', 10_000, 'wait=10'],
    ['wait = 10', 10_000, 'wait=10'],
    ['respond-async, wait=10', 10_000, 'wait=10'],
    ['wait=10; foo=bar', 10_000, 'wait=10'],
    ['return=minimal; a="b, wait=3", wait=10', 10_000, 'wait=10'],
    ['wait=10, wait=20', 10_000, 'wait=10'],
    ['wait=60', 60_000, 'wait=60'],
    ['wait=61', 60_000, 'wait=60'],
    ['wait=999999999999999', 60_000, 'wait=60'],
  ])('honours %s', (header, waitMs, applied) => {
    expect(preferredWait(header, 60_000)).toEqual({ waitMs, applied })
  })

  it.each([
    [undefined],
    [''],
    ['respond-async'],
    ['waiting=10'],
    ['wait'],
    ['wait='],
    ['wait=-1'],
    ['wait=1.5'],
    ['wait=x'],
    ['wait=1e3'],
    ['wait=x, wait=10'],
    ['foo="wait=10"'],
    [',,;='],
  ])('ignores %s', (header) => {
    expect(preferredWait(header, 60_000)).toBeNull()
  })

  it('says in whole seconds what a limit between them leaves', () => {
    expect(preferredWait('wait=10', 1_500)).toEqual({ waitMs: 1_500, applied: 'wait=1' })
  })

  it('never waits longer than allowed, and never throws', () => {
    fc.assert(
      fc.property(fc.string(), fc.nat(100_000), (header, maxWaitMs) => {
        const wait = preferredWait(header, maxWaitMs)

        expect(wait === null || (wait.waitMs >= 0 && wait.waitMs <= maxWaitMs)).toBe(true)
      }),
    )
  })
})

describe('splitList', () => {
  it('splits at commas outside quotes', () => {
    expect(splitList('a, "b, c", d="e\\", f"')).toEqual(['a', ' "b, c"', ' d="e\\", f"'])
  })

  it('takes time in proportion to its input', () => {
    expect(splitList('"'.repeat(16_000)).length).toBeGreaterThan(0)
    expect(splitList(`"${'\\'.repeat(16_000)}`).length).toBeGreaterThan(0)
  })
})
