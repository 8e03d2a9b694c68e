import type { Redis } from 'ioredis'
import type { Clock } from '../../../clock.ts'
import { Script } from '../../../store/redis/script.ts'
import { ownerKey } from '../ownership-scripts.ts'

/** Hash: by seat, the replica in which attempts of the tenant run, or may run at any moment, that are not its owner's own. */
export const awayKey = (tenantId: string) => `gatherd:{${tenantId}}:away`

/** `[owner] [away] [whose attempt it is, seat, taker]`: 1 when it is noted, 0 when the tenant is another's by now. */
const PUT = new Script<number>(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
return 1`)

/** Between two looks whether what ran for the owner before has stopped. */
const LOOK_MS = 20

/** A slot of ours in which a tenant's attempts run for its owner. */
export interface Mark {
  tenantId: string
  seat: string
  owner: string
}

/** What {@link Marks} needs. */
export interface MarksOptions {
  redis: Redis
  members: { isAlive(id: string): Promise<boolean> }
  clock: Clock
  /** How long who takes a tenant up waits at most for what still runs elsewhere. */
  leaseMs: number
  onError: (error: unknown) => void
}

/**
 * Where attempts run that are not where their tenant is, noted in Redis: who takes a tenant up waits until what ran for the owner before has
 * stopped, so that the two together are not above its cap. A mark is set in the same step in which Redis says whose the tenant is, so that
 * nothing begins for an owner after the next one has looked.
 */
export class Marks {
  readonly #options: MarksOptions
  /** Those that could not be removed. */
  #left: Mark[] = []

  constructor(options: MarksOptions) {
    this.#options = options
  }

  /** Note it; false: the tenant is not that owner's any more, and nothing may begin. @throws what Redis says; then nothing may either. */
  async put({ tenantId, seat, owner }: Mark, taker: string): Promise<boolean> {
    const keys = [ownerKey(tenantId), awayKey(tenantId)]
    return (await PUT.run(this.#options.redis, keys, [owner, seat, taker])) === 1
  }

  /** It has stopped. Never rejects; tried again by {@link retry}. */
  async remove(mark: Mark): Promise<void> {
    const { redis, onError } = this.#options
    await redis.hdel(awayKey(mark.tenantId), mark.seat).catch((error: unknown) => {
      this.#left.push(mark)
      onError(error)
    })
  }

  /** Remove what could not be removed before. */
  async retry(): Promise<void> {
    await Promise.all(this.#left.splice(0).map((mark) => this.remove(mark)))
  }

  /** Resolves when nothing of a tenant runs elsewhere, or only what has not stopped for a lease. @throws what Redis says. */
  async quiet(tenantId: string): Promise<void> {
    const { clock, leaseMs } = this.#options
    const until = clock.now() + leaseMs
    while (!(await this.#isQuiet(tenantId)) && clock.now() < until)
      await new Promise<void>((resolve) => void clock.after(LOOK_MS, resolve))
  }

  /** What a replica that is gone had noted goes with it. */
  async #isQuiet(tenantId: string): Promise<boolean> {
    const { redis, members } = this.#options
    const takers = new Map(Object.entries(await redis.hgetall(awayKey(tenantId))))
    const living = new Map<string, boolean>()
    for (const taker of takers.values()) if (!living.has(taker)) living.set(taker, await members.isAlive(taker))
    const gone = [...takers].filter(([, taker]) => !living.get(taker)).map(([seat]) => seat)
    if (gone.length > 0) await redis.hdel(awayKey(tenantId), ...gone)
    return gone.length === takers.size
  }
}
