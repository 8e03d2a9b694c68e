import type { Redis } from 'ioredis'
import { v4 } from 'uuid'
import type { Clock, TimerHandle } from '../../clock.ts'

/** What a replica says of itself with every heartbeat, for whoever lists them. */
export type ReplicaInfo = Record<string, string | number | boolean | null>

/** A replica that lives. */
export interface Replica {
  id: string
  info: ReplicaInfo
}

/** What {@link Membership} needs. */
export interface MembershipOptions {
  redis: Redis
  clock: Clock
  /** How long a replica lives without a heartbeat. */
  leaseMs: number
  /** Looked at for every heartbeat. */
  info?: () => ReplicaInfo
  /** A new id is ours. */
  onJoined?: (id: string) => void
  /** The id is ours no more, whatever Redis says: once an id. Stop all that runs, forget all that is owned. */
  onLost?: (id: string) => void
  /** A replica has died without leaving; called in one of those that live. */
  onGone?: (id: string) => void
  /** A heartbeat that failed, or what a callback threw, for the log. */
  onError?: (error: unknown) => void
}

/** The key whose life is the replica's. */
export const heartbeatKey = (id: string) => `gatherd:replica:${id}`

/** The ids of all that may live, so that nobody has to scan for them. */
export const REPLICAS_KEY = 'gatherd:replicas'

/** Of its lease a replica uses a little less: two clocks never run alike. */
const SAFETY = 0.95

/**
 * A replica's life among others. `out`: no id, trying to join. `in`: an id, and a lease that the next heartbeat extends. From `in` to `out`
 * (`onLost`) when the lease has run out by our own clock or Redis has no heartbeat of ours; then a new id as soon as Redis answers.
 * `left`: after {@link leave}, for good.
 *
 * The lease counts from before the heartbeat was sent, so it ends here before Redis lets the key go. Redis' clock is compared with nothing.
 */
export class Membership {
  readonly #options: Required<MembershipOptions>
  #id: string | null = null
  #validUntil = 0
  #left = false
  #timer: TimerHandle | null = null
  #beating: Promise<void> = Promise.resolve()
  #expiry: TimerHandle | null = null
  #former: string | null = null
  #full = false

