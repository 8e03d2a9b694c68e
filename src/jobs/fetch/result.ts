import { type JsonPieces, RawJson } from '../../json/raw.ts'
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

/** A result as JSON: by hand, in the order of its fields, for there is nothing that a fetch spends more time on otherwise. */
export function writeResult(result: FetchResult): string | JsonPieces {
  const { status, url, redirects, headers, body } = result
  const hops = redirects.length === 0 ? '[]' : JSON.stringify(redirects)
  const head = `{"status":${status},"url":${JSON.stringify(url)},"redirects":${hops},"headers":${headersText(headers)},"body":`
  const tail = tailText(result)
  if (!(body instanceof RawJson)) return `${head}${JSON.stringify(body)}${tail}`
  return typeof body.json === 'string' ? `${head}${body.json}${tail}` : [head, body.json, tail]
}

function headersText(headers: ResponseHeaders): string {
  let text = ''
  for (const name in headers)
    text += `${text === '' ? '{' : ','}${JSON.stringify(name)}:${JSON.stringify(headers[name])}`
  return text === '' ? '{}' : `${text}}`
}

function tailText({ bodyEncoding, bytes, truncated, timing }: FetchResult): string {
  const encoding = bodyEncoding === null ? 'null' : `"${bodyEncoding}"`
  const { queuedMs, connectMs, firstByteMs, totalMs } = timing
  const times = `"queuedMs":${queuedMs},"connectMs":${connectMs},"firstByteMs":${firstByteMs},"totalMs":${totalMs}`
  return `,"bodyEncoding":${encoding},"bytes":${bytes},"truncated":${truncated},"timing":{${times}}}`
}

/** Milliseconds with three decimals. */
export function rounded(ms: number): number {
  return Math.round(ms * 1_000) / 1_000
}
