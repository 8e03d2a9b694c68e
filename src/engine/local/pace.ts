import { type Clock, systemClock, type TimerHandle } from '../../clock.ts'

/** A commit of so many records is followed by others of as many: the jobs come that fast. */
const CROWD = 32

/** How far apart commits begin then, in milliseconds: most fetches take less. With 5 the store's thread saves two thirds as much. */
const APART_MS = 10

/**
 * When the next commit begins. At once, as long as little happens. While much does, so long after the one before that most jobs
 * that start in between have also ended: such a job is written once, and one fsync is for more of them. Whoever waits for
 * a commit, or for what it shows, is not kept waiting: `hurry`.
 */
export class Pace {
  readonly #clock: Clock
  #dueAt = Number.NEGATIVE_INFINITY
  #waiting: { timer: TimerHandle; go: () => void } | null = null

  /** @param clock - Not the engine's, which tests let stand still while their commits go on. */
  constructor(clock: Clock = systemClock) {
    this.#clock = clock
  }

  /** A commit of so many records begins. */
  begins(records: number): void {
    this.#dueAt = records < CROWD ? Number.NEGATIVE_INFINITY : this.#clock.now() + APART_MS
  }

  /** Resolves when the next commit may begin; null: it may now. */
  turn(): Promise<void> | null {
    const ms = this.#dueAt - this.#clock.now()
    if (ms <= 0) return null
    return new Promise((resolve) => {
      this.#waiting = { timer: this.#clock.after(ms, () => this.#end()), go: resolve }
    })
  }

  /** Somebody waits for the next commit. */
  hurry(): void {
    this.#dueAt = Number.NEGATIVE_INFINITY
    this.#end()
  }

  #end(): void {
    this.#waiting?.timer.cancel()
    this.#waiting?.go()
    this.#waiting = null
  }
}
