import { randomUUID } from 'node:crypto'
import type { Seams } from '../json/seams.ts'

/** What a group's refusal is told: which entries of which member it was among. */
export interface GroupPlace {
  member: string
  /** The index of the group's first entry. */
  from: number
}

/** Parses one text; `place` is null for a whole body, or one without the entries. */
export type ParseText = (bytes: Buffer, place: GroupPlace | null) => unknown

/**
 * Parses a body whose array is long, a group of its entries at each step: what `JSON.parse` gives of the whole, in short turns. The body must be JSON, and the
 * seams its own.
 */
export class GroupParse {
  readonly #bytes: Buffer
  readonly #seams: Seams
  readonly #parse: ParseText
  #cut: number
  #next = 0
  #body: unknown
  #member = ''
  #entries: unknown[] | null = null

  constructor(bytes: Buffer, seams: Seams, parse: ParseText) {
    this.#bytes = bytes
    this.#seams = seams
    this.#parse = parse
    this.#cut = seams.open
  }

  /** The body, once `step` has returned true. */
  get body(): unknown {
    return this.#body
  }

  /** True when all is parsed. @throws what `parse` throws. */
  step(): boolean {
    if (this.#body === undefined) return this.#parseFrame()
    if (this.#entries === null) return true
    const from = this.#cut + 1
    this.#cut = this.#seams.commas[this.#next++] ?? this.#seams.close
    const place = { member: this.#member, from: this.#entries.length }
    // Between two seams are entries, and brackets make an array of them.
    const group = this.#parse(bracketed(this.#bytes.subarray(from, this.#cut)), place) as unknown[]
    for (const entry of group) this.#entries.push(entry)
    return this.#cut === this.#seams.close
  }

  /** All but the entries. Of two members of one name the last one counts: then it may be that nobody asks for them. */
  #parseFrame(): boolean {
    const mark = randomUUID()
    const [head, tail] = [this.#bytes.subarray(0, this.#seams.open + 1), this.#bytes.subarray(this.#seams.close)]
    this.#body = this.#parse(Buffer.concat([head, Buffer.from(`"${mark}"`), tail]), null)
    // The seams are those of a member of an object.
    for (const [name, value] of Object.entries(this.#body as object)) {
      if (!Array.isArray(value) || value[0] !== mark) continue
      value.length = 0
      this.#entries = value
      this.#member = name
    }
    return false
  }
}

function bracketed(entries: Buffer): Buffer {
  return Buffer.concat([Buffer.from('['), entries, Buffer.from(']')])
}
