/** Writes UTF-8 as a string of JSON, with the escapes of `JSON.stringify`, in as many steps as one likes. */
export class Quoting {
  readonly #bytes: Buffer
  readonly #pieces: string[] = ['"']
  #read = 0

  /** @param bytes - Valid UTF-8. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  /** The string with its quotes, once `step` has returned true. */
  get text(): string {
    return `${this.#pieces.join('')}"`
  }

  /** Go on by about `size` bytes, four at least; true at the end. */
  step(size = this.#bytes.length): boolean {
    const to = characterAt(this.#bytes, this.#read + Math.max(4, size))
    this.#pieces.push(JSON.stringify(this.#bytes.toString('utf8', this.#read, to)).slice(1, -1))
    this.#read = to
    return to === this.#bytes.length
  }
}

/** Where the character begins that `index` is in; the end for what is behind it. */
function characterAt(bytes: Buffer, index: number): number {
  if (index >= bytes.length) return bytes.length
  let start = index
  while (((bytes[start] ?? 0) & 0xc0) === 0x80) start--
  return start
}
