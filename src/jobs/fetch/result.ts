import { isUtf8 } from 'node:buffer'
import { fetchError } from './errors.ts'
import { fitsDepth } from './json-depth.ts'
import type { ResponseHeaders } from './response-headers.ts'
import type { FetchFields } from './spec.ts'

/** A response's JSON is at most this deep. */
export const MAX_RESPONSE_JSON_DEPTH = 64

/** The result of a fetch, and what is kept beside an `http_status`. */
export interface FetchResult {
  status: number
  /** The URL that answered at last. */
  url: string
  /** The redirects that were followed, in order: each with its status and the URL that answered so. */
  redirects: { status: number; url: string }[]
  /** Empty with `response: none`. As received: `content-encoding` and `content-length` are those of the wire. */
  headers: ResponseHeaders
  body: unknown
  /** `json`: `body` is the value; null: no body was kept, and `body` is null. */
  bodyEncoding: 'utf8' | 'base64' | 'json' | null
  /** Length of the kept body, decoded. */
  bytes: number
  /** Always false: a body is kept whole or not at all. */
  truncated: false
  /** Milliseconds. `connectMs` is 0 on a connection that was open already; the last hop's, as is `firstByteMs`, which counts from the start of the attempt. */
  timing: { queuedMs: number; connectMs: number; firstByteMs: number; totalMs: number }
}

/** Whether a status is one of `okStatus`. */
export function isOk(status: number, okStatus: FetchFields['okStatus']): boolean {
  return okStatus.includes(status) || okStatus.includes(`${Math.floor(status / 100)}xx`)
}

/** A body as it is kept. */
export type KeptBody = Pick<FetchResult, 'body' | 'bodyEncoding' | 'bytes'>

/** Text when the bytes are UTF-8, else base64; both give back the same bytes. */
export function textOrBase64(bytes: Buffer): KeptBody {
  const bodyEncoding = isUtf8(bytes) ? 'utf8' : 'base64'
  return { body: bytes.toString(bodyEncoding), bodyEncoding, bytes: bytes.length }
}

/** The value that the bytes are JSON of. @throws {JobError} `decode_failed` for anything else, and for JSON that is too deep. */
export function parsedJson(bytes: Buffer): KeptBody {
  const value = isUtf8(bytes) ? parse(bytes) : undefined
  if (value === undefined || !fitsDepth(value, MAX_RESPONSE_JSON_DEPTH)) throw fetchError('decode_failed')
  return { body: value, bodyEncoding: 'json', bytes: bytes.length }
}

/** Undefined, which no JSON means, for what is not JSON. RFC 8259, 8.1: a byte order mark may be ignored. */
function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8').replace(/^\uFEFF/, ''))
  } catch {
    return undefined // The parser's message quotes the body.
  }
}

/** Milliseconds with three decimals. */
export function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000
}
