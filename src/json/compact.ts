const QUOTE = 0x22
const BACKSLASH = 0x5c
const SPACE = 0x20

/**
 * Takes the white space outside of strings out of bytes that are JSON, in place; nothing else of them changes. Returns the part that is left.
 * @param bytes - One whole JSON text; overwritten.
 */
export function compact<Bytes extends Uint8Array>(bytes: Bytes): Bytes {
  let length = 0
  let inString = false
  /** The next byte is what a backslash was for. */
  let escaped = false
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] as number // `i` is below the length.
    if (inString) {
      if (escaped) escaped = false
      else if (byte === BACKSLASH) escaped = true
      else if (byte === QUOTE) inString = false
    } else if (byte <= SPACE) continue
    else if (byte === QUOTE) inString = true
    bytes[length++] = byte
  }
  return bytes.subarray(0, length) as Bytes // A part of an array is of its type.
}
