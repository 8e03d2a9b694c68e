import type { Clock, TimerHandle } from '../clock.ts'

/** Lines about traces that are lost come no more often than this, in milliseconds. */
const LINE_EVERY_MS = 60_000

/** Counts what could not be delivered, and says so once in a while. */
export class Delivery {
  readonly #clock: Clock
  readonly #lost: (facts: { count: number; reason: string }) => void
  #count = 0
  #reason = ''
  /** Until the next line may come; null: it may come now. */
  #pause: TimerHandle | null = null
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
    if (this.#pause === null) this.#tell()
  }

  /** Tell of those that nobody was told of, now; what is lost after that was counted before. */
  close(): void {
    this.#closed = true
    if (this.#count > 0) this.#tell()
    this.#pause?.cancel()
  }

  #tell(): void {
    this.#lost({ count: this.#count, reason: this.#reason })
    this.#count = 0
    this.#pause?.cancel()
    this.#pause = this.#clock.after(LINE_EVERY_MS, () => {
      this.#pause = null
      // Also when nothing more is lost: those that were are to be known.
      if (this.#count > 0) this.#tell()
    })
  }
}
