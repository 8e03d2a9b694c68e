import { describe, expect, it } from 'vitest'
import { MAX_DURATION_MS, MAX_JSON_DEPTH, parseTraceparent } from '../src/contract.ts'
import { sleepKind } from '../src/jobs/sleep.ts'
import { DurationMs } from '../src/schema/fields.ts'

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN = '00f067aa0ba902b7'

/** Arrays inside each other. */
const nested = (depth: number) => JSON.parse('['.repeat(depth) + ']'.repeat(depth))

describe('parseTraceparent', () => {
  it('reads the trace and its flags', () => {
    expect(parseTraceparent(`00-${TRACE}-${SPAN}-01`)).toEqual({ traceId: TRACE, spanId: SPAN, flags: '01' })
  })

  it.each(['', '-', '-what-comes'])('reads a later version that ends with %j', (more) => {
    expect(parseTraceparent(`cc-${TRACE}-${SPAN}-00${more}`)).toEqual({ traceId: TRACE, spanId: SPAN, flags: '00' })
  })

  it.each([
    `00-${TRACE}-${SPAN}-01-more`,
    `00-${TRACE}-${SPAN}-01-`,
    `00-${TRACE}-${SPAN}-01\n`,
    `cc-${TRACE}-${SPAN}-01more`,
    `cc-${TRACE}-${SPAN}-01-a\nb`,
    `ff-${TRACE}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}`,
    ` 00-${TRACE}-${SPAN}-01`,
  ])('refuses %j', (header) => {
    expect(parseTraceparent(header)).toBeUndefined()
  })

  it('refuses ids of nothing but zeroes, and takes those with one other digit', () => {
    const [noTrace, noSpan] = ['0'.repeat(32), '0'.repeat(16)]

    expect([`00-${noTrace}-${SPAN}-01`, `00-${TRACE}-${noSpan}-01`].map(parseTraceparent)).toEqual([
      undefined,
      undefined,
    ])
    expect(parseTraceparent(`00-${noTrace.slice(1)}1-${noSpan.slice(1)}1-01`)?.traceId).toMatch(/^0+1$/)
  })
})

describe('what the contract and the kinds hold callers to', () => {
  const spec = sleepKind().spec

  it('is one longest duration', () => {
    const takes = (ms: number) => [DurationMs.safeParse(ms), spec.safeParse({ durationMs: ms })].map((r) => r.success)

    expect([takes(MAX_DURATION_MS), takes(MAX_DURATION_MS + 1)]).toEqual([
      [true, true],
      [false, false],
    ])
  })

  it('is one depth of JSON, 32', () => {
    const takes = (depth: number) => spec.safeParse({ durationMs: 0, result: nested(depth) }).success

    expect([MAX_JSON_DEPTH, takes(32), takes(33)]).toEqual([32, true, false])
  })
})
