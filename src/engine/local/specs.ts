import type { CommonSpec } from '../../jobs/kind.ts'
import type { BatchNo, Store } from '../../store/store.ts'
import type { BatchSealer } from './sealer.ts'

/** How many specs are read at once. */
const CHUNK = 256

/** How many specs of a fresh submission stay in memory at most, so that a small batch never reads its own back. */
const KEEP = 1_024

/** Characters of fresh specs that one batch may keep, and that all batches may. */
const KEEP_CHARS = 262_144
const KEEP_CHARS_IN_ALL = 4_194_304

/** How far in front of a job's start its spec should have been read. */
const AHEAD = CHUNK / 2

/** What all batches together may keep of the specs just submitted; past it they are read back when their turn comes. */
export class SpecBudget {
  #left = KEEP_CHARS_IN_ALL

  /** Whether `chars` more may be kept; if so they count until they are given back. */
  take(chars: number): boolean {
    if (chars > KEEP_CHARS || chars > this.#left) return false
    this.#left -= chars
    return true
  }

  give(chars: number): void {
    this.#left += chars
  }
}

/**
 * A few specs of one batch, read ahead of their jobs' starts: the backlog's specs are in the store, and memory holds a
 * window of them however long the backlog. Jobs that start in input order are read ahead, a chunk at a time; one that
 * starts out of order is read by itself. What was read for jobs that never started is dropped, oldest first.
 */
export class SpecWindow {
  readonly #store: Store
  readonly #no: BatchNo
  readonly #sealer: BatchSealer
  /** Those read ahead are texts until their jobs start, their secrets sealed. */
  readonly #window = new Map<number, CommonSpec | string>()
  /** The index after the newest one read ahead. */
  #end: number
  /** The newest job whose spec was not there. */
  #missed = -1
  #reading: Promise<void> | null = null
  readonly #budget: SpecBudget
  /** Characters taken from the budget. */
  #charged = 0

  constructor(options: { store: Store; no: BatchNo; budget: SpecBudget; sealer: BatchSealer }) {
    this.#sealer = options.sealer
    this.#store = options.store
    this.#no = options.no
    this.#budget = options.budget
    this.#end = 0
  }

  /** Specs as they are put into the store. */
  write(specs: readonly CommonSpec[]): string[] {
    return this.#sealer.write(specs)
  }

  /** The spec of a job as it was put into the store. @throws {JobError} when a secret in it cannot be opened. */
  read(text: string, index: number): CommonSpec {
    return this.#sealer.read(text, index)
  }

  /** Keep specs that were just submitted, from index 0, if they are small; `texts` are their JSON. */
  keep(fresh: readonly CommonSpec[], texts: readonly string[]): void {
    const count = Math.min(fresh.length, KEEP)
    let chars = 0
    for (let i = 0; i < count && chars <= KEEP_CHARS; i++) chars += texts[i].length
    if (!this.#budget.take(chars)) return
    this.#charged = chars
    this.#end = count
    for (let i = 0; i < count; i++) this.#window.set(i, fresh[i])
  }

  /** The batch is over. May be called twice. */
  close(): void {
    this.#window.clear()
    this.#budget.give(this.#charged)
    this.#charged = 0
  }

  /** Specs held. */
  get size(): number {
    return this.#window.size
  }

  /**
   * The spec of a job that starts now, and out of the window; a promise when it must be read first. `total` is the batch's.
   * @throws {JobError} when a secret in it cannot be opened.
   */
  take(index: number, total: number): CommonSpec | Promise<CommonSpec> {
    const spec = this.#window.get(index)
    if (this.#reading === null) {
      if (spec === undefined) this.#follow(index)
      if (this.#end < total && index < this.#end && this.#end - index <= AHEAD) this.#readAhead()
    }
    if (spec === undefined) return this.#read(index)
    this.#window.delete(index)
    return this.#opened(spec, index)
  }

  #opened(spec: CommonSpec | string, index: number): CommonSpec {
    return typeof spec === 'string' ? this.read(spec, index) : spec
  }

  /** The second job in a row whose spec is not there: from here on they start in order. */
  #follow(index: number): void {
    if (index === this.#missed + 1 || index === this.#end) this.#end = index + 1
    this.#missed = index
  }

  #readAhead(): void {
    this.#reading = this.#readChunk()
      .catch(() => {
        // The job that needs a spec reads it by itself, and fails with the reason.
      })
      .finally(() => {
        this.#reading = null
      })
  }

  async #readChunk(): Promise<void> {
    const from = this.#end
    const specs = await this.#store.specs(this.#no, { from, limit: CHUNK })
    this.#end = from + specs.length
    for (let i = 0; i < specs.length; i++) this.#window.set(from + i, specs[i])
    for (const index of this.#window.keys()) {
      if (this.#window.size <= KEEP + CHUNK) break
      this.#window.delete(index)
    }
  }

  async #read(index: number): Promise<CommonSpec> {
    await this.#reading
    const ahead = this.#window.get(index)
    if (ahead !== undefined) {
      this.#window.delete(index)
      return this.#opened(ahead, index)
    }
    const [spec] = await this.#store.specs(this.#no, { from: index, limit: 1 })
    if (spec === undefined) throw new Error('The store has no spec for a job that was accepted.')
    return this.read(spec, index)
  }
}
