/** A limit as the headers tell of it. With a window it is one of requests in it, without one of things at once. */
export interface Limit {
  name: string
  quota: number
  /** What is left; less than none counts as none. */
  left: number
  windowS?: number
  /** Seconds until there is one more; absent: all there can be is there. */
  nextS?: number
}

/** The largest number a structured field can hold (RFC 9651, 3.3.1). */
const MAX_INTEGER = 999_999_999_999_999

/**
 * `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-11: what each limit is. The names are ours and hold nothing that
 * a quoted string would have to escape.
 */
export function policyField(limits: readonly Limit[]): string {
  return limits.map(({ name, quota, windowS }) => `"${name}";q=${whole(quota)};${unitOf(windowS)}`).join(', ')
}

/** `RateLimit` of the same draft: what is left of each limit now, and for how long no more than that. */
export function serviceField(limits: readonly Limit[]): string {
  return limits
    .map(({ name, left, nextS }) => `"${name}";r=${whole(left)}${nextS === undefined ? '' : `;t=${whole(nextS)}`}`)
    .join(', ')
}

/** Of the units that the draft has, what is taken and given back is nearest to requests that run. */
function unitOf(windowS: number | undefined): string {
  return windowS === undefined ? 'qu="concurrent-requests"' : `w=${windowS}`
}

function whole(value: number): number {
  return Math.min(Math.max(0, Math.floor(value)), MAX_INTEGER)
}
