import type { CommonSpec } from '../../jobs/kind.ts'
import type { BatchNo, Store } from '../../store/store.ts'

/** How many specs are read at once. */
const CHUNK = 256

/** How many specs of a fresh submission stay in memory at most, so that a small batch never reads its own back. */
const KEEP = 1_024

/**
 * A few specs of one batch, read ahead of their jobs' starts: the backlog's specs are in the store, and memory holds a
 * window of them however long the backlog.
 */
export class SpecWindow {
  readonly #store: Store
  readonly #no: BatchNo
  readonly #window = new Map<number, CommonSpec>()
  /** The index after the newest one read. */
  #end: number
  #reading: Promise<void> | null = null

  /** `fresh` are the specs just submitted, from index 0. */
  constructor(options: { store: Store; no: BatchNo; fresh: readonly CommonSpec[] }) {
    this.#store = options.store
    this.#no = options.no
    this.#end = Math.min(options.fresh.length, KEEP)
    for (let i = 0; i < this.#end; i++) this.#window.set(i, options.fresh[i])
  }

  /** Specs held. */
  get size(): number {
    return this.#window.size
  }

  /** The spec of a job that starts now, and out of the window; a promise when it must be read first. `total` is the batch's. */
  take(index: number, total: number): CommonSpec | Promise<CommonSpec> {
    const spec = this.#window.get(index)
    if (this.#window.size < CHUNK / 2 && this.#end < total) this.#readAhead(index)
    if (spec === undefined) return this.#read(index)
    this.#window.delete(index)
    return spec
  }

  #readAhead(index: number): void {
    this.#end = Math.max(this.#end, index + 1)
    this.#reading ??= this.#readChunk()
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
    for (let i = 0; i < specs.length; i++) this.#window.set(from + i, JSON.parse(specs[i]))
  }

  async #read(index: number): Promise<CommonSpec> {
    await this.#reading
    const ahead = this.#window.get(index)
    if (ahead !== undefined) {
      this.#window.delete(index)
      return ahead
    }
    const [spec] = await this.#store.specs(this.#no, { from: index, limit: 1 })
    if (spec === undefined) throw new Error('The store has no spec for a job that was accepted.')
    return JSON.parse(spec)
  }
}
