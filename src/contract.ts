/**
 * What the wire contract (`schema`, `http`) and the kinds of job (`jobs`) both hold callers to. Neither imports the
 * other, so it is here.
 */

/** The longest duration a request may name: 30 days, in milliseconds. */
export const MAX_DURATION_MS = 2_592_000_000

/** Arrays and objects inside each other in free-form JSON of a client; deeper could be parsed, and then not be written again. */
export const MAX_JSON_DEPTH = 32

/** A W3C `traceparent`, taken apart. */
export interface Traceparent {
  /** 32 lower-case hexadecimal digits, not all zero. */
  traceId: string
  /** 16 lower-case hexadecimal digits, not all zero. */
  spanId: string
  /** Two hexadecimal digits. */
  flags: string
}

/**
 * `version-traceid-parentid-flags` (W3C Trace Context, 3.2.2). Version 00 ends there; a later one may go on behind a
 * dash and is read as far as it is known (4.3).
 */
const TRACEPARENT = /^(?!ff|00-.{53})[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?$/

/** A `traceparent` header, or undefined when it is not one: the specification has it ignored then. */
export function parseTraceparent(header: string): Traceparent | undefined {
  const [, traceId, spanId, flags] = TRACEPARENT.exec(header) ?? []
  return traceId && spanId && flags ? { traceId, spanId, flags } : undefined
}
