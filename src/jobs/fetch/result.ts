import { type JsonPieces, RawJson, stringify } from '../../json/raw.ts'
import type { ResponseHeaders } from './response-headers.ts'
import type { FetchFields } from './spec.ts'

/** The result of a fetch, and what is kept beside an error that came after the head of the response. */
export interface FetchResult {
  status: number
  /** The URL that answered at last. */
  url: string
  /** The redirects that were followed, in order: each with its status and the URL that answered so. */
  redirects: { status: number; url: string }[]
  /** Empty with `response: none`. As received: `content-encoding` and `content-length` are those of the wire. */
  headers: ResponseHeaders
  /** Text of any size may be a {@link RawJson} of it; JSON is one, as it was received but for white space between its tokens. */
  body: string | RawJson | null
  /** `json`: `body` is that; null: no body was kept, and `body` is null. */
  bodyEncoding: 'utf8' | 'base64' | 'json' | null
  /** Length of the kept body, decoded. */
  bytes: number
  /** The body was larger than allowed, and was not read to its end, or there was no room for it: nothing of it is kept. */
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

/** No body was wanted, or none could be had. */
export const NO_BODY: KeptBody = { body: null, bodyEncoding: null, bytes: 0 }

/** The result without its body; the very same where there is none. */
export function withoutBody(result: FetchResult): FetchResult {
  return result.bytes === 0 ? result : { ...result, ...NO_BODY, truncated: true }
}

/** A result as JSON. Only its body can be text already: to look for such among all fields costs more than to write them. */
export function writeResult(result: FetchResult): string | JsonPieces {
  // A result is an object, for which there is always a text.
  return result.body instanceof RawJson ? (stringify(result) as string | JsonPieces) : JSON.stringify(result)
}

/** Milliseconds with three decimals. */
export function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000
}
