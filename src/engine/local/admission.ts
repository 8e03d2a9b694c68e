import type { Clock } from '../../clock.ts'
import {
  BatchesFullError,
  BatchTooLargeError,
  OverloadedError,
  QueueFullError,
  type ServiceError,
  ShuttingDownError,
  StorageFullError,
  TenantMovedError,
} from '../../errors.ts'
import type { Hold } from '../engine.ts'
import { SWEEP_MS } from './retention.ts'
import type { Tenant, Tenants } from './tenants.ts'

/** Bytes of request bodies that may wait for room, of all tenants and of one; a tenant may always have one body waiting. */
const HELD_BYTES = { all: 67_108_864, tenant: 16_777_216 }

/** Characters that the headers of a tenant's batches may have in memory: names, labels and contexts, as JSON. */
export const LIVE_HEADER_CHARS = 16_777_216

/** When a tenant that keeps too much may ask again: what can be deleted by then, has been. */
const SWEPT_S = SWEEP_MS.longest / 1_000

/** Gives places back that were not taken. Calling it again does nothing. */
export type Release = () => void

/** What is to enter: jobs, and, but for an append, their batch with a header of so many characters. */
interface Want {
  count: number
  headerChars: number | null
}

/** A submission that waits for room in its tenant's queue, or among its batches. */
interface Waiting {
  want: Want
  bytes: number
  admit(release: Release): void
  refuse(error: Error): void
}

/**
 * Who may enter a tenant's queue: a submission gets places for all of its jobs or for none, at once, or, when its caller
 * holds the line, as soon as there is room. Those who wait go in the order in which they came.
 */
export class Admission {
  readonly #tenants: Tenants
  readonly #clock: Clock
  readonly #canWrite: () => boolean
  readonly #lines = new Map<Tenant, Waiting[]>()
  #heldBytes = 0
  #closed = false

  /** @param options.canWrite - False while the store refuses to write: then nothing is let in. */
  constructor(options: { tenants: Tenants; clock: Clock; canWrite: () => boolean }) {
    this.#tenants = options.tenants
    this.#clock = options.clock
    this.#canWrite = options.canWrite
  }

  /** Submissions that wait for room, and the bytes of their bodies. */
  get held(): { submissions: number; bytes: number } {
    let submissions = 0
    for (const line of this.#lines.values()) submissions += line.length
    return { submissions, bytes: this.#heldBytes }
  }

  /**
   * Hold `count` places for jobs of a batch that is there, while they are written; the returned function gives back those that were not taken.
   * @param present - Jobs that the batch has already.
   * @throws {BatchTooLargeError} {QueueFullError} {StorageFullError} {OverloadedError}
   */
  reserve(tenant: Tenant, count: number, present: number): Release {
    return this.#reserve(tenant, { count, headerChars: null }, present)
  }

  #reserve(tenant: Tenant, want: Want, present: number): Release {
    const objection = this.#objection(tenant, want.count, present)
    if (objection !== null) throw objection
    const full = this.#full(tenant, want)
    if (full !== null) throw full
    this.assertWritable()
    return this.#take(tenant, want)
  }

  /**
   * Takes no places, and says after how many seconds it makes sense to ask for them; null: a new batch would get them now.
   * @param headerChars - Of the batch, as JSON.
   * @throws {BatchTooLargeError} {OverloadedError}
   */
  wouldWait(tenant: Tenant, count: number, headerChars: number): number | null {
    const objection = this.#objection(tenant, count, 0)
    if (objection instanceof StorageFullError) return objection.retryAfterS
    if (objection !== null) throw objection
    const full = this.#full(tenant, { count, headerChars })
    if (full !== null) return full.retryAfterS
    this.assertWritable()
    return null
  }

  /** Why jobs cannot enter, and no wait for the queue would help; null: nothing is against it. */
  #objection(tenant: Tenant, count: number, present: number): ServiceError | null {
    const { maxBatchJobs, maxQueuedJobs } = this.#tenants.limits(tenant)
    if (tenant.closed) return closedError(tenant)
    if (present + count > maxBatchJobs) return new BatchTooLargeError(maxBatchJobs, 'the limit of jobs in a batch')
    if (count > maxQueuedJobs) return new BatchTooLargeError(maxQueuedJobs, "the tenant's limit of queued jobs")
    const bound = this.#tenants.overBound(tenant)
    return bound === null ? null : new StorageFullError({ ...bound, retryAfterS: SWEPT_S })
  }

