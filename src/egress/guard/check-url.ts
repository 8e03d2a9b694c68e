import { checkUrl as checkShape, hostOfUrl, MAX_URL_LENGTH, portOf } from '../url.ts'
import { parseAddress } from './address.ts'
import { type Denial, denied } from './denial.ts'
import { canonicalName, isHostName } from './name.ts'
import type { EgressPolicy } from './policy.ts'

/** A text that is no URL to fetch. */
export interface Malformed {
  verdict: 'invalid'
  /** A fixed text that a tenant may see. */
  sentence: string
}

/** WHATWG repairs what has one slash, or three, after the scheme; other parsers see another host. */
const SCHEME = /^([a-z][a-z0-9+.-]*):/i
const ABSOLUTE = /^https?:\/\/[^/?#]/i
const NETWORK_PATH = /^\/{3}/
/** An empty user name is gone after parsing. */
const USERINFO = /^(?:https?:)?\/\/[^/?#]*@/i

/**
 * The URL that a text means, if it may be fetched as far as that is known without resolving its name. Pure: for a submission, and again
 * for each `Location`.
 *
 * What is malformed is never fetched; if it would lead to where nobody may go as well, that is what is said.
 *
 * @param base - What a relative `Location` is relative to; without it the text must be absolute.
 */
export function checkUrl(text: string, policy: EgressPolicy, base?: URL): URL | Malformed | Denial {
  const shape = shapeOf(text, base)
  const url = typeof shape === 'string' ? parsed(text, base) : shape
  const refusal = url ? checkParsed(url, policy, base) : undefined
  if (refusal?.verdict === 'denied') return refusal
  if (typeof shape === 'string') return { verdict: 'invalid', sentence: shape }
  return refusal ?? shape
}

function shapeOf(text: string, base: URL | undefined): URL | string {
  const url = checkShape(text, base)
  if (typeof url === 'string') return url
  if (SCHEME.test(text) ? !ABSOLUTE.test(text) : NETWORK_PATH.test(text))
    return 'Two slashes are needed after the scheme of a URL.'
  return USERINFO.test(text) ? 'A URL carries no user name or password; use an Authorization header.' : url
}

/** What a lenient client would make of a malformed text. */
function parsed(text: string, base: URL | undefined): URL | undefined {
  return text.length > MAX_URL_LENGTH ? undefined : (URL.parse(text, base?.href) ?? undefined)
}

function checkParsed(url: URL, policy: EgressPolicy, base: URL | undefined): Malformed | Denial | undefined {
  // At submission it is a mistake, and is called so; a server that sends somebody there means it.
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    return base && denied('scheme', `a redirect to the scheme ${url.protocol}`)
  const host = hostOfUrl(url)
  if (!parseAddress(host) && !isHostName(canonicalName(host)))
    return { verdict: 'invalid', sentence: 'The host of the URL is not a valid name.' }
  return policy.check({ host, port: portOf(url) })
}
