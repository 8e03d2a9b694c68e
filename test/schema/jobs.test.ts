import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { JobKind } from '../../src/jobs/kind.ts'
import { buildJobSchema } from '../../src/schema/jobs.ts'
import { FAKE_KINDS } from '../support/fake-parts.ts'

const kind = (name: string, spec: z.ZodObject = z.strictObject({})): JobKind => ({ name, spec, run: async () => null })

describe('buildJobSchema', () => {
  it('has a strict schema for each kind, its own fields beside the common ones', () => {
    const schema = buildJobSchema(FAKE_KINDS)

    const parsed = schema.byKind.get('sleep')?.parse({ kind: 'sleep', durationMs: 5, priority: 3 })

    expect(schema.kinds).toEqual(['fetch', 'sleep'])
    expect(parsed).toEqual({ kind: 'sleep', durationMs: 5, priority: 3 })
    expect(schema.byKind.get('sleep')?.safeParse({ kind: 'sleep', durationMs: 5, url: 'x' }).success).toBe(false)
  })

  it('makes a loose spec strict', () => {
    const schema = buildJobSchema([kind('loose', z.object({ a: z.int() }))])

    expect(schema.byKind.get('loose')?.safeParse({ kind: 'loose', a: 1, b: 2 }).success).toBe(false)
  })

  it("keeps a kind's rules between its fields", () => {
    const spec = z.strictObject({ a: z.int().optional(), b: z.int().optional() })
    const either = spec.refine(({ a, b }) => a === undefined || b === undefined, { error: 'One of them.' })
    const schema = buildJobSchema([kind('either', either)])

    expect(schema.byKind.get('either')?.safeParse({ kind: 'either', a: 1 }).success).toBe(true)
    expect(schema.byKind.get('either')?.safeParse({ kind: 'either', a: 1, b: 1 }).success).toBe(false)
  })

  it.each([
    ['two kinds of one name', [kind('a'), kind('a')], 'Two kinds are called "a".'],
    ['a name that is none', [kind('A b')], '"A b" is no name for a kind.'],
    ['a field that every job has', [kind('a', z.strictObject({ timeoutMs: z.int() }))], 'timeoutMs'],
    ['a kind field', [kind('a', z.strictObject({ kind: z.int() }))], 'kind'],
  ])('refuses %s', (_, kinds, message) => {
    expect(() => buildJobSchema(kinds)).toThrow(message)
  })

  it('names the component of each kind', () => {
    const schema = buildJobSchema([kind('my-own_kind'), { ...kind('x'), description: 'An x.' }])

    expect(schema.components).toMatchObject([
      { id: 'MyOwnKindJob', description: 'A job of kind `my-own_kind`.' },
      { id: 'XJob', description: 'An x.' },
    ])
  })

  it.each([
    [{ timeoutMs: null, deadlineMs: null, queueTimeoutMs: null }],
    [{ timeoutMs: 0, deadlineMs: 0, queueTimeoutMs: 0, delayMs: 0 }],
    [{ timeoutMs: 2_592_000_000, delayMs: 2_147_483_648 }],
    [{ priority: -1_000 }],
    [{ priority: 1_000, shield: true, onRestart: 'fail', context: { a: 'b' }, name: 'n' }],
  ])('takes the common fields %j', (fields) => {
    const schema = buildJobSchema(FAKE_KINDS)

    expect(schema.byKind.get('sleep')?.parse({ kind: 'sleep', durationMs: 1, ...fields })).toMatchObject(fields)
  })

  it.each([
    [{ timeoutMs: -1 }],
    [{ timeoutMs: 1.5 }],
    [{ timeoutMs: 2_592_000_001 }],
    [{ timeoutMs: '5' }],
    [{ delayMs: null }],
    [{ priority: 1_001 }],
    [{ priority: null }],
    [{ shield: 'yes' }],
    [{ onRestart: 'maybe' }],
    [{ context: { 'a b': 'x' } }],
    [{ context: { a: 1 } }],
    [{ name: 'n'.repeat(201) }],
  ])('refuses the common fields %j', (fields) => {
    const schema = buildJobSchema(FAKE_KINDS)

    expect(schema.byKind.get('sleep')?.safeParse({ kind: 'sleep', durationMs: 1, ...fields }).success).toBe(false)
  })

  it('takes thirty-two entries of context and no more', () => {
    const schema = buildJobSchema(FAKE_KINDS)
    const job = (count: number) => ({
      kind: 'sleep',
      durationMs: 1,
      context: Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, 'v'])),
    })

    expect(schema.byKind.get('sleep')?.safeParse(job(32)).success).toBe(true)
    expect(schema.byKind.get('sleep')?.safeParse(job(33)).success).toBe(false)
  })
})
