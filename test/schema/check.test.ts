import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { type FieldError, InvalidArgumentError } from '../../src/errors.ts'
import { check, examine, Findings } from '../../src/schema/check.ts'

/** The field errors that a call throws. */
function errorsOf(call: () => unknown): FieldError[] {
  try {
    call()
  } catch (thrown) {
    if (thrown instanceof InvalidArgumentError) return thrown.errors
    throw thrown
  }
  return []
}

const details = (schema: z.ZodType, value: unknown) => errorsOf(() => check(schema, value)).map(({ detail }) => detail)

describe('check', () => {
  it('gives back what the schema does', () => {
    expect(check(z.strictObject({ a: z.int().default(3) }), {})).toEqual({ a: 3 })
  })

  it('names every wrong field, each once', () => {
    const schema = z.strictObject({ a: z.int(), b: z.string(), c: z.array(z.boolean()) })

    const errors = errorsOf(() => check(schema, { a: 'x', c: [true, 1], d: 1 }))

    expect(errors.map(({ pointer }) => pointer).sort()).toEqual(['/a', '/b', '/c/1', '/d'])
  })

  it('puts a base before each pointer, that of unclean text included', () => {
    const errors = errorsOf(() => check(z.strictObject({ a: z.string(), b: z.int() }), { a: '\0', b: 'x' }, ['que/ry']))

    expect(errors.map(({ pointer }) => pointer)).toEqual(['/que~1ry/a', '/que~1ry/b'])
  })

  it.each<[string, z.ZodType, unknown, string]>([
    ['a wrong type', z.string(), 1, 'Must be a string.'],
    ['a missing value', z.strictObject({ a: z.string() }), {}, 'Is required: a string.'],
    ['a number as text', z.number(), 'NaN', 'Must be a number.'],
    ['a fraction', z.int(), 1.5, 'Must be a whole number.'],
    ['no boolean', z.boolean(), 'true', 'Must be true or false.'],
    ['an array for an object', z.strictObject({}), [], 'Must be an object.'],
    ['an object for an array', z.array(z.int()), {}, 'Must be an array.'],
    ['a number below the least', z.number().min(3), 2, 'Must be at least 3.'],
    ['a number above the most', z.number().max(3), 4, 'Must be at most 3.'],
    ['a short string', z.string().min(2), 'a', 'Must be at least 2 characters long.'],
    ['a long string', z.string().max(2), 'abc', 'Must be at most 2 characters long.'],
    ['a long array', z.array(z.int()).max(1), [1, 2], 'Must be at most 1 entries long.'],
    ['one of two', z.enum(['a', 'b']), 'c', 'Must be "a" or "b".'],
    ['one of three', z.enum(['a', 'b', 'c']), 'd', 'Must be "a", "b" or "c".'],
    ['a literal', z.literal('jobs'), 'x', 'Must be "jobs".'],
    ['a missing choice', z.strictObject({ a: z.enum(['a', 'b']) }), {}, 'Is required: "a" or "b".'],
    ['a multiple', z.number().multipleOf(5), 3, 'Must be a multiple of 5.'],
    ['a pattern', z.string().regex(/^a$/), 'b', 'Must match /^a$/.'],
    ['a format', z.base64(), '?', expect.stringMatching(/^Must (match|be a valid)/) as unknown as string],
    [
      'an unknown field',
      z.strictObject({ a: z.int(), b: z.int() }).partial(),
      { c: 1 },
      'Is not a field here; the fields are a, b.',
    ],
    ['a union', z.union([z.int(), z.enum(['2xx'])]), true, 'Must be a number. Or: Must be "2xx".'],
  ])('says of %s what would be right', (_, schema, value, detail) => {
    expect(details(schema, value)).toEqual([detail])
  })

  it.each([
    [1e300, 'Must be at most 5.'],
    [-1e300, 'Must be at least 1.'],
  ])('names the huge number %d once, with the limit of its field', (value, detail) => {
    expect(details(z.int().min(1).max(5), value)).toEqual([detail])
  })

  it('lets a schema speak for itself', () => {
    expect(details(z.string().regex(/^a$/, { error: 'Just an a.' }), 'b')).toEqual(['Just an a.'])
  })

  it('points into the member of a union that nearly fits', () => {
    const schema = z.union([z.int(), z.strictObject({ a: z.int() })])

    expect(errorsOf(() => check(schema, { a: 'x' }))).toEqual([{ pointer: '/a', detail: 'Must be a number.' }])
  })

  it('points at a wrong key of a record with the reason', () => {
    const schema = z.record(z.string().regex(/^a/, { error: 'Begins with a.' }), z.int())

    expect(errorsOf(() => check(schema, { b: 1 }))).toEqual([{ pointer: '/b', detail: 'Begins with a.' }])
  })

  it('hands on the code of a custom issue', () => {
    const schema = z.string().refine(() => false, { error: 'Not there.', params: { code: 'egress_denied' } })

    expect(errorsOf(() => check(schema, 'x'))).toEqual([{ pointer: '', detail: 'Not there.', code: 'egress_denied' }])
  })
})

describe('Findings', () => {
  it('throws nothing when nothing was found', () => {
    expect(() => new Findings().throwIfAny()).not.toThrow()
  })

  it('cuts off after a thousand and says so', () => {
    const findings = new Findings()
    findings.add(Array.from({ length: 1_500 }, (_, index) => ({ pointer: `/${index}`, detail: 'x' })))

    const errors = errorsOf(() => findings.throwIfAny())

    expect(findings.full).toBe(true)
    expect(errors).toHaveLength(1_001)
    expect(errors.at(-1)?.detail).toBe('Only the first 1000 wrong fields are named; there may be more.')
  })
})

describe('examine', () => {
  it('gives undefined, and notes what is wrong under its base', () => {
    const findings = new Findings()

    const value = examine(z.int(), 'x', findings, ['jobs', 3])

    expect(value).toBeUndefined()
    expect(errorsOf(() => findings.throwIfAny())).toEqual([{ pointer: '/jobs/3', detail: 'Must be a number.' }])
  })
})
