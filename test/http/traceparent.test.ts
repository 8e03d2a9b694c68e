import { describe, expect, it } from 'vitest'
import { traceparentOf } from '../../src/http/traceparent.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'

describe('traceparentOf', () => {
  it('takes what the specification has', () => {
    expect(traceparentOf(`00-${TRACE}-${SPAN}-01`)).toBe(`00-${TRACE}-${SPAN}-01`)
  })

  it.each([
    [undefined],
    [''],
    [['a', 'b']],
    [`ff-${TRACE}-${SPAN}-01`],
    [`00-${'0'.repeat(32)}-${SPAN}-01`],
    [`00-${TRACE}-${'0'.repeat(16)}-01`],
    [`00-${TRACE.toUpperCase()}-${SPAN}-01`],
    [`00-${TRACE}-${SPAN}-01-more`],
  ])('ignores %j', (header) => {
    expect(traceparentOf(header)).toBeUndefined()
  })
})
