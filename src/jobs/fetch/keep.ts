import { isUtf8 } from 'node:buffer'
import { compact } from '../../json/compact.ts'
import { markOf } from '../../json/mark.ts'
import { quote } from '../../json/quote.ts'
import { RawJson } from '../../json/raw.ts'
import { type FaultKind, JsonScanner } from '../../json/scanner.ts'
import type { KeptBody } from './result.ts'

/** A response's JSON is at most this deep. */
export const MAX_RESPONSE_JSON_DEPTH = 64

/** Bodies of more bytes are large: they are kept on a thread of their own, as bytes of JSON. */
export const LARGE_BYTES = 262_144

/** What becomes of a body. */
export interface Kept {
  kept: KeptBody
  /** Why it is not the JSON that was asked for, without quoting it; it is kept as text then. */
  failure: string | undefined
}

/**
 * What is kept of a body.
 * @param bytes - May be overwritten. What is kept of a large body may be a part of them.
 * @param asJson - `response: "json"`. Else, text when the bytes are UTF-8, or base64; both give back the same bytes.
 */
export function keep(bytes: Buffer, asJson: boolean): Kept {
  if (!asJson) return { kept: asText(bytes), failure: undefined }
  const own = bytes.subarray(markOf(bytes))
  const scanner = new JsonScanner({ maxDepth: MAX_RESPONSE_JSON_DEPTH })
  scanner.write(own)
  const fault = scanner.end()
  if (fault !== null) return { kept: asText(bytes), failure: sentenceOf(fault.kind) }
  const json = scanner.spaces === 0 ? own : compact(own)
  const body = new RawJson(isLarge(bytes) ? json : json.toString())
  return { kept: { body, bodyEncoding: 'json', bytes: bytes.length }, failure: undefined }
}

/** See {@link LARGE_BYTES}. */
export function isLarge(bytes: Uint8Array): boolean {
  return bytes.length > LARGE_BYTES
}

function asText(bytes: Buffer): KeptBody {
  const bodyEncoding = isUtf8(bytes) ? 'utf8' : 'base64'
  if (!isLarge(bytes)) return { body: bytes.toString(bodyEncoding), bodyEncoding, bytes: bytes.length }
  const body = new RawJson(quote(bodyEncoding === 'utf8' ? bytes : base64Of(bytes)))
  return { body, bodyEncoding, bytes: bytes.length }
}

function base64Of(bytes: Buffer): Buffer {
  return Buffer.from(bytes.toString('base64'), 'latin1')
}

function sentenceOf(fault: FaultKind): string {
  if (fault === 'depth') return `The response body is JSON nested more than ${MAX_RESPONSE_JSON_DEPTH} deep.`
  return 'The response body is not valid JSON.'
}
