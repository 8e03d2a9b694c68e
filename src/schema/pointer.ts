/** A JSON Pointer (RFC 6901) from a path of keys and indexes; the empty path is the whole document, `''`. */
export function pointerOf(path: readonly PropertyKey[]): string {
  return path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}
