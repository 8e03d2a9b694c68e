const FIRST_CAPACITY = 4_096

/** Collects the chunks of a body, up to a limit. A body of tiny chunks costs its bytes, not an object for each of them. */
export class ByteSink {
  readonly #limit: number
  #bytes: Buffer = Buffer.alloc(0)
  #length = 0

  constructor({ limit }: { limit: number }) {
    this.#limit = limit
  }

  /** Take a chunk; false when it does not fit under the limit any more. The chunk must not change afterwards. */
  push(chunk: Buffer): boolean {
    const length = this.#length + chunk.length
    if (length > this.#limit) return false
    if (this.#length === 0) this.#bytes = chunk
    else this.#append(chunk, length)
    this.#length = length
    return true
  }

  /** Bytes collected so far. */
  get length(): number {
    return this.#length
  }

  /** What has been collected so far. */
  bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  #append(chunk: Buffer, length: number): void {
    if (length > this.#bytes.length) {
      const larger = Buffer.allocUnsafeSlow(
        Math.min(this.#limit, Math.max(FIRST_CAPACITY, length, this.#bytes.length * 2)),
      )
      this.#bytes.copy(larger, 0, 0, this.#length)
      this.#bytes = larger
    }
    chunk.copy(this.#bytes, this.#length)
  }
}
