import { parseTraceparent } from '../contract.ts'
import type { SpanPlace } from './recorder.ts'

/** `SAMPLED` of W3C Trace Context: the trace is kept. */
const SAMPLED = 1

/** Where a `traceparent` says that a span is; null for one that is none, or is not there. */
export function placeOf(traceparent: string | undefined): SpanPlace | null {
  const parsed = traceparent === undefined ? undefined : parseTraceparent(traceparent)
  if (parsed === undefined) return null
  return { traceId: parsed.traceId, spanId: parsed.spanId, traceFlags: Number.parseInt(parsed.flags, 16) & SAMPLED }
}

/** As `placeOf`, if the trace is kept. */
export function keptPlaceOf(traceparent: string | undefined): SpanPlace | null {
  const place = placeOf(traceparent)
  return place?.traceFlags === SAMPLED ? place : null
}

/** The `traceparent` of a place. */
export function traceparentOf({ traceId, spanId, traceFlags }: SpanPlace): string {
  return `00-${traceId}-${spanId}-0${traceFlags & SAMPLED}`
}
