import type { Clock, TimerHandle } from '../../clock.ts'
import { OverloadedError, TenantMovedError } from '../../errors.ts'
import type { Tenancy } from '../local/tenancy.ts'

/** Whose tenants are, as the replicas know it together. */
export interface Owners {
  /** Become the owner, unless another replica that lives is: `mine`, or that replica's id. */
  claim(tenantId: string): Promise<'mine' | { owner: string }>
  /** The id of the owner that lives; null: there is none. */
  ownerOf(tenantId: string): Promise<string | null>
  /** Whether it is ours by what is known together, and we know nothing of it. */
  isForgotten(tenantId: string): Promise<boolean>
  /** Be the owner no more; with work left, another replica is to claim it at once. */
  release(tenantId: string, options: { hasWork: boolean }): Promise<void>
}

/** What is done with a tenant's work; see {@link Tenancy}. */
export type HoldingsTenancy = Pick<Tenancy, 'adopt' | 'hasWork' | 'handOver' | 'lose'>

/** A tenant that this replica owns, or is about to. */
interface Holding {
  /** Resolves once its work goes on here. */
  taken: Promise<void>
  isTaken: boolean
  isLeaving: boolean
  usedAt: number
}

/** A tenant that has no work and is not asked for is given up after this long: the next to be asked may have it. */
const IDLE_MS = 30_000

/**
 * The tenants of this replica: claimed when they are needed, their work taken up before anything else is done for them, and given
 * up when they are idle, when the service drains, or when the lease is lost.
 */
export class Holdings {
  readonly #owners: Owners
  readonly #tenancy: HoldingsTenancy
  readonly #clock: Clock
  readonly #isValid: () => boolean
  readonly #onError: (error: unknown) => void
  readonly #held = new Map<string, Holding>()
  #sweep: TimerHandle | null = null
  #closed = false

  /** @param options.isValid - Looks at the clock: whether the lease is good. When it is not, everything here has been lost when it returns. */
  constructor(options: {
    owners: Owners
    tenancy: HoldingsTenancy
    clock: Clock
    isValid: () => boolean
    onError: (error: unknown) => void
  }) {
    this.#isValid = options.isValid
    this.#owners = options.owners
    this.#tenancy = options.tenancy
    this.#clock = options.clock
    this.#onError = options.onError
  }

  /** Give up, from now on, what is idle. */
  start(): void {
    this.#sweep = this.#clock.after(IDLE_MS / 4, () => {
      for (const [tenantId, held] of this.#held) if (this.#isIdle(tenantId, held)) void this.#giveUp(tenantId, 0)
      if (!this.#closed) this.start()
    })
  }

  /** How many tenants are held. */
  get size(): number {
    return this.#held.size
  }

  /** Whether this replica is the tenant's owner, and its work goes on here. */
  holds(tenantId: string): boolean {
    // A request may have waited in the socket of a process that stood still.
    return this.#isValid() && this.#held.get(tenantId)?.isTaken === true
  }

  /** Under which name this replica may write for a tenant; null: it may not. */
  isOwner(tenantId: string): boolean {
    return this.#held.has(tenantId)
  }

  /**
   * Become the tenant's owner if nobody is, and take up its work; resolves with `mine`, or the owner's id.
   * @throws {TenantMovedError} nobody is, and this replica takes no more.
   */
  async take(tenantId: string): Promise<'mine' | { owner: string }> {
    const known = this.#isValid() ? this.#held.get(tenantId) : undefined
    if (known !== undefined) {
      known.usedAt = this.#clock.now()
      await known.taken
      return 'mine'
    }
    const claimed = this.#closed ? await this.#other(tenantId) : await this.#owners.claim(tenantId)
    if (claimed !== 'mine') return claimed
    await (this.#held.get(tenantId) ?? this.#enter(tenantId)).taken
    return 'mine'
  }

  /**
   * Take up a tenant if it is this replica's by what Redis says, which may have gone back to before it was given up: nobody else can.
   * @throws what {@link take} throws, or Redis says.
   */
  async regain(tenantId: string): Promise<void> {
    if (this.#closed || this.#held.has(tenantId) || !(await this.#owners.isForgotten(tenantId))) return
    await this.take(tenantId)
  }

  /** The lease is lost, or another replica is the owner: nothing of the tenant goes on here. */
  lose(tenantId: string): void {
    if (!this.#held.delete(tenantId)) return
    this.#tenancy.lose(tenantId)
  }

  loseAll(): void {
    for (const tenantId of [...this.#held.keys()]) this.lose(tenantId)
  }

  /** Give everything to the other replicas: each tenant as soon as nothing of it runs, at the latest after `graceMs`. Takes no more. */
  async leave(graceMs: number): Promise<void> {
    this.#closed = true
    this.#sweep?.cancel()
    await Promise.all([...this.#held.keys()].map((tenantId) => this.#giveUp(tenantId, graceMs)))
  }

  /** Who owns the tenant now; null: nobody. Nothing is changed by the question. */
  async find(tenantId: string): Promise<'mine' | { owner: string } | null> {
    if (this.#held.has(tenantId)) return 'mine'
    const owner = await this.#owners.ownerOf(tenantId)
    return owner === null ? null : { owner }
  }

  async #other(tenantId: string): Promise<{ owner: string }> {
    const owner = await this.#owners.ownerOf(tenantId)
    if (owner === null) throw new TenantMovedError()
    return { owner }
  }

  #enter(tenantId: string): Holding {
    const held: Holding = {
      isTaken: false,
      isLeaving: false,
      usedAt: this.#clock.now(),
      taken: this.#tenancy.adopt(tenantId).then(
        () => {
          // It may have been lost meanwhile.
          if (this.#held.get(tenantId) !== held) throw new TenantMovedError()
          held.isTaken = true
        },
        async (cause: unknown) => {
          await this.#abandon(tenantId, held)
          throw new OverloadedError("The tenant's work cannot be read now; nothing was done.", 2, { cause })
        },
      ),
    }
    this.#held.set(tenantId, held)
    return held
  }

  /** What could not be taken up is somebody else's, or ours at another try. */
  async #abandon(tenantId: string, held: Holding): Promise<void> {
    if (this.#held.get(tenantId) !== held) return
    this.lose(tenantId)
    await this.#owners.release(tenantId, { hasWork: true }).catch(this.#onError)
  }

  #isIdle(tenantId: string, { isTaken, isLeaving, usedAt }: Holding): boolean {
    return isTaken && !isLeaving && this.#clock.now() - usedAt > IDLE_MS && !this.#tenancy.hasWork(tenantId)
  }

  async #giveUp(tenantId: string, graceMs: number): Promise<void> {
    const held = this.#held.get(tenantId)
    if (held === undefined || held.isLeaving) return
    // What is being taken up must be there before it can be given up.
    await held.taken.catch(() => undefined)
    if (this.#held.get(tenantId) !== held) return
    held.isLeaving = true
    const hasWork = await this.#tenancy.handOver(tenantId, graceMs)
    if (this.#held.get(tenantId) !== held) return
    this.#held.delete(tenantId)
    await this.#owners.release(tenantId, { hasWork }).catch(this.#onError)
  }
}
