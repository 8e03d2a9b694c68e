/** The length of the byte order mark that bytes of UTF-8 may begin with, and that may be ignored (RFC 8259, 8.1). */
export function markOf(bytes: Uint8Array): number {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
}
