import { createHash } from 'node:crypto'
import { Queue, Worker } from 'bullmq'
import type { Redis } from 'ioredis'
import { v4 } from 'uuid'
import type { Clock, TimerHandle } from '../../../clock.ts'
import type { Ticket } from './protocol.ts'

/** A ticket that was taken: nobody else has it until it is done, given back, or its lock has run out. */
export interface TakenTicket extends Ticket {
  done(): Promise<void>
  /** Let another replica have it. */
  giveBack(): Promise<void>
}

/** What {@link Tickets} needs. */
export interface TicketsOptions {
  redis: Redis
  clock: Clock
  /** How long a taken ticket is locked without a sign of life of its taker. */
  leaseMs: number
  /** Names of the kinds that are loaded: replicas that have others have a queue of their own, for they could not do each other's jobs. */
  kinds: readonly string[]
  onError: (error: unknown) => void
}

/**
 * The tickets of all replicas: one BullMQ queue, in which they wait until somebody has a slot. Taken by hand, one for each slot that is free,
 * as BullMQ's "manually processing jobs" has it: a stock worker's concurrency does not follow slots that others take as well.
 * A dead taker's tickets are put back by BullMQ's check for stalled jobs.
 */
export class Tickets {
  readonly #queue: Queue<Ticket>
  readonly #worker: Worker<Ticket>
  readonly #clock: Clock
  readonly #leaseMs: number
  readonly #onError: (error: unknown) => void
  readonly #locks = new Map<string, string>()
  #timer: TimerHandle | null = null
  #closed = false

  constructor({ redis, clock, leaseMs, kinds, onError }: TicketsOptions) {
    const name = queueName(kinds)
    const shared = { connection: redis, prefix: 'gatherd', skipVersionCheck: true }
    this.#clock = clock
    this.#leaseMs = leaseMs
    this.#onError = onError
    this.#queue = new Queue(name, {
      ...shared,
      defaultJobOptions: { removeOnComplete: true, removeOnFail: true },
      streams: { events: { maxLen: 100 } },
    })
    this.#worker = new Worker<Ticket>(name, null, {
      ...shared,
      autorun: false,
      lockDuration: leaseMs,
      stalledInterval: leaseMs,
    })
    // What is asked for rejects by itself, and who has the connections tells of them.
    this.#queue.on('error', () => undefined)
    this.#worker.on('error', () => undefined)
    void this.#worker.startStalledCheckTimer()
    this.#armRenewal()
  }

  /** Put tickets into the queue. @throws what Redis says. */
  async add(tickets: readonly Ticket[]): Promise<void> {
    await this.#queue.addBulk(tickets.map((data) => ({ name: 'seat', data, opts: { jobId: data.seat } })))
  }

  /** Take the ticket that waits longest; null: none does. @throws what Redis says. */
  async take(): Promise<TakenTicket | null> {
    const token = v4()
    const job = await this.#worker.getNextJob(token, { block: false })
    if (job?.id === undefined) return null
    const { id, data } = job
    this.#locks.set(id, token)
    return {
      ...data,
      done: () => this.#finish(id, () => job.moveToCompleted(null as never, token, false)),
      giveBack: () => this.#finish(id, () => job.moveToWait(token)),
    }
  }

  /** Take back tickets that nobody has taken. */
  async remove(seats: readonly string[]): Promise<void> {
    await Promise.all(seats.map((seat) => this.#queue.remove(seat).catch((error) => this.#report(error))))
  }

  /** Tickets that wait, and that are taken, of all replicas. */
  async counts(): Promise<{ waiting: number; taken: number }> {
    const { waiting = 0, active = 0 } = await this.#queue.getJobCounts('waiting', 'active')
    return { waiting, taken: active }
  }

  /** Nothing is taken any more. What is taken should be done by now; if not, it is put back when its lock has run out. */
  async close(): Promise<void> {
    this.#closed = true
    this.#timer?.cancel()
    await Promise.all([this.#worker.close(true), this.#queue.close()]).catch(this.#onError)
  }

  /** A lock that was lost is nobody's trouble: the owner has the last word about a seat. */
  async #finish(id: string, finish: () => Promise<unknown>): Promise<void> {
    this.#locks.delete(id)
    if (!this.#closed) await finish().catch((error) => this.#report(error))
  }

  #armRenewal(): void {
    this.#timer = this.#clock.after(this.#leaseMs / 3, () => {
      void this.#renew()
      this.#armRenewal()
    })
  }

  async #renew(): Promise<void> {
    if (this.#locks.size === 0) return
    const [ids, tokens] = [[...this.#locks.keys()], [...this.#locks.values()]]
    try {
      const lost = await this.#worker.extendJobLocks(ids, tokens, this.#leaseMs)
      for (const id of lost) this.#locks.delete(id)
    } catch (error) {
      this.#report(error)
    }
  }

  /** What is on its way when it closes fails, and nobody needs to know. */
  #report(error: unknown): void {
    if (!this.#closed && !isLostLock(error)) this.#onError(error)
  }
}

/** Keys of one queue are in one slot of a Redis Cluster: the braces. */
function queueName(kinds: readonly string[]): string {
  const digest = createHash('sha256').update(JSON.stringify(kinds)).digest('hex')
  return `{gatherd-attempts-${digest.slice(0, 8)}}`
}

/** BullMQ's -2 (missing lock), -6 (lock mismatch) and -3, -1 (not in that state, not there): another replica has the ticket. */
function isLostLock(error: unknown): boolean {
  return error instanceof Error && 'code' in error && [-1, -2, -3, -6].includes(Number(error.code))
}
