import type { Redis } from 'ioredis'
import type { Clock, TimerHandle } from '../../../clock.ts'
import type { Exchange } from '../../local/exchange.ts'
import type { Bus } from '../bus.ts'
import type { Membership } from '../membership.ts'
import { ownerKey } from '../ownership-scripts.ts'
import { Borrowed } from './borrowed.ts'
import { SpreadCounts } from './counts.ts'
import { Lent } from './lent.ts'
import { Marks } from './marks.ts'
import { ADOPTED_CHANNEL, KNOWN, NEXT, type Question, STOP, type StopOrder, TICKETS_CHANNEL } from './protocol.ts'
import { Tickets } from './tickets.ts'

/** What {@link Spread} needs. */
export interface SpreadOptions {
  exchange: Exchange
  redis: Redis
  bus: Bus
  membership: Membership
  clock: Clock
  leaseMs: number
  /** Hears of each attempt that is sent to another replica. */
  onSent: (facts: { batchId: string; index: number; replicaId: string }) => void
  onError: (error: unknown) => void
}

/**
 * Attempts on other replicas: what waits here for nothing but a slot runs where one is free. The job stays its owner's; see `protocol.ts` for
 * the way of an attempt.
 */
export class Spread {
  readonly counts = new SpreadCounts()
  readonly borrowed: Borrowed
  readonly lent: Lent
  readonly tickets: Tickets
  readonly #marks: Marks
  readonly #options: SpreadOptions
  #timer: TimerHandle | null = null
  #left: Promise<void> | null = null

  constructor(options: SpreadOptions) {
    this.#options = options
    const { exchange, redis, bus, membership, clock, leaseMs, onError, onSent } = options
    const { counts } = this
    const tickets = new Tickets({ redis, clock, leaseMs, kinds: exchange.kinds, onError })
    this.tickets = tickets
    const marks = new Marks({ redis, members: membership, clock, leaseMs, onError })
    this.#marks = marks
    this.borrowed = new Borrowed({
      exchange,
      tickets,
      bus,
      members: membership,
      clock,
      leaseMs,
      counts,
      onSent,
      onError,
    })
    this.lent = new Lent({
      exchange,
      tickets,
      marks,
      bus,
      members: membership,
      ownerOf: (tenantId) => redis.get(ownerKey(tenantId)),
      onOwn: (seat) => this.borrowed.forget(seat),
      clock,
      counts,
      onError,
    })
    bus.handle<Question>(NEXT, (question) => this.borrowed.next(question))
    bus.handle<StopOrder>(STOP, (order) => this.lent.stop(order))
    bus.handle<{ seats: string[] }>(KNOWN, (asked) => this.lent.known(asked))
    bus.on(TICKETS_CHANNEL, () => this.lent.hint())
    bus.on(ADOPTED_CHANNEL, (text) => {
      const at = text.lastIndexOf(' ')
      this.lent.adopted(text.slice(0, at), text.slice(at + 1))
    })
    bus.onResubscribed(() => this.#check())
    exchange.onChange = () => {
      this.borrowed.want()
      this.lent.take()
    }
  }

  /** Lend and borrow from now on. */
  start(): void {
    this.#timer = this.#options.clock.after(this.#options.leaseMs / 3, () => {
      this.#check()
      this.start()
    })
  }

  /** Tell all that a tenant is ours from now on, before its work is taken up; resolves when what ran for its owner before has stopped. */
  async adopting(tenantId: string): Promise<void> {
    const { bus, membership, onError } = this.#options
    const told = bus.notify(ADOPTED_CHANNEL, `${tenantId} ${membership.id}`)
    await Promise.all([told, this.#marks.quiet(tenantId)]).catch(onError)
  }

  /** The lease is lost. */
  lost(): void {
    this.borrowed.lost()
    this.lent.lost()
  }

  /** Lend and ask for nothing more; resolves when what ran here for others has been handed back. May be called twice. */
  leave(graceMs: number): Promise<void> {
    this.#left ??= Promise.all([this.lent.leave(graceMs), this.borrowed.close()]).then(() => undefined)
    return this.#left
  }

  async close(): Promise<void> {
    this.#timer?.cancel()
    await this.leave(0)
    await this.tickets.close()
  }

  #check(): void {
    this.borrowed.check()
    void this.lent.check()
    void this.#marks.retry()
  }
}
