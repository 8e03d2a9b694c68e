import PQueue, { type Queue, type QueueAddOptions, type RunFunction } from 'p-queue'
import type { FairQueue, Grant } from './fair-queue.ts'

/**
 * The `queueClass` of the server's p-queue. p-queue keeps the slots; who gets one is the fair queue's. What p-queue
 * enqueues here are *tickets*, closures that will run whichever job is next when they are drawn: the backlog itself is
 * never in p-queue, which would hold 1.7 kB a job and remove one in O(n).
 */
class TicketQueue implements Queue<RunFunction, QueueAddOptions> {
  readonly #fair: FairQueue
  readonly #tickets: RunFunction[] = []
  #drawn: Grant | null = null
  /** Work that has nothing to do with the fair queue, while p-queue takes it in. */
  #guest: RunFunction | null = null
  #isGuest = false

  constructor(fair: FairQueue) {
    this.#fair = fair
  }

  /** Tickets that could run a job now: none while no job is eligible, however many tickets wait. */
  get size(): number {
    if (this.#guest !== null) return 1
    return this.#fair.next() === null ? 0 : this.#tickets.length
  }

  /** Tickets held, whether or not a job is eligible. */
  get spare(): number {
    return this.#tickets.length
  }

  enqueue(run: RunFunction): void {
    if (this.#isGuest) this.#guest = run
    else this.#tickets.push(run)
  }

  /** What is enqueued in `add` is no ticket. There must be a slot for it, so that p-queue dequeues it at once. */
  asGuest<T>(add: () => T): T {
    this.#isGuest = true
    try {
      return add()
    } finally {
      this.#isGuest = false
    }
  }

  dequeue(): RunFunction | undefined {
    const guest = this.#guest
    if (guest !== null) {
      this.#guest = null
      return guest
    }
    this.#drawn = this.#fair.take()
    return this.#tickets.pop()
  }

  /** The job drawn for the ticket that runs now; p-queue calls a ticket in the same synchronous step as `dequeue`. */
  claim(): Grant {
    const drawn = this.#drawn
    this.#drawn = null
    if (drawn === null) throw new Error('A ticket ran without a job drawn for it.')
    return drawn
  }

  filter(): RunFunction[] {
    return this.#tickets
  }

  setPriority(): void {
    // Tickets are alike: priorities are the fair queue's.
  }

  remove(): void {
    // A ticket is never taken back: with no eligible job it is simply not drawn.
  }
}

/**
 * The server's slots: at most `concurrency` jobs at once, the next one chosen by the fair queue. A slot is held until
 * the promise of `run` settles, so `run` must not settle before the work has really stopped. A slot that is free again
 * takes the next eligible job at once; only without one does p-queue get it back (a task of p-queue costs 4 to 8 µs).
 */
export class Slots {
  readonly #queue: PQueue<TicketQueue>
  readonly #tickets: TicketQueue
  readonly #fair: FairQueue
  readonly #run: (grant: Grant) => Promise<void>
  #onChange: () => void = () => undefined
  #kicking = false
  #starting = false
  #stopped = false

  constructor(options: { concurrency: number; fair: FairQueue; run: (grant: Grant) => Promise<void> }) {
    this.#fair = options.fair
    this.#run = options.run
    const tickets = new TicketQueue(options.fair)
    this.#tickets = tickets
    // p-queue constructs its queue itself, without arguments; a constructor that returns an object gives it ours.
    const queueClass = class {
      constructor() {
        // biome-ignore lint/correctness/noConstructorReturn: the only way to hand p-queue an instance of ours.
        return tickets
      }
      // Never constructed as itself: the constructor's return value takes its place.
    } as unknown as new () => TicketQueue
    this.#queue = new PQueue({ concurrency: options.concurrency, queueClass })
  }

  /** Slots taken. */
  get running(): number {
    return this.#queue.pending
  }

  /** Tickets that wait in p-queue: one at most, for the next slot that comes back. */
  get tickets(): number {
    return this.#tickets.spare
  }

  get concurrency(): number {
    return this.#queue.concurrency
  }

  /** Slots that nobody has. */
  get free(): number {
    return this.#stopped ? 0 : this.#queue.concurrency - this.#queue.pending
  }

  /** True while a job that could start waits for nothing but a slot. */
  get isShort(): boolean {
    return !this.#stopped && this.#queue.pending >= this.#queue.concurrency && this.#fair.next() !== null
  }

  /** Told, often, when slots or jobs may have come or gone. */
  set onChange(listener: () => void) {
    this.#onChange = listener
  }

  /** The next job, for a slot that is not one of these; null: none waits for a slot. */
  takeElsewhere(): Grant | null {
    return this.isShort ? this.#fair.take() : null
  }

  /** Give a slot to work that is nobody's turn here, until it settles; null: none is free, or a job of ours waits. */
  host(work: () => Promise<void>): Promise<void> | null {
    if (this.free <= 0 || this.#fair.next() !== null) return null
    return this.#tickets.asGuest(() => this.#queue.add(work)).finally(() => this.#kickSoon())
  }

  /** A job may have become eligible: start what fits, and leave one ticket for p-queue to draw when a slot comes back. */
  kick(): void {
    // A job that starts kicks as well; to start the next one inside it would nest as deep as there are free slots.
    if (this.#starting) return
    while (!this.#stopped && this.#wantsTicket()) void this.#queue.add(() => this.#serve())
    this.#onChange()
  }

  /** Start nothing more; what runs goes on. */
  stop(): void {
    this.#stopped = true
    this.#queue.pause()
  }

  #wantsTicket(): boolean {
    if (this.#fair.next() === null) return false
    return this.#queue.pending < this.#queue.concurrency || this.#tickets.spare === 0
  }

  /** One slot, from job to job: it goes back to p-queue when no job is eligible, not between two that are. */
  async #serve(): Promise<void> {
    let grant: Grant | null = this.#tickets.claim()
    while (grant !== null) {
      this.#kickSoon()
      await this.#start(grant)
      grant = this.#stopped ? null : this.#fair.take()
    }
    this.#kickSoon()
  }

  #start(grant: Grant): Promise<void> {
    this.#starting = true
    try {
      return this.#run(grant)
    } finally {
      this.#starting = false
    }
  }

  /** Not at once: inside p-queue's own loop every start would nest the next. */
  #kickSoon(): void {
    if (this.#kicking) return
    this.#kicking = true
    queueMicrotask(() => {
      this.#kicking = false
      this.kick()
    })
  }
}
