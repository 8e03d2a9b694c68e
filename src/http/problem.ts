import { STATUS_CODES } from 'node:http'
import { type FieldError, InvalidArgumentError, NotFoundError, ServiceError } from '../errors.ts'
import { type EdgeCode, EdgeError } from './errors.ts'

/** The media type of every answer that is an error. */
export const PROBLEM_TYPE = 'application/problem+json; charset=utf-8'

/** A problem document of RFC 9457. */
export interface Problem {
  type: string
  title: string
  status: number
  detail?: string
  /** The id of the request, under which the log has more. */
  instance: string
  code: string
  errors?: FieldError[]
}

/** The status and title of each code: the one place that has them. `docs/problems.md` has a heading for each. */
export const PROBLEMS: Readonly<Record<string, readonly [status: number, title: string]>> = {
  bad_request: [400, 'Bad request'],
  malformed_json: [400, 'Malformed JSON'],
  unauthenticated: [401, 'Unauthenticated'],
  forbidden: [403, 'Forbidden'],
  not_found: [404, 'Not found'],
  batch_deleted: [404, 'Batch deleted'],
  method_not_allowed: [405, 'Method not allowed'],
  not_acceptable: [406, 'Not acceptable'],
  request_timeout: [408, 'Request timeout'],
  batch_shutting_down: [409, 'Batch shutting down'],
  batch_finished: [409, 'Batch finished'],
  idempotency_conflict: [409, 'Request in progress'],
  job_finished: [409, 'Job finished'],
  tenant_in_use: [409, 'Tenant in use'],
  batch_too_large: [413, 'Batch too large'],
  body_too_large: [413, 'Body too large'],
  unsupported_media_type: [415, 'Unsupported media type'],
  expectation_failed: [417, 'Expectation failed'],
  invalid_argument: [422, 'Invalid argument'],
  empty_wait_set: [422, 'Empty wait set'],
  idempotency_mismatch: [422, 'Idempotency key reused'],
  queue_full: [429, 'Queue full'],
  rate_limited: [429, 'Rate limited'],
  headers_too_large: [431, 'Headers too large'],
  internal: [500, 'Internal error'],
  overloaded: [503, 'Overloaded'],
  shutting_down: [503, 'Shutting down'],
  loop_detected: [508, 'Loop detected'],
}

/** A problem and the headers that go with it. */
export interface ProblemAnswer {
  problem: Problem
  headers: Record<string, string>
}

/** What Fastify and Node call an error, and what it is here. */
const FOREIGN: Readonly<Record<string, [EdgeCode, string]>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: ['body_too_large', 'The body is larger than the service takes.'],
  FST_ERR_CTP_INVALID_MEDIA_TYPE: [
    'unsupported_media_type',
    'Bodies are JSON: send the header "Content-Type: application/json".',
  ],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['bad_request', 'The body does not have the length that Content-Length says.'],
  ERR_HTTP_REQUEST_TIMEOUT: ['request_timeout', 'The request did not arrive in time.'],
  HPE_HEADER_OVERFLOW: ['headers_too_large', 'The request line and headers are larger than the service takes.'],
  ECONNRESET: ['bad_request', 'The request was cut off.'],
}

/** What anything thrown while answering a request is called; null for what nobody foresaw: a 500, for the log. */
export function knownError(thrown: unknown): ServiceError | null {
  if (thrown instanceof ServiceError) return thrown.code in PROBLEMS ? thrown : null
  const { code = '', statusCode = 500 } = typeof thrown === 'object' && thrown !== null ? (thrown as Foreign) : {}
  const foreign = FOREIGN[code]
  if (foreign) return new EdgeError(foreign[0], foreign[1], {}, { cause: thrown })
  if (code.startsWith('HPE_'))
    return new EdgeError('bad_request', 'The request is not well-formed HTTP.', {}, { cause: thrown })
  if (code === 'FST_ERR_BAD_URL' || code === 'FST_ERR_MAX_PARAM_LENGTH') return new NotFoundError()
  const isClients = code.startsWith('FST_') && statusCode >= 400 && statusCode < 500
  return isClients ? new EdgeError('bad_request', 'The request cannot be understood.', {}, { cause: thrown }) : null
}

/** What errors of Fastify and Node have; each may be missing. */
interface Foreign {
  code?: string
  statusCode?: number
}

/**
 * The problem document of an error, or, for one nobody foresaw, the 500 that says nothing but its `instance`.
 * @param instance - The id of the request.
 */
export function problemOf(error: ServiceError | null, instance: string): ProblemAnswer {
  const code = error?.code ?? 'internal'
  const [status, title] = PROBLEMS[code] ?? [500, STATUS_CODES[500] ?? '']
  const problem: Problem = {
    type: `/problems/${code}`,
    title,
    status,
    ...(error && { detail: error.message }),
    instance,
    code,
    ...(error instanceof InvalidArgumentError && { errors: error.errors }),
  }
  return { problem, headers: headersOf(error) }
}

function headersOf(error: ServiceError | null): Record<string, string> {
  const own = error instanceof EdgeError ? error.headers : {}
  const headers: Record<string, string> = { 'content-type': PROBLEM_TYPE, ...own }
  if (error?.retryAfterS !== undefined) headers['retry-after'] = String(Math.ceil(error.retryAfterS))
  return headers
}
