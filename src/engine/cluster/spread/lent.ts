import type { Clock } from '../../../clock.ts'
import type { Cause } from '../../../core/states.ts'
import { StopReason } from '../../../jobs/kind.ts'
import type { AwayEnd } from '../../local/attempts.ts'
import type { Exchange } from '../../local/exchange.ts'
import { within } from '../../local/within.ts'
import type { Bus } from '../bus.ts'
import type { SpreadCounts } from './counts.ts'
import type { Mark, Marks } from './marks.ts'
import { lengthOf, NEXT, type Question, type SentAttempt, type StopOrder } from './protocol.ts'
import type { TakenTicket, Tickets } from './tickets.ts'

/** How long an owner may take for an answer, and for each so many characters of an end; the same question is asked again then. */
const ANSWER_MS = 2_000
const CHARS_A_MS = 1_000

const AGAIN_MS = 250

/** How long the attempts of others may take to stop when this replica leaves. */
const LEAVE_MS = 5_000

/** An attempt of another replica's job. */
interface Running {
  no: number
  job: SentAttempt
  controller: AbortController
  /** Resolves when it has stopped. */
  stopped: Promise<unknown>
}

/** A slot of ours that another replica has. */
interface Guest extends TakenTicket {
  /** Answers got. */
  got: number
  running: Running | null
  /** The tenant that is noted to run here. */
  mark: Mark | null
  /** Whether the last attempt had been told to stop when it ended. */
  heard: boolean
  /** A stop that has overtaken the job that it is for. */
  early: { no: number; cause: Cause } | null
  /** Aborts when nothing can be told to the owner any more. */
  gone: AbortController
}

/** What {@link Lent} needs. */
export interface LentOptions {
  exchange: Pick<Exchange, 'free' | 'isShort' | 'host' | 'attempt'>
  tickets: Pick<Tickets, 'take'>
  marks: Pick<Marks, 'put' | 'remove'>
  bus: Pick<Bus, 'call'>
  members: { readonly id: string | null; isAlive(id: string): Promise<boolean> }
  /** The owner of a tenant by what Redis says, alive or not. */
  ownerOf: (tenantId: string) => Promise<string | null>
  /** A ticket of our own came back to us. */
  onOwn: (seat: string) => void
  clock: Clock
  counts: SpreadCounts
  onError: (error: unknown) => void
}

/** Slots of ours, lent to other replicas while nobody here needs them: tickets taken, their attempts run, told to stop, and handed back. */
export class Lent {
  readonly #options: LentOptions
  readonly #guests = new Map<string, Guest>()
  /** There may be tickets that nobody has taken. */
  #hinted = true
  #taking = false
  #closed = false

  constructor(options: LentOptions) {
    this.#options = options
  }

  /** Slots that are lent. */
  get size(): number {
    return this.#guests.size
  }

  /** There are tickets, as far as anybody knows. */
  hint(): void {
    this.#hinted = true
    this.take()
  }

