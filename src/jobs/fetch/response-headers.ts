/** Response headers by lower-case name, each a property of its own. `set-cookie` is a list; what else came twice is joined with `, `. */
export type ResponseHeaders = Record<string, string | string[]>

/** What undici parsed (latin1 text by lower-case name, an array where a name came twice) as response headers. */
export function responseHeaders(parsed: Readonly<Record<string, string | string[] | undefined>>): ResponseHeaders {
  return isPlain(parsed) ? parsed : joined(parsed)
}

/** Whether there is nothing to join, as mostly. undici has made it for this response alone. */
function isPlain(parsed: Readonly<Record<string, string | string[] | undefined>>): parsed is Record<string, string> {
  for (const name in parsed) if (typeof parsed[name] !== 'string' || name === 'set-cookie') return false
  return true
}

function joined(parsed: Readonly<Record<string, string | string[] | undefined>>): ResponseHeaders {
  const headers: ResponseHeaders = Object.create(null)
  for (const name of Object.keys(parsed)) {
    const value = parsed[name]
    if (value === undefined) continue
    if (name === 'set-cookie') headers[name] = typeof value === 'string' ? [value] : value
    else headers[name] = typeof value === 'string' ? value : value.join(', ')
  }
  return headers
}

/** The one value of a header that is no list; a repeated one is joined. */
export function headerOf(headers: ResponseHeaders, name: string): string | undefined {
  const value = headers[name]
  return typeof value === 'string' ? value : value?.join(', ')
}
