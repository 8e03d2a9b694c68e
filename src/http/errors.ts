import { ServiceError } from '../errors.ts'

/** Codes of errors that HTTP itself is about; the engine never raises them. */
export type EdgeCode =
  | 'bad_request'
  | 'malformed_json'
  | 'unauthenticated'
  | 'forbidden'
  | 'method_not_allowed'
  | 'not_acceptable'
  | 'request_timeout'
  | 'body_too_large'
  | 'unsupported_media_type'
  | 'expectation_failed'
  | 'headers_too_large'
  | 'loop_detected'

/** A request that cannot be answered for a reason of HTTP's own. */
export class EdgeError extends ServiceError {
  readonly code: EdgeCode
  /** Sent with the problem document, e.g. `allow`. */
  readonly headers: Readonly<Record<string, string>>
  constructor(code: EdgeCode, message: string, headers: Record<string, string> = {}, options?: ErrorOptions) {
    super(message)
    this.code = code
    this.headers = headers
    if (options?.cause !== undefined) this.cause = options.cause
  }
}

/** No key, or none that is good now: one answer for missing, malformed, unknown, revoked and expired. */
export function unauthenticated(): EdgeError {
  return new EdgeError('unauthenticated', 'Send a valid API key as "Authorization: Bearer gth_…".', {
    'www-authenticate': 'Bearer',
  })
}
