const QUOTE = 0x22
const BACKSLASH = 0x5c
const SPACE = 0x20

/**
 * Takes the white space outside of strings out of bytes that are JSON, in place and in as many steps as one likes; nothing else
 * of them changes.
 */
export class Compaction {
  readonly #bytes: Uint8Array
  #read = 0
  #length = 0
  #inString = false
  /** The next byte is what a backslash was for. */
  #escaped = false

  /** @param bytes - One whole JSON text; overwritten. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** What has been made so far; all of it once `step` has returned true. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  /** Go on by `size` bytes; true at the end. */
  step(size = this.#bytes.length): boolean {
    const bytes = this.#bytes
    const to = Math.min(bytes.length, this.#read + size)
    let length = this.#length
    let inString = this.#inString
    let escaped = this.#escaped
    for (let i = this.#read; i < to; i++) {
      const byte = bytes[i] as number // `i` is below the length.
      if (inString) {
        if (escaped) escaped = false
        else if (byte === BACKSLASH) escaped = true
        else if (byte === QUOTE) inString = false
      } else if (byte <= SPACE) continue
      else if (byte === QUOTE) inString = true
      bytes[length++] = byte
    }
    this.#length = length
    this.#inString = inString
    this.#escaped = escaped
    this.#read = to
    return to === bytes.length
  }
}
