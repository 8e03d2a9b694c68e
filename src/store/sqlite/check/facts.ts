import type { BatchFacts } from '../../../core/facts.ts'
import { JOB_STATE_NAMES } from '../../../core/states.ts'
import { isObject } from '../../../json/object.ts'

/** The value of a JSON text if it is an object, else null. */
export function parsedObject(text: unknown): Record<string, unknown> | null {
  const value = parsedJson(text)
  return isObject(value) ? value : null
}

/** The value of a JSON text; undefined when it is none. */
export function parsedJson(text: unknown): unknown {
  if (typeof text !== 'string') return undefined
  try {
    return JSON.parse(text)
  } catch {
    // It is the finding.
    return undefined
  }
}

/** A whole number, 0 or more. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

/** The facts of a batch, or the name of the first field that is not what it must be (`facts`: they are no object). */
export function readFacts(text: unknown): BatchFacts | string {
  const value = parsedObject(text)
  if (value === null) return 'facts'
  const wrong = SHAPE.find(([name, fits]) => !fits(value[name]))
  // Each field that the check reads is of its type now.
  return wrong === undefined ? (value as unknown as BatchFacts) : `facts.${wrong[0]}`
}

const SHAPE: readonly [keyof BatchFacts, (value: unknown) => boolean][] = [
  ['phase', (value) => ['running', 'aborting', 'settled', 'drained'].includes(String(value))],
  ['outcome', (value) => value === null || ['succeeded', 'failed', 'timed_out', 'cancelled'].includes(String(value))],
  ['error', (value) => value === null || isObject(value)],
  ['open', (value) => typeof value === 'boolean'],
  ['counts', (value) => isArrayOf(value, isCount) && value.length === JOB_STATE_NAMES.length],
  ['accepted', (value) => isArrayOf(value, isSegment) && value.length > 0],
  ['winner', (value) => value === null || isCount(value)],
  ['released', isCount],
]

function isSegment(value: unknown): boolean {
  return isObject(value) && isCount(value.from) && typeof value.at === 'number'
}

function isArrayOf(value: unknown, fits: (each: unknown) => boolean): value is unknown[] {
  return Array.isArray(value) && value.every(fits)
}
