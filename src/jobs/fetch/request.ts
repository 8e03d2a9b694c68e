import packageJson from '../../../package.json' with { type: 'json' }
import type { AttemptContext } from '../kind.ts'
import type { FetchFields } from './spec.ts'
import { baggageOf, childTraceparent } from './trace.ts'

/** One request of a fetch: the first, or that of a redirect. */
export interface HopRequest {
  url: URL
  method: FetchFields['method']
  /** By lower-case name. */
  headers: ReadonlyMap<string, string>
  body: Buffer | null
}

const USER_AGENT = `gatherd/${packageJson.version}`

/** RFC 8586: what passed here once more than it should can be noticed. A job's own value stays in front. */
export const LOOP_HEADER = 'cdn-loop'
export const LOOP_VALUE = 'gatherd'

/** The headers of a fetch that sets none, has no body and carries nothing on; the same for all of them. */
const PLAIN_HEADERS: ReadonlyMap<string, string> = withDefaults(new Map())
const PLAIN_LINES: readonly string[] = [...PLAIN_HEADERS].flat()

/** Names and values in turn, as undici takes them. */
export function headerLines(headers: HopRequest['headers']): string[] {
  // undici only reads them.
  if (headers === PLAIN_HEADERS) return PLAIN_LINES as string[]
  const lines: string[] = []
  for (const [name, value] of headers) lines.push(name, value)
  return lines
}

/** The first request of a fetch: the job's own headers, and ours where it set none. */
export function firstRequest(spec: FetchFields, context: AttemptContext): HopRequest {
  const headers = isPlain(spec, context) ? PLAIN_HEADERS : headersOf(spec, context)
  return { url: new URL(spec.url), method: spec.method, headers, body: bodyOf(spec) }
}

function isPlain(spec: FetchFields, { span, traceparent, context }: AttemptContext): boolean {
  if (spec.headers !== undefined || span || traceparent || contentTypeOf(spec) !== undefined) return false
  for (const _key in context) return false
  return true
}

function headersOf(spec: FetchFields, context: AttemptContext): ReadonlyMap<string, string> {
  const headers = new Map<string, string>()
  for (const name in spec.headers) headers.set(name.toLowerCase(), spec.headers[name] ?? '')
  withDefaults(headers)
  setDefault(headers, 'traceparent', traceparentOf(context))
  setDefault(headers, 'baggage', baggageOf(context.context))
  setDefault(headers, 'content-type', contentTypeOf(spec))
  return headers
}

/** With what every request has. */
function withDefaults(headers: Map<string, string>): Map<string, string> {
  setDefault(headers, 'user-agent', USER_AGENT)
  setDefault(headers, 'accept-encoding', 'gzip, br, zstd')
  const loop = headers.get(LOOP_HEADER)
  headers.set(LOOP_HEADER, loop ? `${loop}, ${LOOP_VALUE}` : LOOP_VALUE)
  return headers
}

/** Where the attempt has a span, what it asks for is below that; else below whatever submitted the batch. */
function traceparentOf({ span, traceparent }: AttemptContext): string | undefined {
  return span ?? (traceparent && childTraceparent(traceparent))
}

function setDefault(headers: Map<string, string>, name: string, value: string | undefined): void {
  if (value !== undefined && !headers.has(name)) headers.set(name, value)
}

function contentTypeOf(spec: FetchFields): string | undefined {
  if (spec.json !== undefined) return 'application/json'
  return spec.body === undefined ? undefined : 'text/plain;charset=utf-8'
}

function bodyOf(spec: FetchFields): Buffer | null {
  if (spec.json !== undefined) return Buffer.from(JSON.stringify(spec.json))
  if (spec.body !== undefined) return Buffer.from(spec.body)
  return spec.bodyBase64 === undefined ? null : Buffer.from(spec.bodyBase64, 'base64')
}
