import type { Clock, TimerHandle } from '../../clock.ts'
import type { Store } from '../../store/store.ts'

/** How long an Idempotency-Key is kept. */
export const IDEMPOTENCY_MS = 86_400_000

/** How long it is remembered that a deleted batch existed. */
export const TOMBSTONE_MS = 7 * 86_400_000

/** The longest and the shortest time between two sweeps. */
export const SWEEP_MS = { longest: 60_000, shortest: 1_000 }

/** Deletes what is older than its retention time, in small steps on the store's own thread, and is never in a hurry. */
export class Retention {
  readonly #store: Pick<Store, 'expire'>
  readonly #clock: Clock
  readonly #retentionMs: number
  readonly #onError: (error: unknown) => void
  #timer: TimerHandle | null = null
  #sweeping: Promise<void> | null = null
  #held = 0
  #closed = false

  /** @param options.retentionMs - How long a drained batch can be read. */
  constructor(options: {
    store: Pick<Store, 'expire'>
    clock: Clock
    retentionMs: number
    onError: (error: unknown) => void
  }) {
    this.#store = options.store
    this.#clock = options.clock
    this.#retentionMs = options.retentionMs
    this.#onError = options.onError
  }

  /** Sweep from now on, again and again. */
  start(): void {
    const pause = Math.min(SWEEP_MS.longest, Math.max(SWEEP_MS.shortest, this.#retentionMs / 10))
    this.#timer = this.#clock.after(pause, () => {
      void this.sweep().then(() => {
        if (!this.#closed) this.start()
      })
    })
  }

  /** Delete everything that is too old now; never rejects. Calls at the same time are one. */
  sweep(): Promise<void> {
    this.#sweeping ??= this.#sweep().finally(() => {
      this.#sweeping = null
    })
    return this.#sweeping
  }

  /** Take no further step until the returned function is called, which sweeps at once. */
  hold(): () => void {
    this.#held++
    return () => {
      this.#held--
      void Promise.resolve(this.#sweeping).then(() => this.sweep())
    }
  }

  /** Stop after the step under way. May be called twice. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await this.#sweeping
  }

  async #sweep(): Promise<void> {
    try {
      while (!this.#closed && this.#held === 0 && (await this.#step()) > 0);
    } catch (error) {
      this.#onError(error)
    }
  }

  #step(): Promise<number> {
    const now = this.#clock.now()
    const drainedBefore = now - this.#retentionMs
    return this.#store.expire({
      now,
      drainedBefore,
      keysBefore: now - IDEMPOTENCY_MS,
      tombstonesBefore: now - TOMBSTONE_MS,
    })
  }
}
