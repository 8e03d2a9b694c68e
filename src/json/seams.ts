/** Where an array begins and ends in a text, and commas of it in between: at any of them it can be cut. Offsets in bytes. */
export interface Seams {
  /** Of its bracket. */
  open: number
  commas: readonly number[]
  /** Of its closing bracket. */
  close: number
}

/** A level below the text's own object: where its members that are arrays have their values. */
const LEVEL = 2

/**
 * Notes where the text of a JSON object can be cut into groups that are parsed by themselves: at commas of the first of its members that is an
 * array of more than one group. Told of what a `JsonScanner` comes by.
 */
export class SeamFinder {
  readonly #groupBytes: number
  #commas: number[] = []
  #open = 0
  #last = 0
  #found: Seams | null = null

  /** @param groupBytes - A group is at least so long, but for the last one. */
  constructor(groupBytes: number) {
    this.#groupBytes = groupBytes
  }

  /** Null: there is no array that is worth it. */
  get seams(): Seams | null {
    return this.#found
  }

  /** A bracket opens what is `depth` deep. */
  opened(depth: number, offset: number): void {
    if (depth !== LEVEL) return
    this.#open = this.#last = offset
    this.#commas = []
  }

  /** A comma within what is `depth` deep. */
  comma(depth: number, offset: number): void {
    if (depth !== LEVEL || this.#found !== null || offset - this.#last < this.#groupBytes) return
    this.#commas.push(offset)
    this.#last = offset
  }

  /** What was `depth` deep is closed. */
  closed(depth: number, offset: number, isMember: boolean): void {
    if (depth !== LEVEL || this.#found !== null || !isMember || this.#commas.length === 0) return
    this.#found = { open: this.#open, commas: this.#commas, close: offset }
  }
}
