import type { Malformed } from '../../egress/guard/check-url.ts'
import type { Denial } from '../../egress/guard/denial.ts'
import { fetchError } from './errors.ts'
import { type HopRequest, LOOP_HEADER, LOOP_VALUE } from './request.ts'
import { headerOf, type ResponseHeaders } from './response-headers.ts'

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308])

/** All that another origin gets to see of a job's headers. */
const KEPT_ACROSS_ORIGINS: ReadonlySet<string> = new Set([
  'accept',
  'accept-language',
  'accept-encoding',
  'user-agent',
  'range',
  'if-none-match',
  'if-modified-since',
])
/** What describes a body goes with it (WHATWG Fetch, "request-body-header name"). */
const BODY_HEADERS: ReadonlySet<string> = new Set([
  'content-type',
  'content-encoding',
  'content-language',
  'content-location',
])

/** The guard's look at where a redirect leads. */
export interface Signpost {
  check(text: string, base: URL): URL | Malformed | Denial
  /** The error of a refusal. */
  refuse(denial: Denial): Error
}

/** Where a response redirects to, as it says it; undefined when it does not redirect. */
export function locationOf(status: number, headers: ResponseHeaders): string | undefined {
  return REDIRECTS.has(status) ? headerOf(headers, 'location') : undefined
}

/**
 * The request that follows a redirect (RFC 9110, 15.4; methods as in WHATWG Fetch).
 *
 * @throws {EgressDeniedError} The target is not allowed.
 * @throws {JobError} `bad_redirect`: it is no URL to fetch, or gives up https, or would take a body to another origin.
 */
export function redirected(request: HopRequest, status: number, location: string, signpost: Signpost): HopRequest {
  const url = targetOf(location, request.url, signpost)
  const sameOrigin = url.origin === request.url.origin
  const asGet = becomesGet(status, request.method)
  const body = asGet ? null : request.body
  if (body && !sameOrigin) throw fetchError('bad_redirect')
  const headers = new Map(request.headers)
  for (const name of request.headers.keys()) {
    if ((asGet && BODY_HEADERS.has(name)) || !(sameOrigin || KEPT_ACROSS_ORIGINS.has(name))) headers.delete(name)
  }
  if (!sameOrigin) headers.set(LOOP_HEADER, LOOP_VALUE)
  return { url, method: asGet ? 'GET' : request.method, headers, body }
}

function targetOf(location: string, from: URL, signpost: Signpost): URL {
  const url = signpost.check(asText(location), from)
  if (!(url instanceof URL)) throw url.verdict === 'denied' ? signpost.refuse(url) : fetchError('bad_redirect')
  if (from.protocol === 'https:' && url.protocol === 'http:') throw fetchError('bad_redirect')
  // RFC 9110, 10.2.2: a target without a fragment has the one it came from.
  if (url.hash === '') url.hash = from.hash
  return url
}

/** Servers that do not escape a path send it as UTF-8; undici hands out latin1. */
function asText(location: string): string {
  return Buffer.from(location, 'latin1').toString('utf8')
}

function becomesGet(status: number, method: HopRequest['method']): boolean {
  if (status === 303) return method !== 'GET' && method !== 'HEAD'
  return (status === 301 || status === 302) && method === 'POST'
}
