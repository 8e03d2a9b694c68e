import type { CommonSpec } from '../../jobs/kind.ts'
import type { BatchNo, Store } from '../../store/store.ts'

/** How many specs are read at once. */
const CHUNK = 256

/** How many specs of a fresh submission stay in memory at most, so that a small batch never reads its own back. */
const KEEP = 1_024

/** How far in front of a job's start its spec should have been read. */
const AHEAD = CHUNK / 2

/**
 * A few specs of one batch, read ahead of their jobs' starts: the backlog's specs are in the store, and memory holds a
 * window of them however long the backlog. Jobs that start in input order are read ahead, a chunk at a time; one that
 * starts out of order is read by itself. What was read for jobs that never started is dropped, oldest first.
 */
export class SpecWindow {
  readonly #store: Store
  readonly #no: BatchNo
  readonly #window = new Map<number, CommonSpec>()
  /** The index after the newest one read ahead. */
  #end: number
  /** The newest job whose spec was not there. */
  #missed = -1
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
    if (this.#reading === null) {
      if (spec === undefined) this.#follow(index)
      if (this.#end < total && index < this.#end && this.#end - index <= AHEAD) this.#readAhead()
    }
    if (spec === undefined) return this.#read(index)
    this.#window.delete(index)
    return spec
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
    for (let i = 0; i < specs.length; i++) this.#window.set(from + i, JSON.parse(specs[i]))
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
      return ahead
    }
    const [spec] = await this.#store.specs(this.#no, { from: index, limit: 1 })
    if (spec === undefined) throw new Error('The store has no spec for a job that was accepted.')
    return JSON.parse(spec)
  }
}