  constructor(options: MembershipOptions) {
    const nothing = () => undefined
    this.#options = {
      info: () => ({}),
      onJoined: nothing,
      onLost: nothing,
      onGone: nothing,
      onError: nothing,
      ...options,
    }
  }

  /** The id, null while there is none. Looks at the clock, so that after a pause it has ended before anything is done with it. */
  get id(): string | null {
    return this.isValid() ? this.#id : null
  }

  /** How long the lease still holds; 0: there is none. */
  get leaseLeftMs(): number {
    return this.isValid() ? this.#validUntil - this.#options.clock.now() : 0
  }

  /** True while the id is ours for sure. The first look after the lease has run out calls `onLost`. */
  isValid(): boolean {
    if (this.#id === null) return false
    if (this.#options.clock.now() < this.#validUntil) return true
    this.#lose()
    return false
  }

  /** True while Redis has no room for anything new, by the last heartbeat. */
  get full(): boolean {
    return this.#full
  }

  /** Join, and stay. Resolves after the first try, whatever came of it; further tries go on by themselves. */
  start(): Promise<void> {
    return this.#beat()
  }

  /** Let the others know that we are gone, without waiting for the lease. Nothing is `lost` by it. May be called twice. */
  async leave(): Promise<void> {
    this.#left = true
    this.#timer?.cancel()
    this.#expiry?.cancel()
    const id = this.#id
    this.#id = null
    await this.#beating
    if (id !== null) await this.#remove(id)
  }

  /** Those that live now, this one among them. @throws when Redis does not answer. */
  async replicas(): Promise<Replica[]> {
    const { redis } = this.#options
    const ids = await redis.smembers(REPLICAS_KEY)
    const infos = await Promise.all(ids.map((id) => redis.get(heartbeatKey(id))))
    const gone = ids.filter((_, i) => infos[i] === null)
    // One that is joining at this moment adds itself again with its next heartbeat.
    for (const id of gone) if ((await redis.srem(REPLICAS_KEY, id)) === 1) this.#options.onGone(id)
    return ids.flatMap((id, i) => {
      const text = infos[i]
      return text == null ? [] : [{ id, info: JSON.parse(text) }]
    })
  }

  /** True while the heartbeat of `id` is there. Once false it stays so: ids do not come back. @throws when Redis does not answer. */
  async isAlive(id: string): Promise<boolean> {
    return (await this.#options.redis.exists(heartbeatKey(id))) === 1
  }

  async #beat(): Promise<void> {
    const done = Promise.withResolvers<void>()
    this.#beating = done.promise
    const wasGood = await (this.isValid() ? this.#extend() : this.#join())
    done.resolve()
    if (!this.#left) this.#arm(wasGood)
  }

  /** After a failure, sooner: there is not much of the lease left. */
  #arm(wasGood: boolean): void {
    const { clock, leaseMs } = this.#options
    this.#timer = clock.after(leaseMs / (wasGood ? 3 : 12), () => void this.#beat())
  }

  /** Never the same id in two tries: an answer that was lost may have been a yes. */
  async #join(): Promise<boolean> {
    const id = v4()
    const until = this.#horizon()
    try {
      await this.#bury()
      if ((await this.#send(id, 'NX')) === null) return false
    } catch (error) {
      this.#options.onError(error)
      return false
    }
    if (this.#left) await this.#remove(id)
    // The answer came too late to be worth anything.
    if (this.#left || this.#options.clock.now() >= until) return false
    this.#id = id
    this.#full = false
    this.#hold(until)
    this.#tell(() => this.#options.onJoined(id))
    return true
  }

  async #extend(): Promise<boolean> {
    const id = this.#id
    const until = this.#horizon()
    try {
      if (id === null) return false
      const answer = await this.#send(id, 'XX')
      // Somebody may have looked at the clock meanwhile, and even joined again.
      if (this.#id !== id || !this.isValid()) return false
      if (answer === null) this.#lose()
      else this.#hold(until)
      return answer !== null
    } catch (error) {
      this.#options.onError(error)
      return false
    }
  }

  #send(id: string, condition: 'NX' | 'XX'): Promise<'OK' | null> {
    const { redis, leaseMs, info } = this.#options
    const text = JSON.stringify(info())
    const listed = redis.sadd(REPLICAS_KEY, id)
    if (condition === 'XX')
      return Promise.all([this.#renew(id, text), listed.catch(unlessFull)]).then(([answer]) => answer)
    const beat = redis.set(heartbeatKey(id), text, 'PX', leaseMs, 'NX')
    return Promise.all([beat, listed]).then(([answer]) => answer)
  }

  /** A server that is full takes no text, but lets live on what it has: being full is no reason to lose a lease. */
  async #renew(id: string, text: string): Promise<'OK' | null> {
    const { redis, leaseMs } = this.#options
    const answer = await redis.set(heartbeatKey(id), text, 'PX', leaseMs, 'XX').catch(unlessFull)
    this.#full = answer === undefined
    if (answer !== undefined) return answer
    return (await redis.pexpire(heartbeatKey(id), leaseMs)) === 1 ? 'OK' : null
  }

  #horizon(): number {
    return this.#options.clock.now() + this.#options.leaseMs * SAFETY
  }

  #hold(until: number): void {
    this.#validUntil = until
    this.#expiry?.cancel()
    this.#watch()
  }

  /** Timers may fire a millisecond early: then the clock says so. */
  #watch(): void {
    const { clock } = this.#options
    this.#expiry = clock.after(this.#validUntil - clock.now() + 1, () => {
      if (this.isValid()) this.#watch()
    })
  }

  #lose(): void {
    const id = this.#id
    if (id === null) return
    this.#id = null
    this.#former = id
    this.#expiry?.cancel()
    this.#tell(() => this.#options.onLost(id))
  }

  /** What goes wrong there must not end the heartbeats. */
  #tell(tell: () => void): void {
    try {
      tell()
    } catch (error) {
      this.#options.onError(error)
    }
  }

  /** The old heartbeat may live a little longer than we do: nobody has to wait for that. */
  async #bury(): Promise<void> {
    if (this.#former === null) return
    const former = this.#former
    await this.#options.redis.del(heartbeatKey(former))
    if (this.#former === former) this.#former = null
  }

  async #remove(id: string): Promise<void> {
    const { redis, onError } = this.#options
    await Promise.all([redis.del(heartbeatKey(id)), redis.srem(REPLICAS_KEY, id)]).catch(onError)
  }
}

function unlessFull(error: unknown): undefined {
  if (!(error instanceof Error && error.message.startsWith('OOM'))) throw error
}
