import { Do, mayEnd, State, TABLE } from './grammar.ts'
import type { SeamFinder } from './seams.ts'

/** What stops a scanner. `syntax`: no JSON, or no UTF-8; `ended`: the text stops in the middle; the others are limits. */
export type FaultKind = 'syntax' | 'ended' | 'depth' | 'values' | 'names'

/** Where a text stops being JSON within the limits. It does not quote the text. */
export interface Fault {
  kind: FaultKind
  /** Bytes before the one that is wrong. */
  offset: number
  /** From 1; lines end with a line feed. */
  line: number
  /** From 1, in bytes. */
  column: number
}

/** What a text may have; what is left out is not limited. */
export interface ScanLimits {
  /** Arrays and objects inside each other; a scalar is 0 deep, `[]` is 1. */
  maxDepth: number
  /** Values: scalars, arrays and objects. Names of members are none. */
  maxValues?: number
  /** Different names of members in the whole text. Two of them count as one if their hashes, of 32 bits and seeded, are equal. */
  maxNames?: number
}

const ARRAY = 1
const OBJECT = 2

/**
 * Whether bytes are JSON as `JSON.parse` takes it, without making anything of them: fed in pieces of any size, it looks
 * at each byte once, and keeps a byte for each level. A byte order mark is no JSON.
 */
export class JsonScanner {
  readonly #maxDepth: number
  readonly #maxValues: number
  readonly #maxNames: number
  readonly #seams: SeamFinder | undefined
  readonly #names = new Set<number>()
  readonly #seed = (Math.random() * 2 ** 32) | 0
  /** By level, from 1: what is open there. */
  readonly #open: Uint8Array
  #depth = 0
  #state: number = State.value
  /** The string that is read is a name. */
  #inName = false
  #hash = 0
  #values = 0
  #spaces = 0
  #offset = 0
  #lines = 0
  #lineStart = 0
  #fault: Fault | null = null

  /** @param seams - Told where the text can be cut. */
  constructor({ maxDepth, maxValues, maxNames }: ScanLimits, seams?: SeamFinder) {
    this.#seams = seams
    this.#maxDepth = maxDepth
    this.#maxValues = maxValues ?? Number.POSITIVE_INFINITY
    this.#maxNames = maxNames ?? Number.POSITIVE_INFINITY
    this.#open = new Uint8Array(maxDepth + 1)
  }

  /** Values so far. */
  get values(): number {
    return this.#values
  }

  /** Bytes of white space outside of strings so far: what is left of the text without them is its compact form. */
  get spaces(): number {
    return this.#spaces
  }

  /** What is wrong with the text, once something is. */
  get fault(): Fault | null {
    return this.#fault
  }

  /** Look at `bytes` from `from` to before `to`, as what comes next; false once there is a fault, and for all that comes then. */
  write(bytes: Uint8Array, from = 0, to = bytes.length): boolean {
    if (this.#fault) return false
    const base = this.#offset - from
    let state = this.#state
    for (let i = from; i < to; i++) {
      // Both indexes are within their arrays: i is below `to`, and the table has a row of 256 for each state.
      const entry = TABLE[(state << 8) | (bytes[i] as number)] as number
      if (entry > 63) {
        state = entry & 63
        if (entry === QUOTE) {
          if (++this.#values > this.#maxValues) return this.#stop('values', base + i)
          this.#inName = false
          i = pastPlain(bytes, i + 1, to) - 1
          continue
        }
        state = this.#act(entry >> 6, state, bytes[i] as number, base + i)
      } else {
        state = entry
        if (state === State.string && !this.#inName) {
          i = pastPlain(bytes, i + 1, to) - 1
          continue
        }
        if (this.#inName) this.#hash = Math.imul(this.#hash ^ (bytes[i] as number), 0x01000193)
      }
      if (state === State.fault) return this.#fault ? false : this.#stop('syntax', base + i)
    }
    this.#state = state
    this.#offset = base + to
    return true
  }

  /** There is no more; the fault if the text is not JSON. */
  end(): Fault | null {
    if (this.#fault === null && !(this.#depth === 0 && mayEnd(this.#state))) this.#stop('ended', this.#offset)
    return this.#fault
  }

  #act(todo: number, next: number, byte: number, offset: number): number {
    switch (todo) {
      case Do.space:
        this.#space(byte, offset)
        return next
      case Do.scalar:
        return this.#count(offset) ? next : State.fault
      case Do.openArray:
        return this.#push(ARRAY, offset) ? next : State.fault
      case Do.openObject:
        return this.#push(OBJECT, offset) ? next : State.fault
      case Do.closeArray:
        return this.#pop(ARRAY, offset) ? next : State.fault
      case Do.closeObject:
        return this.#pop(OBJECT, offset) ? next : State.fault
      case Do.comma:
        return this.#afterComma(offset)
      case Do.quoteName:
        this.#inName = true
        this.#hash = this.#seed
        return next
      default:
        return this.#unquoted(offset)
    }
  }

  #space(byte: number, offset: number): void {
    this.#spaces++
    if (byte !== 0x0a) return
    this.#lines++
    this.#lineStart = offset + 1
  }

  #count(offset: number): boolean {
    return ++this.#values <= this.#maxValues || this.#stop('values', offset)
  }

  #push(kind: number, offset: number): boolean {
    if (!this.#count(offset)) return false
    if (this.#depth === this.#maxDepth) return this.#stop('depth', offset)
    this.#open[++this.#depth] = kind
    this.#seams?.opened(this.#depth, offset)
    return true
  }

  #pop(kind: number, offset: number): boolean {
    // At level 0 nothing is open, and that is no kind.
    if (this.#open[this.#depth] !== kind) return false
    this.#seams?.closed(this.#depth, offset, kind === ARRAY && this.#open[1] === OBJECT)
    this.#depth--
    return true
  }

  #afterComma(offset: number): number {
    if (this.#depth === 0) return State.fault
    this.#seams?.comma(this.#depth, offset)
    return this.#open[this.#depth] === ARRAY ? State.value : State.name
  }

  #unquoted(offset: number): number {
    if (!this.#inName) return State.after
    this.#inName = false
    if (this.#maxNames !== Number.POSITIVE_INFINITY) this.#names.add(this.#hash)
    if (this.#names.size > this.#maxNames) {
      this.#stop('names', offset)
      return State.fault
    }
    return State.colon
  }

  #stop(kind: FaultKind, offset: number): false {
    this.#fault = { kind, offset, line: this.#lines + 1, column: offset - this.#lineStart + 1 }
    return false
  }
}

const QUOTE = State.string | (Do.quote << 6)

/** Where the first byte from `from` on is that is not plain text within a string: no ASCII, a control, a quote or a backslash. */
function pastPlain(bytes: Uint8Array, from: number, to: number): number {
  let i = from
  for (; i < to; i++) {
    const byte = bytes[i] as number
    if (byte < 0x20 || byte > 0x7f || byte === 0x22 || byte === 0x5c) break
  }
  return i
}
