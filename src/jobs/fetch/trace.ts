import { randomBytes } from 'node:crypto'
import { parseTraceparent } from '../../contract.ts'

/** What every platform must pass on (W3C Baggage, 3.3.2). */
const MAX_BAGGAGE_BYTES = 8_192
const MAX_BAGGAGE_MEMBERS = 64

/** A `traceparent` of a new span under the given one; undefined when that is no valid `traceparent`. */
export function childTraceparent(parent: string): string | undefined {
  const { traceId, flags } = parseTraceparent(parent) ?? {}
  return traceId === undefined ? undefined : `00-${traceId}-${newSpanId()}-${flags}`
}

/** All zeroes is no span id; one in 2^64. */
function newSpanId(): string {
  const id = randomBytes(8).toString('hex')
  return id === '0000000000000000' ? '0000000000000001' : id
}

/**
 * A W3C `baggage` header of a string map, percent-encoded; undefined for an empty one. Entries past 64, or past 8,192
 * bytes in all, are left out, as the specification allows.
 */
export function baggageOf(context: Readonly<Record<string, string>>): string | undefined {
  let baggage = ''
  for (const [key, value] of Object.entries(context).slice(0, MAX_BAGGAGE_MEMBERS)) {
    const longer = `${baggage}${baggage && ','}${encode(key)}=${encode(value)}`
    if (longer.length <= MAX_BAGGAGE_BYTES) baggage = longer
  }
  return baggage || undefined
}

/** encodeURIComponent leaves parentheses alone, which a key may not have. */
function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed()).replaceAll('(', '%28').replaceAll(')', '%29')
}
