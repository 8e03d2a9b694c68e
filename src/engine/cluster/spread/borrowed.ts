import { v4 } from 'uuid'
import type { Clock } from '../../../clock.ts'
import { StopReason } from '../../../jobs/kind.ts'
import type { AwayAttempt, AwayEnd } from '../../local/attempts.ts'
import type { Exchange } from '../../local/exchange.ts'
import type { Bus } from '../bus.ts'
import type { SpreadCounts } from './counts.ts'
import { KNOWN, lengthOf, type Question, type SentAttempt, STOP, type StopOrder, TICKETS_CHANNEL } from './protocol.ts'
import type { Tickets } from './tickets.ts'

/** Tickets of one replica that wait at the same time, at most. */
const MAX_TICKETS = 16

/** After this long a seat is given back even when there are more jobs for it: other replicas want slots, too. */
const SEAT_MS = 1_000

/** A result longer than this is acknowledged when it is on disk: until then it is in memory here, and should not be joined by the next. */
const LONG_CHARS = 65_536

const AGAIN_MS = 250

/** A slot of another replica, lent to us. */
interface Seat {
  id: string
  taker: string
  since: number
  /** Answers given. */
  given: number
  last: Promise<SentAttempt | null>
  /** What runs in it. */
  running: { end(end: AwayEnd): void; signal: AbortSignal } | null
  /** Resolves when the turn of its end is over. */
  ended: Promise<void> | null
}

/** What {@link Borrowed} needs. */
export interface BorrowedOptions {
  exchange: Pick<Exchange, 'isShort' | 'sendAway' | 'committed'>
  tickets: Pick<Tickets, 'add' | 'remove'>
  bus: Pick<Bus, 'call' | 'notify'>
  members: { readonly id: string | null; isAlive(id: string): Promise<boolean>; replicas(): Promise<{ id: string }[]> }
  clock: Clock
  leaseMs: number
  counts: SpreadCounts
  onSent: (facts: { batchId: string; index: number; replicaId: string }) => void
  onError: (error: unknown) => void
}

/** Slots of other replicas, for jobs that wait for nothing but a slot: asked for by tickets, and given back when no job waits. */
export class Borrowed {
  readonly #options: BorrowedOptions
  readonly #seats = new Map<string, Seat>()
  /** When tickets were added that nobody has taken. */
  readonly #tickets = new Map<string, number>()
  /** How many of them there should be: more while they find work. */
  #target = 1
  #asking = false
  #aloneUntil = 0
  #closed = false

  constructor(options: BorrowedOptions) {
    this.#options = options
  }

  /** Seats that other replicas have lent. */
  get size(): number {
    return this.#seats.size
  }

  /** Ask for slots if jobs wait for them. Cheap, and called often. */
  want(): void {
    const { exchange, members, clock } = this.#options
    if (this.#closed || this.#asking || this.#tickets.size >= this.#target) return
    if (!exchange.isShort || clock.now() < this.#aloneUntil) return
    const owner = members.id
    if (owner === null) return
    this.#asking = true
    void this.#ask(owner).finally(() => {
      this.#asking = false
    })
  }

  /** Answer a taker: the next job for its slot, or null. Rejects never. */
  async next(question: Question): Promise<SentAttempt | null> {
    const seat = this.#seats.get(question.seat) ?? this.#open(question)
    if (seat === null || seat.taker !== question.taker) return null
    if (question.got === seat.given - 1) return await seat.last
    if (question.got !== seat.given) return null
    seat.given++
    seat.last = this.#turn(seat, question)
    return await seat.last
  }

  /** A ticket of ours came back to us: a slot here is not what it was for. */
  forget(seat: string): void {
    this.#tickets.delete(seat)
  }

