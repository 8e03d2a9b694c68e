import { EGRESS_SENTENCES, EgressError, type EgressFailure } from '../../egress/errors.ts'
import { EgressDeniedError } from '../../egress/guard/denial.ts'
import { JobError } from '../kind.ts'

/** The codes of a `FetchError`. */
export type FetchFailure =
  | EgressFailure
  | 'bad_response'
  | 'response_too_large'
  | 'decode_failed'
  | 'too_many_redirects'
  | 'bad_redirect'

const SENTENCES: Readonly<Record<FetchFailure, string>> = {
  ...EGRESS_SENTENCES,
  bad_response: 'The response is not valid HTTP, or its headers are too large.',
  response_too_large: 'The response body is larger than allowed.',
  decode_failed: 'The response body could not be decoded.',
  too_many_redirects: 'The response redirects more often than allowed.',
  bad_redirect: 'The response redirects to where a fetch does not go.',
}

const IDLE = 'The server sent no more of the response body in time.'

/** A failed fetch. The message is fixed for the code unless given: nothing of Node's text, no address, no URL. */
export function fetchError(
  code: FetchFailure,
  {
    message,
    cause,
    facts,
    result = null,
  }: { message?: string; cause?: unknown; facts?: Record<string, unknown>; result?: unknown } = {},
): JobError {
  return new JobError(
    'FetchError',
    code,
    message ?? SENTENCES[code],
    facts,
    result,
    cause === undefined ? undefined : { cause },
  )
}

/**
 * What the caller may know of an error of the network, of undici or of ours.
 *
 * @param inBody - The response's headers were complete when it happened.
 */
export function asFetchError(error: unknown, inBody = false): JobError {
  if (error instanceof JobError) return error
  if (error instanceof EgressError) return ofEgress(error)
  // Its detail is for the operator alone.
  if (error instanceof EgressDeniedError) return new JobError('EgressDeniedError', error.code, error.message)
  if (isIdle(error)) return fetchError('connection_lost', { message: IDLE, cause: error })
  const code = failureOf(error, inBody)
  return code === 'tls_failed' ? ofEgress(new EgressError(code, error)) : fetchError(code, { cause: error })
}

/** undici's, for a body of which nothing came for long enough. */
function isIdle(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'UND_ERR_BODY_TIMEOUT'
}

function ofEgress({ code, message, reason, cause }: EgressError): JobError {
  return fetchError(code, { message, cause, ...(reason && { facts: { reason } }) })
}

function failureOf(error: unknown, inBody: boolean): FetchFailure {
  if (!(error instanceof Error)) return 'connection_lost'
  const { name, message } = error
  const code = 'code' in error ? String(error.code) : ''
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return 'bad_response'
  // undici names a 100 that nobody asked for, a 101, and bytes before any request by their text only.
  if (code === 'UND_ERR_SOCKET') return /^bad (response|upgrade)$/.test(message) ? 'bad_response' : 'connection_lost'
  // An end inside a message is one of llhttp's errors, and has no code either.
  if (name === 'HTTPParserError') return message.includes('Invalid EOF state') ? 'connection_lost' : 'bad_response'
  // Before the end of the headers: two lengths that contradict each other. In the body: the connection's end came first.
  if (code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH') return inBody ? 'connection_lost' : 'bad_response'
  return code.startsWith('ERR_SSL') ? 'tls_failed' : 'connection_lost'
}
