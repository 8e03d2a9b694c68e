import type { Clock } from '../clock.ts'

/** Lines about traces that are lost come no more often than this, in milliseconds. */
const LINE_EVERY_MS = 60_000

/** Counts what could not be delivered, and says so once in a while. */
export class Delivery {
  readonly #clock: Clock
  readonly #lost: (facts: { count: number; reason: string }) => void
  #count = 0
  #lastLineAt = Number.NEGATIVE_INFINITY

  /** @param options.lost - Told how many spans were lost since it was told last, and why the newest of them were. */
  constructor(options: { clock: Clock; lost: (facts: { count: number; reason: string }) => void }) {
    this.#clock = options.clock
    this.#lost = options.lost
  }

  /** `count` spans are lost. */
  lose(count: number, reason: string): void {
    this.#count += count
    if (this.#count === 0 || this.#clock.now() - this.#lastLineAt < LINE_EVERY_MS) return
    this.#lastLineAt = this.#clock.now()
    this.#lost({ count: this.#count, reason })
    this.#count = 0
  }
}