  /** Find out what has gone with its replica, tell again what should have stopped, and ask again for what was lost. */
  check(): void {
    const byTaker = Map.groupBy(this.#seats.values(), ({ taker }) => taker)
    for (const [taker, seats] of byTaker) void this.#look(taker, seats)
    void this.#renew()
    this.want()
  }

  /** We are no owner any more: whatever runs elsewhere is not ours to wait for. */
  lost(): void {
    this.#tickets.clear()
    for (const seat of [...this.#seats.values()]) this.#cutOff(seat)
  }

  /** Ask for nothing more. */
  async close(): Promise<void> {
    this.#closed = true
    const left = [...this.#tickets.keys()]
    this.#tickets.clear()
    await this.#options.tickets.remove(left)
  }

  async #ask(owner: string): Promise<void> {
    const { members, tickets, bus, clock, onError } = this.#options
    const added: string[] = []
    try {
      if ((await members.replicas()).every(({ id }) => id === owner)) {
        this.#aloneUntil = clock.now() + 1_000
        return
      }
      while (this.#tickets.size < this.#target) {
        added.push(v4())
        this.#tickets.set(added[added.length - 1], clock.now())
      }
      await tickets.add(added.map((seat) => ({ seat, owner })))
      await bus.notify(TICKETS_CHANNEL, owner)
    } catch (error) {
      for (const seat of added) this.#tickets.delete(seat)
      onError(error)
    }
  }

  #open({ seat: id, taker, got }: Question): Seat | null {
    if (!this.#tickets.delete(id) || got !== 0) return null
    const { clock } = this.#options
    const seat: Seat = {
      id,
      taker,
      since: clock.now(),
      given: 0,
      last: Promise.resolve(null),
      running: null,
      ended: null,
    }
    this.#seats.set(id, seat)
    return seat
  }

  /** The end of the last attempt, then the next one: its place in caps and limits is free by then, and not before. */
  async #turn(seat: Seat, { end, heard, isLast }: Question): Promise<SentAttempt | null> {
    const first = end === null
    if (end !== null) await this.#finish(seat, end, heard)
    const age = this.#options.clock.now() - seat.since
    const job = isLast || age >= SEAT_MS ? null : await this.#draw(seat)
    if (first) this.#target = job === null ? 1 : Math.min(MAX_TICKETS, this.#target * 2)
    if (job === null) this.#seats.delete(seat.id)
    this.want()
    return job
  }

  async #finish(seat: Seat, end: AwayEnd, heard: boolean): Promise<void> {
    seat.running?.end(meant(end, { heard, told: seat.running.signal.aborted }))
    await seat.ended
    if (lengthOf(end) > LONG_CHARS) await this.#options.exchange.committed()
  }

  async #draw(seat: Seat): Promise<SentAttempt | null> {
    for (;;) {
      if (this.#closed || this.#seats.get(seat.id) !== seat) return null
      const sent = Promise.withResolvers<SentAttempt>()
      const ended = this.#options.exchange.sendAway({
        run: (attempt, signal) => this.#run(seat, attempt, signal, sent.resolve),
      })
      if (ended === null) return null
      seat.ended = ended
      // One that ended before it could be sent leaves the seat to the next.
      const job = await Promise.race([sent.promise, ended.then(() => null)])
      if (job !== null) return job
    }
  }

  async #run(
    seat: Seat,
    { startedAt, ...attempt }: AwayAttempt,
    signal: AbortSignal,
    send: (attempt: SentAttempt) => void,
  ): Promise<AwayEnd> {
    const { clock, counts, onSent } = this.#options
    if (signal.aborted) return { type: 'unwound' }
    if (this.#seats.get(seat.id) !== seat) return { type: 'interrupted', begun: false }
    const { promise, resolve } = Promise.withResolvers<AwayEnd>()
    seat.running = { end: resolve, signal }
    const no = seat.given
    const stop = () => void this.#stop(seat, no, signal)
    signal.addEventListener('abort', stop, { once: true })
    counts.sent++
    onSent({ batchId: attempt.batchId, index: attempt.index, replicaId: seat.taker })
    send({ ...attempt, elapsedMs: clock.now() - startedAt })
    const end = await promise
    signal.removeEventListener('abort', stop)
    seat.running = null
    if (end.type === 'interrupted') counts.interrupted++
    return end
  }

  /** Until it is heard, or has ended otherwise. */
  async #stop(seat: Seat, no: number, signal: AbortSignal): Promise<void> {
    const { bus, clock, leaseMs } = this.#options
    const cause = signal.reason instanceof StopReason ? signal.reason.why : 'shutdown'
    while (seat.running?.signal === signal) {
      try {
        // What a signal of an attempt carries is a cause.
        const order: StopOrder = { seat: seat.id, no, cause: cause as StopOrder['cause'] }
        return await bus.call(seat.taker, STOP, order, { timeoutMs: leaseMs })
      } catch {
        await new Promise<void>((resolve) => clock.after(AGAIN_MS, resolve))
      }
    }
  }

  async #look(taker: string, seats: readonly Seat[]): Promise<void> {
    const { bus, leaseMs } = this.#options
    const gone = await bus
      .call<string[]>(taker, KNOWN, { seats: seats.map(({ id }) => id) }, { timeoutMs: leaseMs })
      .then((known) => seats.filter(({ id }) => !known.includes(id)))
      .catch(async () => ((await this.#isAlive(taker)) ? [] : seats))
    for (const seat of gone) this.#cutOff(seat)
  }

  /** While Redis does not answer nothing is known. */
  async #isAlive(taker: string): Promise<boolean> {
    return await this.#options.members.isAlive(taker).catch(() => true)
  }

  #cutOff(seat: Seat): void {
    if (this.#seats.get(seat.id) !== seat) return
    this.#seats.delete(seat.id)
    seat.running?.end({ type: 'interrupted', begun: true })
  }

  /** Tickets that wait for long may be lost with a Redis that kept nothing; those that are not wait again. */
  async #renew(): Promise<void> {
    const { clock, leaseMs, tickets } = this.#options
    const old = [...this.#tickets].filter(([, since]) => clock.now() - since > 3 * leaseMs).map(([seat]) => seat)
    for (const seat of old) this.#tickets.delete(seat)
    if (old.length > 0) await tickets.remove(old)
  }
}

/** What an end means that was on its way while more may have happened here. */
function meant(end: AwayEnd, { heard, told }: { heard: boolean; told: boolean }): AwayEnd {
  // It stopped without having been told to by us: its replica leaves, or thought that we were gone.
  if (end.type === 'unwound' && !told) return { type: 'interrupted', begun: true }
  // Accepted before the value was on record, a cancel wins; a value all the same is that of work which knew.
  return end.type === 'returned' && told && !heard ? { type: 'unwound' } : end
}
