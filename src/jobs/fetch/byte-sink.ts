const FIRST_CAPACITY = 4_096

const EMPTY = Buffer.alloc(0)

/** More than nearly all bodies have. */
const SHARED_ABOVE = 65_536

/** Collects the chunks of a body, up to a limit. A body of tiny chunks costs its bytes, not an object for each of them. */
export class ByteSink {
  readonly #limit: number
  #bytes: Buffer = EMPTY
  #length = 0
  #expected = 0

  constructor({ limit }: { limit: number }) {
    this.#limit = limit
  }

  /** So many bytes will come, as it seems: what grows again has room for them. */
  expect(bytes: number): void {
    this.#expected = Math.min(bytes, this.#limit)
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
    return this.#bytes.length === this.#length ? this.#bytes : this.#bytes.subarray(0, this.#length)
  }

  #append(chunk: Buffer, length: number): void {
    if (length > this.#bytes.length) this.#grow(length)
    chunk.copy(this.#bytes, this.#length)
  }

  /** What can become large is in memory that threads share, so that nobody copies it for them. */
  #grow(length: number): void {
    const wanted = this.#expected >= length ? this.#expected : Math.max(FIRST_CAPACITY, length, this.#bytes.length * 2)
    const capacity = Math.min(this.#limit, wanted)
    const larger =
      capacity > SHARED_ABOVE ? Buffer.from(new SharedArrayBuffer(capacity)) : Buffer.allocUnsafeSlow(capacity)
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}
