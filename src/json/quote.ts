const QUOTE = 0x22
const BACKSLASH = 0x5c
const SPACE = 0x20
const LETTER_U = 0x75
const ZERO = 0x30

/** By byte: the letter behind the backslash; 0: needs none. A control without a letter of its own has a `u`. */
const ESCAPES = new Uint8Array(256).fill(LETTER_U, 0, SPACE)
for (const [byte, letter] of [
  [QUOTE, '"'],
  [BACKSLASH, '\\'],
  [8, 'b'],
  [9, 't'],
  [10, 'n'],
  [12, 'f'],
  [13, 'r'],
] as const)
  ESCAPES[byte] = letter.charCodeAt(0)

/**
 * UTF-8 as a string of JSON, also in UTF-8, with the escapes of `JSON.stringify`. It is in memory that threads share.
 * @param bytes - Valid UTF-8.
 */
export function quote(bytes: Uint8Array): Uint8Array {
  const more = escapeBytes(bytes)
  const quoted = new Uint8Array(new SharedArrayBuffer(bytes.length + more + 2))
  quoted[0] = QUOTE
  if (more === 0) quoted.set(bytes, 1)
  else writeEscaped(bytes, quoted)
  quoted[quoted.length - 1] = QUOTE
  return quoted
}

/** How many bytes its escapes add to a text. */
function escapeBytes(bytes: Uint8Array): number {
  let more = 0
  for (let i = 0; i < bytes.length; i++) {
    const letter = ESCAPES[bytes[i] as number] as number // There is one for each byte.
    if (letter !== 0) more += letter === LETTER_U ? 5 : 1
  }
  return more
}

function writeEscaped(bytes: Uint8Array, into: Uint8Array): void {
  let at = 1
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] as number
    const letter = ESCAPES[byte] as number
    if (letter === 0) {
      into[at++] = byte
      continue
    }
    into[at++] = BACKSLASH
    into[at++] = letter
    if (letter !== LETTER_U) continue
    // Controls are below 0x20: 00, then 0 or 1, then a digit.
    into.fill(ZERO, at, at + 2)
    into[at + 2] = ZERO + (byte >> 4)
    into[at + 3] = (byte & 15).toString(16).charCodeAt(0)
    at += 4
  }
}
