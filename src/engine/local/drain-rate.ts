/** A job that left this many jobs ago counts e times less than the one that left last. */
const MEMORY_JOBS = 32

/** A rate seen over less than this says nothing yet. */
const SHORTEST_MS = 1_000

/** The longest that is ever advised, in seconds. */
export const LONGEST_S = 3_600

/**
 * How fast jobs leave a queue: the time that the last ones took, by their number, newer ones counting more. Time in which
 * the queue was empty does not count: it says nothing of how fast it is when it is needed. Counting by jobs and not by
 * seconds knows a queue that one job leaves each minute as well as one that a thousand leave each second.
 */
export class DrainRate {
  /** Jobs that left and the milliseconds that they took, both weighted. */
  #jobs = 0
  #ms = 0
  /** How many left at once, the last time. */
  #last = 1
  /** Milliseconds in which the queue had jobs, up to `#from`. */
  #busyMs = 0
  /** When jobs last left, or came to a queue that had none; null: it is empty. */
  #from: number | null = null

  /**
   * `count` jobs left at `now`, by starting or by ending before they did; 0 when jobs came to a queue that had none.
   * @param isEmpty - Whether the queue has none now.
   */
  left(count: number, now: number, isEmpty: boolean): void {
    if (count > 0) this.#count(count, this.#waitedMs(now))
    if (isEmpty) this.#from = null
    else if (count > 0) this.#from = now
    else this.#from ??= now
  }

  /** Whole seconds until `count` jobs will have left, from 1 to {@link LONGEST_S}; while none has, as long as that has been. */
  secondsFor(count: number, now: number): number {
    const waitedMs = this.#waitedMs(now)
    // Even none may have to wait, for those ahead of it.
    const ms = this.#jobs === 0 ? this.#busyMs + waitedMs : Math.max(count, 1) * this.#msPerJob(waitedMs)
    return Math.min(Math.max(Math.ceil(Math.round(ms) / 1_000), 1), LONGEST_S)
  }

  /** The first of a queue may all start at once: that says how many slots are free, not how fast they come free. */
  #count(count: number, waitedMs: number): void {
    this.#busyMs += waitedMs
    if (this.#busyMs === 0) return
    const kept = Math.exp(-count / MEMORY_JOBS)
    this.#jobs = this.#jobs * kept + count
    this.#ms = this.#ms * kept + waitedMs
    this.#last = count
  }

  /** A wait that is longer than it should be counts as if it ended now. */
  #msPerJob(waitedMs: number): number {
    const seen = (this.#ms + Math.max(0, SHORTEST_MS - this.#busyMs)) / this.#jobs
    return Math.max(seen, (this.#ms + waitedMs) / (this.#jobs + this.#last))
  }

  #waitedMs(now: number): number {
    return this.#from === null ? 0 : now - this.#from
  }
}
