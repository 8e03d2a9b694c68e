import type { Clock } from '../clock.ts'

/** Lines about traces that are lost come no more often than this, in milliseconds. */
const LINE_EVERY_MS = 60_000

/** Counts what could not be delivered, and says so once in a while. */
export class Delivery {
  readonly #clock: Clock
  readonly #lost: (facts: { count: number; reason: string }) => void
  #count = 0
  #reason = ''
  #lastLineAt = Number.NEGATIVE_INFINITY
  #closed = false

  /** @param options.lost - Told how many spans were lost since it was told last, and why the newest of them were. */
  constructor(options: { clock: Clock; lost: (facts: { count: number; reason: string }) => void }) {
    this.#clock = options.clock
    this.#lost = options.lost
  }

  /** `count` spans are lost. */
  lose(count: number, reason: string): void {
    if (count === 0 || this.#closed) return
    this.#count += count
    this.#reason = reason
    if (this.#clock.now() - this.#lastLineAt >= LINE_EVERY_MS) this.#tell()
  }

  /** Tell of those that nobody was told of, now; what is lost after that was counted before. */
  close(): void {
    this.#closed = true
    if (this.#count > 0) this.#tell()
  }

  #tell(): void {
    this.#lastLineAt = this.#clock.now()
    this.#lost({ count: this.#count, reason: this.#reason })
    this.#count = 0
  }
}
