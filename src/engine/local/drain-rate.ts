/** What happened this long ago counts e times less than what happens now. */
const TAU_MS = 10_000

/** A rate seen over less than this says nothing yet. */
const SHORTEST_MS = 1_000

/** The longest that is ever advised, in seconds. */
export const LONGEST_S = 3_600

/**
 * How fast jobs leave a queue: an exponentially weighted rate over the time in which the queue had jobs. Time in which it
 * was empty does not count: it says nothing of how fast it is when it is needed.
 */
export class DrainRate {
  #weight = 0
  /** Milliseconds in which the queue had jobs, up to `#from`. */
  #busyMs = 0
  /** When the queue had its first job after it was empty; null: it is empty. */
  #from: number | null = null
  /** The busy time at which jobs last left. */
  #leftAt = 0

  /**
   * `count` jobs left at `now`, by starting or by ending before they did; 0 when jobs came to a queue that had none.
   * @param isEmpty - Whether the queue has none now.
   */
  left(count: number, now: number, isEmpty: boolean): void {
    const busyMs = this.#busyAt(now)
    this.#weight = this.#decayed(busyMs) + count
    this.#leftAt = busyMs
    this.#busyMs = busyMs
    this.#from = isEmpty ? null : now
  }

  /** Whole seconds until `count` jobs will have left, from 1 to {@link LONGEST_S}; while none has, as long as that has been. */
  secondsFor(count: number, now: number): number {
    const busyMs = this.#busyAt(now)
    // Even none may have to wait, for those ahead of it; and none at no rate is no number.
    const ms = this.#weight === 0 ? busyMs : Math.max(count, 1) / this.#perMs(busyMs)
    return Math.min(Math.max(Math.ceil(ms / 1_000), 1), LONGEST_S)
  }

  /** The weights of an endless past add up to TAU_MS; those of a short one to less. */
  #perMs(busyMs: number): number {
    const seenMs = Math.max(busyMs, SHORTEST_MS)
    return this.#decayed(busyMs) / (TAU_MS * (1 - Math.exp(-seenMs / TAU_MS)))
  }

  #busyAt(now: number): number {
    return this.#busyMs + (this.#from === null ? 0 : now - this.#from)
  }

  #decayed(busyMs: number): number {
    return this.#weight * Math.exp((this.#leftAt - busyMs) / TAU_MS)
  }
}
