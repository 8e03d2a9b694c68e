import { z } from 'zod'
import { ProblemView } from '../schema/views.ts'
import { PROBLEMS } from './problem.ts'

/** One answer of a route, as the type provider takes it. */
export interface Answer {
  description: string
  content: Record<string, { schema: z.ZodType }>
}

/** A JSON answer. */
export function json(schema: z.ZodType, description: string): Answer {
  return { description, content: { 'application/json': { schema } } }
}

/** A JSON answer that may be a stream instead, by `Accept`. */
export function jsonOrStream(schema: z.ZodType, event: z.ZodType, description: string): Answer {
  return { description, content: { 'application/json': { schema }, ...stream(event, '').content } }
}

/** An answer without a body. */
export function empty(description: string): z.ZodType {
  return z.null().meta({ description })
}

/** A stream of events, as server-sent events or as one JSON object a line. */
export function stream(event: z.ZodType, description: string): Answer {
  return { description, content: { 'text/event-stream': { schema: event }, 'application/x-ndjson': { schema: event } } }
}

/** The problems of a route, by their codes: one answer a status. */
export function problems(...codes: string[]): Record<number, Answer> {
  const answers: Record<number, Answer> = {}
  for (const code of new Set(codes)) {
    const [status, title] = PROBLEMS[code] ?? [500, 'Internal error']
    const description = `${title} (\`${code}\`).`
    const before = answers[status]
    if (before) before.description += ` ${description}`
    else answers[status] = { description, content: { 'application/problem+json': { schema: ProblemView } } }
  }
  return answers
}

/** The problems that any route behind a key can have. */
export const KEYED = [
  'unauthenticated',
  'forbidden',
  'not_acceptable',
  'invalid_argument',
  'rate_limited',
  'internal',
  'loop_detected',
] as const

/** The problems of a route of a tenant that is refused while the service has too much to do. */
export const SHED = ['overloaded'] as const

/** The problems of a route that can hold its answer or stream it. */
export const OBSERVED = SHED

/** The problems of a route that takes a body. */
export const WITH_BODY = ['malformed_json', 'body_too_large', 'unsupported_media_type'] as const
