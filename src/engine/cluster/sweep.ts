import type { Clock, TimerHandle } from '../../clock.ts'
import { NoLeaseError } from './errors.ts'
import type { Orphan, Ownership } from './ownership.ts'

/** Every so many sweeps, what we believe is held against what Redis says. */
const CHECK_EVERY = 20

/** What {@link Sweep} needs. */
export interface SweepOptions {
  ownership: Ownership
  clock: Clock
  leaseMs: number
  /** Take up the work of a tenant that is ours from now on. When it rejects, the tenant is let go and left to the others for one lease. */
  adopt: (tenantId: string) => Promise<void>
  /** A tenant that we held is another's, or nobody's, by what Redis says: stop its work here without a record. */
  onStray?: (tenantId: string) => void
  onError?: (error: unknown) => void
  /** Orphans that are taken up at once. Default 4. */
  parallel?: number
  /** From 0 to 1, exclusive. Default `Math.random`. */
  random?: () => number
}

/**
 * Finds orphans and takes them up: every half of a lease, and soon after it was told of one. Replicas begin at different moments, go in
 * different orders and take up a few at a time, so that they share what a dead one leaves.
 */
export class Sweep {
  readonly #options: Required<SweepOptions>
  readonly #shunned = new Map<string, number>()
  #timer: TimerHandle | null = null
  #running: Promise<void> | null = null
  #hinted = false
  #stopped = false
  #count = 0
  /** Our own are still to be checked: a sweep that should have done it has failed. */
  #owed = false

  constructor(options: SweepOptions) {
    const nothing = () => undefined
    this.#options = { onStray: nothing, onError: nothing, parallel: 4, random: Math.random, ...options }
  }

  /** Sweep from now on, first at a moment of the coming half of a lease. */
  start(): void {
    this.#arm(this.#options.random() * (this.#options.leaseMs / 2))
  }

  /**
   * Somebody wants an owner: sweep soon. Not at once, for all the others were told too.
   * @param own - Look at our own as well: Redis may have been away, and may have lost its last second.
   */
  hint({ own = false } = {}): void {
    if (own) this.#owed = true
    // One that waits already is not put off by more of them; one that is under way may have passed the place.
    if (this.#hinted) return
    this.#hinted = true
    if (this.#running === null) this.#armSoon()
  }

  /** Sweep now, or wait for the sweep that is under way; resolves when all that was found is taken up, by us or others. Never rejects. */
  run(): Promise<void> {
    this.#running ??= this.#sweep().finally(() => {
      this.#running = null
      this.#next()
    })
    return this.#running
  }

  /** Resolves when nothing is being taken up any more. May be called twice. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    await this.#running
  }

  #arm(delayMs: number): void {
    this.#timer?.cancel()
    if (this.#stopped) return
    this.#timer = this.#options.clock.after(delayMs, () => void this.run())
  }

  #armSoon(): void {
    this.#arm(this.#options.random() * Math.min(100, this.#options.leaseMs / 50))
  }

  #next(): void {
    const { leaseMs, random } = this.#options
    if (this.#hinted) this.#armSoon()
    else this.#arm((leaseMs / 2) * (0.8 + 0.4 * random()))
  }

  async #sweep(): Promise<void> {
    const { ownership, onStray, onError } = this.#options
    this.#hinted = false
    const own = this.#owed || ownership.doubtful || this.#count++ % CHECK_EVERY === 0
    this.#owed = false
    try {
      if (own) for (const stray of await ownership.check()) onStray(stray)
      for await (const orphans of ownership.orphans({ own })) await this.#takeUp(orphans)
    } catch (error) {
      this.#owed ||= own
      if (!(error instanceof NoLeaseError)) onError(error)
    }
  }

  async #takeUp(orphans: Orphan[]): Promise<void> {
    const left = this.#shuffled(orphans.filter(({ tenantId }) => !this.#isShunned(tenantId)))
    const workers = Array.from({ length: this.#options.parallel }, () => this.#worker(left))
    // What one of them has begun goes on when another fails, and nobody else may think that the sweep is over.
    const failed = (await Promise.allSettled(workers)).find((ended) => ended.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  async #worker(left: Orphan[]): Promise<void> {
    while (!this.#stopped) {
      const orphan = left.pop()
      if (orphan === undefined) return
      if ((await this.#options.ownership.rescue(orphan)) === 'mine') await this.#adopt(orphan.tenantId)
    }
  }

  async #adopt(tenantId: string): Promise<void> {
    const { adopt, ownership, clock, leaseMs, onError } = this.#options
    try {
      await adopt(tenantId)
    } catch (error) {
      onError(error)
      this.#shunned.set(tenantId, clock.now() + leaseMs)
      await ownership.release(tenantId, { hasWork: true })
    }
  }

  #isShunned(tenantId: string): boolean {
    const until = this.#shunned.get(tenantId)
    if (until === undefined || this.#options.clock.now() < until) return until !== undefined
    this.#shunned.delete(tenantId)
    return false
  }

  #shuffled<T>(items: T[]): T[] {
    const keyed = items.map((item) => [this.#options.random(), item] as const)
    return keyed.sort(([a], [b]) => a - b).map(([, item]) => item)
  }
}
