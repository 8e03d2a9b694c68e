import { isObject } from '../../json/object.ts'
import { StoreError } from '../error.ts'

/** What comes back from Redis, looked at before it is believed: another program may have written into a key. */
export function textOf(reply: unknown, what: string): string {
  if (typeof reply === 'string') return reply
  throw foreign(what)
}

/** A text, or null where there is none. @throws {StoreError} */
export function textOrNull(reply: unknown, what: string): string | null {
  return reply === null || reply === undefined ? null : textOf(reply, what)
}

/** An array of anything. @throws {StoreError} */
export function listOf(reply: unknown, what: string): unknown[] {
  if (Array.isArray(reply)) return reply
  throw foreign(what)
}

/** An array of texts. @throws {StoreError} */
export function textsOf(reply: unknown, what: string): string[] {
  return listOf(reply, what).map((each) => textOf(each, what))
}

/** A whole number, as Redis or one of our texts has it. @throws {StoreError} */
export function countOf(reply: unknown, what: string): number {
  const count = typeof reply === 'string' && /^-?\d+$/.test(reply) ? Number(reply) : reply
  if (typeof count === 'number' && Number.isSafeInteger(count)) return count
  throw foreign(what)
}

/** An object in JSON. @throws {StoreError} */
export function objectOf(reply: unknown, what: string): Record<string, unknown> {
  const value = parsed(textOf(reply, what), what)
  if (isObject(value)) return { ...value }
  throw foreign(what)
}

/** JSON. @throws {StoreError} */
export function parsed(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw foreign(what)
  }
}

/** @param what - Where it was found, for the operator. */
export function foreign(what: string): StoreError {
  return new StoreError(
    `Redis holds something that gatherd has not written: ${what}. Give gatherd a database of its own.`,
  )
}
