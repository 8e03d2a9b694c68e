import type { Redis } from 'ioredis'
import type { Clock } from '../../clock.ts'
import { sharedChannel } from '../../store/redis/keys.ts'
import { NoLeaseError } from './errors.ts'
import type { Membership } from './membership.ts'
import { LET_GO, OWNED_KEY, ownerKey, RELIST, SCAN_OWNED, TAKE } from './ownership-scripts.ts'
import { Turns } from './turns.ts'

/** Broadcast with a tenant's id when it wants an owner. */
export const ORPHANS_CHANNEL = 'orphans'

/** Tenants looked at in one step, so that Redis has time for others in between. */
const STEP = 1_000

/** Owners that are remembered for a moment. */
const CACHED = 10_000

/** How a claim ended: the tenant is ours, or that replica's. */
export type Claim = 'mine' | { owner: string }

/** A tenant that wants an owner, and who is listed as such: '' or one that is gone. */
export interface Orphan {
  tenantId: string
  listedAs: string
}

/** What {@link Ownership} needs. */
export interface OwnershipOptions {
  redis: Redis
  clock: Clock
  membership: Pick<Membership, 'id' | 'isAlive' | 'replicas'>
  /** Told of each tenant that is claimed from a replica that is gone. */
  onOrphan?: (tenantId: string, replicaId: string) => void
  /** How long an owner that was read is believed. Default 1,000 ms. */
  cacheMs?: number
}

/**
 * Who owns which tenant. `gatherd:{t}:owner` is the truth, changed by compare-and-set alone; `gatherd:owned` is the list in which orphans are
 * found, written before the truth when a tenant is taken and after it when it is let go, so that a crash in between leaves an entry too
 * many and never one too few. What is known to be listed wrongly is put right by whoever finds it.
 *
 * Claims and releases of one tenant come one after the other in a replica.
 */
export class Ownership {
  readonly #redis: Redis
  readonly #clock: Clock
  readonly #membership: OwnershipOptions['membership']
  readonly #onOrphan: (tenantId: string, replicaId: string) => void
  readonly #cacheMs: number
  readonly #turns = new Turns()
  readonly #cache = new Map<string, { owner: string; until: number }>()
  #mine: { of: string | null; tenants: Set<string> } = { of: null, tenants: new Set() }
  #doubtful = false

  constructor({ redis, clock, membership, onOrphan = () => undefined, cacheMs = 1_000 }: OwnershipOptions) {
    this.#redis = redis
    this.#clock = clock
    this.#membership = membership
    this.#onOrphan = onOrphan
    this.#cacheMs = cacheMs
  }

  /** What was claimed and not released, by the id that is ours now; nothing while there is none. */
  get mine(): ReadonlySet<string> {
    return this.#held()
  }

  /** True once a claim or a release has ended without an answer: {@link check} finds out what came of it. */
  get doubtful(): boolean {
    return this.#doubtful
  }

