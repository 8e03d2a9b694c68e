import { parseTraceparent } from '../contract.ts'

/** A W3C `traceparent` header, or undefined when it is not one: the specification has it ignored then. */
export function traceparentOf(header: unknown): string | undefined {
  return typeof header === 'string' && parseTraceparent(header) !== undefined ? header : undefined
}
