import { splitList } from './prefer.ts'

/** One range of an `Accept` header. */
interface Range {
  type: string
  q: number
}

/**
 * The media type of `offers` that the caller wants most (RFC 9110 12.5.1), the earlier on a tie; null when it wants none
 * of them. Parameters other than `q` are ignored: everything here is UTF-8.
 * @param accept - The header; absent or empty: anything.
 */
export function negotiate<T extends string>(accept: string | undefined, offers: readonly T[]): T | null {
  if (!accept?.trim()) return offers[0] ?? null
  const ranges = splitList(accept).map(rangeOf)
  let best: { offer: T; q: number } | null = null
  for (const offer of offers) {
    const q = qualityOf(offer, ranges)
    if (q > 0 && (best === null || q > best.q)) best = { offer, q }
  }
  return best?.offer ?? null
}

function rangeOf(member: string): Range {
  const [type = '', ...parameters] = member.split(';').map((part) => part.trim().toLowerCase())
  const q = parameters.find((parameter) => parameter.startsWith('q='))
  const value = q === undefined ? 1 : Number(q.slice(2))
  return { type, q: value >= 0 && value <= 1 ? value : 1 }
}

/** The most specific range that matches decides. */
function qualityOf(offer: string, ranges: readonly Range[]): number {
  const [main] = offer.split('/')
  for (const wanted of [offer, `${main}/*`, '*/*']) {
    const range = ranges.find(({ type }) => type === wanted)
    if (range) return range.q
  }
  return 0
}
