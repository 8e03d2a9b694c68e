import type { z } from 'zod'
import type { FieldError } from '../errors.ts'
import { pointerOf } from './pointer.ts'

type RawIssue = z.core.$ZodRawIssue
type Issue = z.core.$ZodIssue

const TYPE_NAMES: Record<string, string> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'an object',
  record: 'an object',
  array: 'an array',
  null: 'null',
}

/** Zod's error map of the whole contract: a detail says what would be right. A schema's own `error` goes before it. */
export function detailOf(issue: RawIssue): string | undefined {
  const detail = describe(issue)
  return issue.input === undefined && detail ? detail.replace(/^Must be/, 'Is required:') : detail
}

function describe(issue: RawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return `Must be ${nameOf(issue)}.`
    case 'invalid_value':
      return `Must be ${listOf(issue.values)}.`
    case 'too_small':
      return `Must be ${measure(issue.origin, 'at least', Number(issue.minimum))}.`
    case 'too_big':
      return `Must be ${measure(issue.origin, 'at most', Number(issue.maximum))}.`
    case 'not_multiple_of':
      return `Must be a multiple of ${issue.divisor}.`
    case 'unrecognized_keys':
      return `Is not a field here; ${knownKeys(issue.inst)}.`
    case 'invalid_format':
      return issue.pattern ? `Must match ${issue.pattern}.` : `Must be a valid ${issue.format}.`
    default:
      return undefined
  }
}

function nameOf(issue: RawIssue & { code: 'invalid_type' }): string {
  const expected = issue.expected
  return TYPE_NAMES[expected] ?? `of type ${expected}`
}

function measure(origin: string, bound: string, limit: number): string {
  if (origin === 'string') return `${bound} ${limit} characters long`
  if (origin === 'array' || origin === 'set' || origin === 'map') return `${bound} ${limit} entries long`
  return `${bound} ${limit}`
}

/** `"a", "b" or 3`. */
function listOf(values: readonly unknown[]): string {
  const texts = values.map((value) => (typeof value === 'bigint' ? String(value) : JSON.stringify(value)))
  return texts.length < 2 ? texts.join('') : `${texts.slice(0, -1).join(', ')} or ${texts.at(-1)}`
}

function knownKeys(inst: unknown): string {
  // Only objects report unrecognized keys, and an object's definition has its shape.
  const shape = (inst as z.core.$ZodObject | undefined)?._zod.def.shape ?? {}
  const names = Object.keys(shape)
  return names.length === 0 ? 'there are none' : `the fields are ${names.join(', ')}`
}

/**
 * The fields that zod found wrong, each with its pointer under `base`: an unknown field is pointed at itself, and a
 * union nobody fits says what each of its members wants. A custom issue's `params.code` is the field's `code`.
 */
export function fieldErrors(issues: readonly Issue[], base: readonly PropertyKey[] = []): FieldError[] {
  return issues.filter(isLastOfItsSize).flatMap((issue) => errorsOf(issue, [...base, ...issue.path]))
}

/** A number that is no safe integer is also beyond its field's own limit: one mistake, and the limit is what to name. */
function isLastOfItsSize({ code, path }: Issue, index: number, issues: readonly Issue[]): boolean {
  if (code !== 'too_big' && code !== 'too_small') return true
  const next = issues[index + 1]
  return next?.code !== code || pointerOf(next.path) !== pointerOf(path)
}

function errorsOf(issue: Issue, path: PropertyKey[]): FieldError[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((key) => ({ pointer: pointerOf([...path, key]), detail: issue.message }))
  if (issue.code === 'invalid_union') return unionErrors(issue, path)
  if (issue.code === 'invalid_key' || issue.code === 'invalid_element')
    return [{ pointer: pointerOf(path), detail: issue.issues[0]?.message ?? issue.message }]
  const code = issue.code === 'custom' && typeof issue.params?.code === 'string' ? { code: issue.params.code } : {}
  return [{ pointer: pointerOf(path), detail: issue.message, ...code }]
}

function unionErrors(issue: Issue & { code: 'invalid_union' }, path: PropertyKey[]): FieldError[] {
  const members: readonly Issue[][] = issue.errors
  const nearest = members.find((issues) => issues.some((inner) => inner.path.length > 0))
  if (nearest) return fieldErrors(nearest, path)
  const details = [...new Set(members.flatMap((issues) => issues.map((inner) => inner.message)))]
  return [{ pointer: pointerOf(path), detail: details.length > 0 ? details.join(' Or: ') : issue.message }]
}
