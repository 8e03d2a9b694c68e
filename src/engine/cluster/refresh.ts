import type { Clock, TimerHandle } from '../../clock.ts'

/** After a read, none for this many times as long as it took: whoever changes thousands of rows does not have all of them read for each. */
const REST = 4

/** But no longer than this, in milliseconds. */
const LONGEST_REST_MS = 1_000

/**
 * Reads something again when it is told to, one read after the other: at once when it has rested, and once for all that it was told while it
 * read or rested.
 */
export class Refresh {
  readonly #clock: Clock
  readonly #read: () => Promise<void>
  #state: 'idle' | 'busy' | 'stopped' = 'idle'
  #wanted = false
  #rest: TimerHandle | null = null

  /** @param options.read - Must not reject. */
  constructor(options: { clock: Clock; read: () => Promise<void> }) {
    this.#clock = options.clock
    this.#read = options.read
  }

  /** What is read may have changed: a read begins after this. */
  wake(): void {
    this.#wanted = true
    if (this.#state === 'idle') void this.#run()
  }

  /** Read no more. */
  stop(): void {
    this.#state = 'stopped'
    this.#rest?.cancel()
  }

  async #run(): Promise<void> {
    this.#state = 'busy'
    this.#wanted = false
    const began = this.#clock.now()
    await this.#read()
    if (this.#isStopped) return
    const restMs = Math.min(LONGEST_REST_MS, REST * (this.#clock.now() - began))
    this.#rest = this.#clock.after(restMs, () => {
      this.#state = 'idle'
      if (this.#wanted) void this.#run()
    })
  }

  get #isStopped(): boolean {
    return this.#state === 'stopped'
  }
}
