/** A URL has at most this many characters. */
export const MAX_URL_LENGTH = 8_192

/** Controls, blanks (Unicode's as well) and backslashes: parsers disagree about them, so nobody gets to use them. */
const UNSAFE = /[\p{Cc}\p{Z}\\]/u
const SCHEME_AND_SLASHES = /^https?:\/\//i
/** Scheme, host and port as most URLs have them: what a parser could read otherwise (user names, brackets, escapes) is not plain, nor is what is longer than any name or port. */
const PLAIN_AUTHORITY = /^https?:\/\/[a-z0-9.-]{1,253}(?::\d{1,5})?(?=[/?#]|$)/i
/** Printable ASCII without backslashes: whatever it is, it is a path, a query and a fragment. */
const PLAIN_TEXT = /^[!-[\]-~]*$/
/** A URL that is written out may have `%22` where the text has a quote, and so be three times as long. */
const LONGEST_PLAIN = MAX_URL_LENGTH / 3
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

/** The scheme, host and port at the start of a text, if they are plain; what comes after them is another matter. */
export function plainAuthority(text: string): string | undefined {
  return PLAIN_AUTHORITY.exec(text)?.[0]
}

/** Whether a text starts with this authority, and that is all of it. */
export function hasAuthority(text: string, authority: string): boolean {
  return text.startsWith(authority) && isEndOfAuthority(text.charCodeAt(authority.length))
}

/** `/`, `?`, `#`, or the end of the text, where there is no code. */
function isEndOfAuthority(code: number): boolean {
  return code === 47 || code === 63 || code === 35 || Number.isNaN(code)
}

/**
 * Whether texts are URLs, as `checkUrl` has it. Jobs that come one after the other often have one host, and a plain authority that
 * was parsed once says all that there is to know: no path is wrong. Else, parsing is most of what checking a fetch costs.
 */
export function urlCheck(): (text: string) => boolean {
  let known: string | undefined
  return (text) => {
    if (known !== undefined && hasAuthority(text, known) && text.length <= LONGEST_PLAIN && PLAIN_TEXT.test(text))
      return true
    if (typeof checkUrl(text) === 'string') return false
    known = plainAuthority(text) ?? known
    return true
  }
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