  /**
   * Take a tenant that nobody owns, or whose owner is gone. What is ours already stays so.
   * @throws {NoLeaseError}, or what Redis says; then it is not known whether it is ours, and it counts as not.
   */
  claim(tenantId: string): Promise<Claim> {
    return this.#turns.take(tenantId, async () => {
      const me = this.#me()
      if (this.#held().has(tenantId)) return 'mine'
      const owner = await this.#redis.get(ownerKey(tenantId))
      if (owner && owner !== me && (await this.#membership.isAlive(owner))) return this.#theirs(tenantId, owner)
      return this.#take(tenantId, me, owner ?? '')
    })
  }

  /**
   * Who owns a tenant now, null when nobody does or its owner is gone. May be as old as `cacheMs`. Our own id, too, for what is ours in Redis
   * and was not claimed by us as far as we know: then claim it.
   * @throws when Redis does not answer.
   */
  async ownerOf(tenantId: string): Promise<string | null> {
    const me = this.#membership.id
    if (me !== null && this.#held().has(tenantId)) return me
    const known = this.#cache.get(tenantId)
    if (known !== undefined && this.#clock.now() < known.until) return known.owner
    const owner = await this.#redis.get(ownerKey(tenantId))
    if (!owner) return null
    if (owner === me) return me
    if (!(await this.#membership.isAlive(owner))) return null
    return this.#theirs(tenantId, owner).owner
  }

  /**
   * Whether a tenant is ours by what Redis says and not as far as we know: then {@link claim} it, nobody else can.
   * @throws when Redis does not answer.
   */
  async isForgotten(tenantId: string): Promise<boolean> {
    const me = this.#membership.id
    if (me === null || this.#held().has(tenantId) || this.#turns.isBusy(tenantId)) return false
    return (await this.#redis.get(ownerKey(tenantId))) === me
  }

  /** Believe nothing that was read of this tenant: its owner did not know it, or was not there. */
  forget(tenantId: string): void {
    this.#cache.delete(tenantId)
  }

  /**
   * Give up a tenant that is ours; its work has stopped, and all of it is on record. With work left it wants an owner, and the others are told,
   * also if it is not ours any more: whose it is may not know it, when Redis has lost what came after. Else nothing is done then.
   * @throws what Redis says; then it is not known whether it is still ours, and it counts as not.
   */
  release(tenantId: string, { hasWork }: { hasWork: boolean }): Promise<void> {
    return this.#turns.take(tenantId, async () => {
      const me = this.#membership.id
      this.#held().delete(tenantId)
      if (me === null) return
      await this.#certain(async () => {
        const wasMine = await LET_GO.run(this.#redis, [ownerKey(tenantId)], [me, hasWork ? '1' : '0'])
        // Only what still says so: somebody may have listed himself by now.
        if (wasMine === 1) await RELIST.run(this.#redis, [OWNED_KEY], hasWork ? [tenantId, me, ''] : [tenantId, me])
        if (hasWork) await this.#redis.publish(sharedChannel(this.#redis, ORPHANS_CHANNEL), tenantId)
      })
    })
  }

  /**
   * Tenants that want an owner, a step of the list at a time. Those that are claimed or released here at this moment are left out.
   * @param own - Also those that are listed as ours and that we know nothing of.
   */
  async *orphans({ own = false } = {}): AsyncGenerator<Orphan[]> {
    const me = this.#membership.id
    const living = (await this.#membership.replicas()).map(({ id }) => id)
    const skipped = own ? living.filter((id) => id !== me) : living
    let cursor = '0'
    do {
      const [next, found] = await SCAN_OWNED.run(this.#redis, [OWNED_KEY], [cursor, STEP, ...skipped])
      const orphans = pairs(found).filter(
        ({ tenantId }) => !this.#held().has(tenantId) && !this.#turns.isBusy(tenantId),
      )
      if (orphans.length > 0) yield orphans
      cursor = next
    } while (cursor !== '0')
  }

  /** Claim an orphan. Who turns out to have a living owner is listed as its. */
  async rescue({ tenantId, listedAs }: Orphan): Promise<Claim> {
    const claim = await this.claim(tenantId)
    if (claim !== 'mine' && claim.owner !== listedAs)
      await RELIST.run(this.#redis, [OWNED_KEY], [tenantId, listedAs, claim.owner])
    return claim
  }

  /**
   * Hold what we believe against what Redis says, which may have lost its last second in a crash. Resolves with the tenants that we held and
   * that are not ours: they are not in {@link mine} any more.
   */
  async check(): Promise<string[]> {
    this.#doubtful = false
    const strays: string[] = []
    for (const tenants of chunks([...this.#held()])) {
      for (const tenantId of await this.#suspects(tenants)) {
        if (!(await this.#turns.take(tenantId, () => this.#confirm(tenantId)))) strays.push(tenantId)
      }
    }
    return strays
  }

  /** Of ours, those of which Redis says something else. */
  async #suspects(tenantIds: string[]): Promise<string[]> {
    const me = this.#membership.id
    const truths = Promise.all(tenantIds.map((id) => this.#redis.get(ownerKey(id))))
    const [owners, listed] = await Promise.all([truths, this.#redis.hmget(OWNED_KEY, ...tenantIds)])
    return tenantIds.filter((_, i) => owners[i] !== me || listed[i] !== me)
  }

  async #confirm(tenantId: string): Promise<boolean> {
    const me = this.#membership.id
    if (me === null || !this.#held().has(tenantId)) return true
    const owner = await this.#redis.get(ownerKey(tenantId))
    // The owner's word, and it is the owner who says it.
    if (owner === me) await this.#redis.hset(OWNED_KEY, tenantId, me)
    else this.#held().delete(tenantId)
    return owner === me
  }

  async #take(tenantId: string, me: string, from: string): Promise<Claim> {
    const owner = await this.#certain(async () => {
      const listed = this.#redis.hset(OWNED_KEY, tenantId, me)
      const [taken] = await Promise.all([TAKE.run(this.#redis, [ownerKey(tenantId)], [me, from]), listed])
      if (taken !== '') await RELIST.run(this.#redis, [OWNED_KEY], [tenantId, me, taken])
      return taken
    })
    if (owner !== '') return this.#theirs(tenantId, owner)
    // The lease may have run out on the way; who sweeps will find it.
    if (this.#membership.id !== me) throw new NoLeaseError()
    this.#held().add(tenantId)
    this.#cache.delete(tenantId)
    if (from !== '' && from !== me) this.#onOrphan(tenantId, from)
    return 'mine'
  }

  async #certain<T>(act: () => Promise<T>): Promise<T> {
    try {
      return await act()
    } catch (error) {
      this.#doubtful = true
      throw error
    }
  }

  #theirs(tenantId: string, owner: string): { owner: string } {
    if (this.#cache.size >= CACHED) this.#cache.clear()
    this.#cache.set(tenantId, { owner, until: this.#clock.now() + this.#cacheMs })
    return { owner }
  }

  /** A new id begins with nothing. */
  #held(): Set<string> {
    const of = this.#membership.id
    if (this.#mine.of !== of) this.#mine = { of, tenants: new Set() }
    return this.#mine.tenants
  }

  #me(): string {
    const me = this.#membership.id
    if (me === null) throw new NoLeaseError()
    return me
  }
}

function pairs(flat: string[]): Orphan[] {
  return flat.flatMap((tenantId, i) => (i % 2 === 0 ? [{ tenantId, listedAs: flat[i + 1] ?? '' }] : []))
}

function* chunks(tenantIds: string[]): Generator<string[]> {
  for (let at = 0; at < tenantIds.length; at += STEP) yield tenantIds.slice(at, at + STEP)
}