  /** @throws {OverloadedError} while the store refuses to write. */
  assertWritable(): void {
    if (!this.#canWrite()) throw unwritable()
  }

  /**
   * As `reserve` for a new batch, but room in the queue, and among the batches, is waited for, if the caller wants to, behind those who
   * wait already.
   * @param options.headerChars - Of the batch, as JSON.
   * @throws {BatchesFullError} and as `reserve`.
   */
  async enter(
    tenant: Tenant,
    { count, headerChars, hold }: { count: number; headerChars: number; hold: Hold | undefined },
  ): Promise<Release> {
    const want = { count, headerChars }
    const objection = this.#objection(tenant, count, 0)
    if (objection !== null) throw objection
    const isFree = this.#full(tenant, want) === null && (hold === undefined || !this.#lines.has(tenant))
    if (isFree || hold === undefined || !this.#mayWait(tenant, hold)) return this.#reserve(tenant, want, 0)
    return await this.#wait(tenant, want, hold)
  }

  /** Jobs have left the tenant's queue, or, with 0, may have come: the rate is taken, and whoever waits for room has it. */
  left(tenant: Tenant, count: number, now: number): void {
    tenant.drain.left(count, now, tenant.queued === 0)
    this.serve(tenant)
  }

  /** There may be room: let those in who wait for it, first come, first served. */
  serve(tenant: Tenant): void {
    const line = this.#lines.get(tenant)
    while (line !== undefined && line.length > 0) {
      const { want, admit, refuse } = line[0]
      // A limit was lowered while it waited, or the disk has filled up.
      const objection = this.#objection(tenant, want.count, 0)
      if (objection !== null) refuse(objection)
      else if (this.#full(tenant, want) !== null) return
      else if (this.#canWrite()) admit(this.#take(tenant, want))
      else refuse(unwritable())
    }
  }

  /** The tenant was deleted, or moved: its submissions that wait are refused. */
  dismiss(tenant: Tenant): void {
    for (const { refuse } of [...(this.#lines.get(tenant) ?? [])]) refuse(closedError(tenant))
  }

  /** Nobody enters any more: who waits is told so. */
  close(): void {
    this.#closed = true
    for (const line of this.#lines.values()) for (const { refuse } of [...line]) refuse(new ShuttingDownError())
  }

  #take(tenant: Tenant, { count, headerChars }: Want): Release {
    let isHeld = true
    promise(tenant, 1, count, headerChars)
    return () => {
      if (isHeld) promise(tenant, -1, count, headerChars)
      isHeld = false
      // None has left, but the queue has jobs from now on, if those were taken.
      this.left(tenant, 0, this.#clock.now())
    }
  }

  /** Why there is no room now; null: there is. */
  #full(tenant: Tenant, { count, headerChars }: Want): QueueFullError | BatchesFullError | null {
    const { maxQueuedJobs, maxLiveBatches } = this.#tenants.limits(tenant)
    const over = tenant.queued + tenant.reserved + count - maxQueuedJobs
    if (over > 0) return new QueueFullError(maxQueuedJobs, tenant.drain.secondsFor(over, this.#clock.now()))
    return headerChars === null ? null : batchesFull(tenant, maxLiveBatches, headerChars)
  }

  /** What waits is in memory, so there is a limit to it. */
  #mayWait(tenant: Tenant, { timeoutMs, bytes, signal }: Hold): boolean {
    if (timeoutMs <= 0 || signal?.aborted || this.#closed) return false
    const line = this.#lines.get(tenant) ?? []
    const own = line.reduce((sum, waiting) => sum + waiting.bytes, 0)
    return line.length === 0 || (own + bytes <= HELD_BYTES.tenant && this.#heldBytes + bytes <= HELD_BYTES.all)
  }

  #wait(tenant: Tenant, want: Want, { timeoutMs, bytes, signal }: Hold): Promise<Release> {
    const { promise, resolve, reject } = Promise.withResolvers<Release>()
    const leave = () => {
      timer.cancel()
      signal?.removeEventListener('abort', giveUp)
      this.#remove(tenant, waiting)
    }
    const waiting: Waiting = {
      want,
      bytes,
      admit(release) {
        leave()
        resolve(release)
      },
      refuse(error) {
        leave()
        reject(error)
      },
    }
    const giveUp = () => {
      // Whatever has become free is for the one ahead of it.
      waiting.refuse(this.#full(tenant, want) ?? new QueueFullError(this.#tenants.limits(tenant).maxQueuedJobs))
      // It may have been in the way of those behind it.
      this.serve(tenant)
    }
    const timer = this.#clock.after(timeoutMs, giveUp)
    signal?.addEventListener('abort', giveUp, { once: true })
    this.#add(tenant, waiting)
    return promise
  }

  #add(tenant: Tenant, waiting: Waiting): void {
    const line = this.#lines.get(tenant)
    if (line === undefined) this.#lines.set(tenant, [waiting])
    else line.push(waiting)
    this.#heldBytes += waiting.bytes
  }

  #remove(tenant: Tenant, waiting: Waiting): void {
    const line = this.#lines.get(tenant) ?? []
    const place = line.indexOf(waiting)
    line.splice(place, 1)
    this.#heldBytes -= waiting.bytes
    if (line.length === 0) this.#lines.delete(tenant)
  }
}

/** Why nothing more of the tenant enters; once it is deleted, its keys say so. */
export function closedError({ moved }: Tenant): ServiceError {
  if (moved !== false) return new TenantMovedError()
  return new OverloadedError('The tenant is being deleted; nothing was accepted.', 5)
}

/** Count what is promised, or, with -1, what is no longer. */
function promise(tenant: Tenant, sign: 1 | -1, count: number, headerChars: number | null): void {
  tenant.reserved += sign * count
  if (headerChars === null) return
  tenant.promised.batches += sign
  tenant.promised.headerChars += sign * headerChars
}

function batchesFull({ live, promised }: Tenant, limit: number, headerChars: number): BatchesFullError | null {
  const batches = live.batches + promised.batches
  const chars = live.headerChars + promised.headerChars
  if (batches >= limit)
    return new BatchesFullError(`The tenant has ${batches} batches that have not drained, and may have ${limit}.`)
  if (chars + headerChars <= LIVE_HEADER_CHARS) return null
  const what = 'The names, labels and contexts of its batches that have not drained'
  return new BatchesFullError(
    `${what} would have more than the ${LIVE_HEADER_CHARS} characters of JSON that a tenant may have.`,
  )
}

function unwritable(): OverloadedError {
  return new OverloadedError('The store cannot write now; nothing was accepted.', 5)
}
