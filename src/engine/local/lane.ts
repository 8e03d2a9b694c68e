import { type Batch, isReady } from '../../core/batch.ts'
import type { HeapItem } from './heap.ts'
import type { BatchQueue, HostQueue } from './queues.ts'

/**
 * Jobs of one batch that share a priority and a target host, in input order: all that the fair queue keeps of them is
 * where it got to. A lane is in exactly one heap at a time: its tenant's, its batch's or its host's.
 */
export class Lane implements HeapItem {
  pos = -1
  readonly batch: BatchQueue
  readonly priority: number
  readonly host: HostQueue | null
  /** Its job was running before a restart: it goes before everything that was only queued. */
  readonly resumed: boolean
  /** When its jobs were accepted, relative to all others: lower is earlier. */
  readonly order: number
  #head: number
  readonly #to: number
  readonly #indexes: Uint32Array | null

  /** Either the range `from`…`to`, or the jobs in `indexes`. */
  constructor(options: {
    batch: BatchQueue
    priority: number
    host: HostQueue | null
    order: number
    resumed?: boolean
    from: number
    to: number
    indexes?: Uint32Array
  }) {
    this.batch = options.batch
    this.priority = options.priority
    this.host = options.host
    this.order = options.order
    this.resumed = options.resumed ?? false
    this.#indexes = options.indexes ?? null
    this.#head = this.#indexes === null ? options.from : 0
    this.#to = this.#indexes === null ? options.to : this.#indexes.length
  }

  /** The index of the next job that still waits here, or -1. What was started, ended or moved meanwhile is passed over for good. */
  peek(): number {
    while (this.#head < this.#to) {
      const index = this.#at(this.#head)
      if (this.#waitsHere(this.batch.core, index)) return index
      this.#head++
    }
    return -1
  }

  /** Where the lane stands in input order, for its heap. */
  get head(): number {
    return this.#head < this.#to ? this.#at(this.#head) : -1
  }

  /** Step past the job that `peek` gave. */
  advance(): void {
    this.#head++
  }

  #at(position: number): number {
    return this.#indexes === null ? position : this.#indexes[position]
  }

  #waitsHere(core: Batch, index: number): boolean {
    return isReady(core, index) && this.batch.priorities.get(index) === this.priority
  }
}

/** Higher priority first, then first accepted, then input order (semantics.md 6, invariant 7). */
export function startsBefore(a: Lane, b: Lane): boolean {
  if (a.resumed !== b.resumed) return a.resumed
  if (a.priority !== b.priority) return a.priority > b.priority
  return a.order === b.order ? a.head < b.head : a.order < b.order
}
