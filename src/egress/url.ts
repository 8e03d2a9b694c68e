/** A URL has at most this many characters. */
export const MAX_URL_LENGTH = 8_192

/** Controls, blanks (Unicode's as well) and backslashes: parsers disagree about them, so nobody gets to use them. */
const UNSAFE = /[\p{Cc}\p{Z}\\]/u
const SCHEME_AND_SLASHES = /^https?:\/\//i
/** An absolute URL with something in the place of a port: all that comes before it. */
const WITH_PORT = /^(https?:\/\/(?:\[[^\]/?#]*\]|[^[\]/?#:@]+)):[^/?#:@]+(?:[/?#]|$)/i

/**
 * The URL that a text means, or a sentence that says what is wrong with it. Pure: no name is resolved. The same check is made
 * when a job is submitted and again for each `Location`.
 *
 * @param base - What a relative `Location` is relative to; without it the text must be absolute.
 */
export function checkUrl(text: string, base?: URL): URL | string {
  if (text.length > MAX_URL_LENGTH) return `A URL has at most ${MAX_URL_LENGTH} characters.`
  if (UNSAFE.test(text)) return 'A URL has no blanks, control characters or backslashes.'
  if (!base && !SCHEME_AND_SLASHES.test(text)) return 'An absolute URL with http:// or https:// is needed.'
  const url = URL.parse(text, base?.href)
  if (url) return checkParsed(url)
  return hasOnlyPortWrong(text) ? 'The port of a URL must be 0 to 65535.' : 'This is not a URL.'
}

function hasOnlyPortWrong(text: string): boolean {
  const [, beforePort] = WITH_PORT.exec(text) ?? []
  return beforePort !== undefined && URL.canParse(beforePort)
}

function checkParsed(url: URL): URL | string {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return 'Only http and https are fetched.'
  if (url.username !== '' || url.password !== '')
    return 'A URL carries no user name or password; use an Authorization header.'
  if (url.href.length > MAX_URL_LENGTH) return `A URL has at most ${MAX_URL_LENGTH} characters.`
  return url
}

/** `host:port` in lower case, the port always there, a trailing dot of the name gone: one spelling for one destination. */
export function hostAndPort(url: URL): string {
  return `${url.hostname.replace(/\.$/, '')}:${portOf(url)}`
}

/** The port that a connection goes to. */
export function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port)
  return url.protocol === 'https:' ? 443 : 80
}

/** The host without the brackets that a URL puts around an IPv6 address. */
export function hostOfUrl(url: URL): string {
  return url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname
}