  /** Lend what is free. Cheap, and called often. */
  take(): void {
    if (this.#taking || !this.#canTake()) return
    this.#taking = true
    void this.#takeAll().finally(() => {
      this.#taking = false
      // One may have come just after the last look.
      this.take()
    })
  }

  /** An owner tells one of its attempts to stop. */
  stop({ seat, no, cause }: StopOrder): void {
    const guest = this.#guests.get(seat)
    if (guest === undefined) return
    if (guest.running?.no === no) guest.running.controller.abort(new StopReason(cause))
    else if (no > guest.got) guest.early = { no, cause }
  }

  /** Of seats, those that are here. */
  known({ seats }: { seats: string[] }): string[] {
    return seats.filter((seat) => this.#guests.has(seat))
  }

  /** A tenant's work goes on under another owner: nothing may run for the one before. */
  adopted(tenantId: string, owner: string): void {
    for (const guest of this.#guests.values())
      if (guest.running?.job.tenantId === tenantId && guest.owner !== owner) this.#orphan(guest)
  }

  /** A tenant is no more, and what it must not do is about to be forgotten. Stops what runs for it. */
  forget(tenantId: string): void {
    for (const { running } of this.#guests.values())
      if (running?.job.tenantId === tenantId) running.controller.abort(new StopReason('shutdown'))
  }

  /** Ask whether owners still own what runs here for them, and stop what does not. */
  async check(): Promise<void> {
    this.hint()
    const { ownerOf, members } = this.#options
    const guests = [...this.#guests.values()].filter(({ running }) => running !== null)
    const tenants = new Set(guests.map(({ running }) => running?.job.tenantId ?? ''))
    const alive = new Map<string, boolean>()
    try {
      for (const { owner } of guests) if (!alive.has(owner)) alive.set(owner, await members.isAlive(owner))
      const owners = new Map(await Promise.all([...tenants].map(async (id) => [id, await ownerOf(id)] as const)))
      for (const guest of guests) {
        const { owner, running } = guest
        if (running === null || (alive.get(owner) && owners.get(running.job.tenantId) === owner)) continue
        this.#orphan(guest, { ownerIsGone: alive.get(owner) === false })
      }
    } catch (error) {
      // While Redis does not answer our own lease runs out, and then all of it stops.
      this.#options.onError(error)
    }
  }

  /** Our lease is lost: the owners go on without us. */
  lost(): void {
    for (const guest of this.#guests.values()) {
      guest.running?.controller.abort(new StopReason('shutdown'))
      guest.gone.abort()
    }
  }

  /** Lend nothing more, and hand back what runs here: at once what is to be run again, the rest when it ends or after `graceMs`. */
  async leave(graceMs: number): Promise<void> {
    this.#closed = true
    this.#stopAll((job) => job.onRestart === 'retry')
    await within(this.#options.clock, graceMs, this.#idle())
    this.#stopAll(() => true)
    await within(this.#options.clock, LEAVE_MS, this.#idle())
    for (const guest of this.#guests.values()) guest.gone.abort()
  }

  #stopAll(which: (job: SentAttempt) => boolean): void {
    for (const { running } of this.#guests.values())
      if (running !== null && which(running.job)) running.controller.abort(new StopReason('shutdown'))
  }

  async #idle(): Promise<void> {
    while (this.#guests.size > 0) await new Promise<void>((resolve) => void this.#options.clock.after(10, resolve))
  }

  #canTake(): boolean {
    const { exchange, members } = this.#options
    return this.#hinted && !this.#closed && exchange.free > 0 && !exchange.isShort && members.id !== null
  }

  async #takeAll(): Promise<void> {
    try {
      while (this.#canTake()) {
        this.#hinted = false
        const ticket = await this.#options.tickets.take()
        if (ticket === null) continue
        this.#hinted = true
        if (!this.#admit(ticket)) return await ticket.giveBack()
      }
    } catch (error) {
      this.#options.onError(error)
    }
  }

  /** False: there is no slot for it by now. */
  #admit(ticket: TakenTicket): boolean {
    const { exchange, members, onOwn } = this.#options
    const { id } = members
    if (id === null || this.#closed) return false
    if (ticket.owner === id) {
      onOwn(ticket.seat)
      void ticket.done()
      return true
    }
    const guest: Guest = {
      ...ticket,
      got: 0,
      running: null,
      mark: null,
      heard: false,
      early: null,
      gone: new AbortController(),
    }
    const hosted = exchange.host(() => this.#serve(guest, id))
    if (hosted === null) return false
    hosted.catch(this.#options.onError)
    return true
  }

  async #serve(guest: Guest, taker: string): Promise<void> {
    this.#guests.set(guest.seat, guest)
    try {
      let end: AwayEnd | null = null
      let recorded: (() => void)[] = []
      for (;;) {
        const job = await this.#ask(guest, taker, end)
        for (const done of recorded) done()
        recorded = []
        if (job === null) return
        end = (await this.#note(guest, job, taker))
          ? await this.#run(guest, job, (done) => recorded.push(done))
          : { type: 'interrupted', begun: false }
      }
    } finally {
      this.#guests.delete(guest.seat)
      if (guest.mark !== null) void this.#options.marks.remove(guest.mark)
      void guest.done()
    }
  }

  /** Have it known where the tenant's attempt is about to run; false: it must not. */
  async #note(guest: Guest, { tenantId }: SentAttempt, taker: string): Promise<boolean> {
    if (guest.mark?.tenantId === tenantId) return true
    const { marks, onError } = this.#options
    const { seat, owner } = guest
    if (guest.mark !== null) await marks.remove(guest.mark)
    // An answer that is lost may have been a yes.
    guest.mark = { tenantId, seat, owner }
    return await marks.put(guest.mark, taker).catch((error: unknown) => {
      onError(error)
      return false
    })
  }

  async #run(guest: Guest, job: SentAttempt, onRecorded: (done: () => void) => void): Promise<AwayEnd> {
    const { exchange, clock, counts } = this.#options
    const no = ++guest.got
    const controller = new AbortController()
    const { elapsedMs, ...rest } = job
    if (guest.early?.no === no) controller.abort(new StopReason(guest.early.cause))
    if (this.#closed || guest.gone.signal.aborted) return { type: 'interrupted', begun: false }
    counts.taken++
    const attempt = { ...rest, startedAt: clock.now() - elapsedMs }
    const stopped = exchange.attempt(attempt, { signal: controller.signal, onRecorded })
    guest.running = { no, job, controller, stopped }
    const end = await stopped
    guest.running = null
    guest.heard = controller.signal.aborted
    return end
  }

  /** Bring the owner an end, and get the next job; null when there is none, or no owner. */
  async #ask(guest: Guest, taker: string, end: AwayEnd | null): Promise<SentAttempt | null> {
    const { bus, clock, exchange } = this.#options
    const { seat, owner, gone, got, heard } = guest
    while (!gone.signal.aborted) {
      const question: Question = { seat, taker, got, end, heard, isLast: this.#closed || exchange.isShort }
      const timeoutMs = ANSWER_MS + lengthOf(end) / CHARS_A_MS
      try {
        return await bus.call<SentAttempt | null>(owner, NEXT, question, { timeoutMs, signal: gone.signal })
      } catch {
        // Asked again until it is answered: an end must not be lost, and is counted once.
        if (gone.signal.aborted || (await this.#isGone(owner))) return null
        await new Promise<void>((resolve) => void clock.after(AGAIN_MS, resolve))
      }
    }
    return null
  }

  async #isGone(owner: string): Promise<boolean> {
    return !(await this.#options.members.isAlive(owner).catch(() => true))
  }

  #orphan(guest: Guest, { ownerIsGone = false } = {}): void {
    const { running } = guest
    if (ownerIsGone) guest.gone.abort()
    if (running === null || running.controller.signal.aborted) return
    this.#options.counts.orphaned++
    running.controller.abort(new StopReason('shutdown'))
  }
}
