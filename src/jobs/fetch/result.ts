import { isUtf8 } from 'node:buffer'
import { fitsDepth } from './json-depth.ts'
import type { ResponseHeaders } from './response-headers.ts'
import type { FetchFields } from './spec.ts'

/** A response's JSON is at most this deep. */
export const MAX_RESPONSE_JSON_DEPTH = 64

/** The result of a fetch, and what is kept beside an error that came after the head of the response. */
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
  /** The body was larger than allowed: it was not read to its end, and nothing of it is kept. */
  truncated: boolean
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

/** No body was wanted, or none could be had. */
export const NO_BODY: KeptBody = { body: null, bodyEncoding: null, bytes: 0 }

/** The value that the bytes are JSON of; a sentence for anything else, and for JSON that is too deep. It does not quote the body. */
export function parsedJson(bytes: Buffer): KeptBody | string {
  const value = isUtf8(bytes) ? parse(bytes) : undefined
  if (value === undefined) return 'The response body is not valid JSON.'
  if (!fitsDepth(value, MAX_RESPONSE_JSON_DEPTH))
    return `The response body is JSON nested more than ${MAX_RESPONSE_JSON_DEPTH} deep.`
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
