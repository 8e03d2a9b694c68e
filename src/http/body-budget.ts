import { BodyShareError, OverloadedError } from '../errors.ts'

/** A body of at most so many bytes is small: there is room for it beside the others. */
export const SMALL_BODY_BYTES = 65_536

/** The room for small bodies, as a share of that for all. */
const SMALL_SHARE = 1 / 8

/** What is reserved for one request. */
export interface Reservation {
  /** Make it as large as `bytes`, if it is smaller. @throws {OverloadedError} {BodyShareError} and then it is as large as before. */
  growTo(bytes: number): void
  /** Give all of it back. May be called twice. */
  release(): void
}

/**
 * The bytes of all request bodies that are on their way, parsed or held, and each tenant's part of them: at most a half, so that
 * nobody can take all, and never less than one body of the largest size. Whatever is refused has not been read. Small bodies have
 * an eighth more for themselves: a cancel comes through when large bodies have taken all there is.
 */
export class BodyBudget {
  readonly #bodies: Pool
  readonly #small: Pool

  /** @param options.maxBytes - Of all bodies. @param options.largestBytes - The largest single body, which must fit. */
  constructor({ maxBytes, largestBytes }: { maxBytes: number; largestBytes: number }) {
    this.#bodies = new Pool(Math.max(maxBytes, largestBytes), largestBytes)
    this.#small = new Pool(Math.max(maxBytes * SMALL_SHARE, 2 * SMALL_BODY_BYTES), SMALL_BODY_BYTES)
  }

  /** Bytes that all bodies may have, but for the small ones' own. */
  get limit(): number {
    return this.#bodies.max
  }

  /** Bytes that are reserved. */
  get used(): number {
    return this.#bodies.used + this.#small.used
  }

  /** Reserve for a body. @throws {OverloadedError} all is taken. @throws {BodyShareError} the tenant's share is. */
  reserve(tenantId: string, bytes: number): Reservation {
    const reservation = new Reserved(tenantId, this.#bodies, this.#small)
    reservation.growTo(bytes)
    return reservation
  }
}

class Reserved implements Reservation {
  readonly #tenantId: string
  readonly #bodies: Pool
  readonly #small: Pool
  #held = { bodies: 0, small: 0 }
  #isOver = false

  constructor(tenantId: string, bodies: Pool, small: Pool) {
    this.#tenantId = tenantId
    this.#bodies = bodies
    this.#small = small
  }

  growTo(bytes: number): void {
    const more = bytes - this.#held.bodies - this.#held.small
    if (more <= 0 || this.#isOver) return
    const refused = this.#bodies.refusal(this.#tenantId, more)
    if (refused === null) this.#held.bodies += this.#bodies.take(this.#tenantId, more)
    else if (bytes <= SMALL_BODY_BYTES && this.#small.refusal(this.#tenantId, more) === null)
      this.#held.small += this.#small.take(this.#tenantId, more)
    else throw refused
  }

  release(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#bodies.giveBack(this.#tenantId, this.#held.bodies)
    this.#small.giveBack(this.#tenantId, this.#held.small)
  }
}

class Pool {
  readonly max: number
  readonly #share: number
  readonly #tenants = new Map<string, number>()
  used = 0

  constructor(max: number, largest: number) {
    this.max = max
    this.#share = Math.max(Math.floor(max / 2), largest)
  }

  refusal(tenantId: string, bytes: number): BodyShareError | OverloadedError | null {
    if ((this.#tenants.get(tenantId) ?? 0) + bytes > this.#share) return new BodyShareError(this.#share)
    if (this.used + bytes <= this.max) return null
    return new OverloadedError('Too many request bodies are on their way; this one was not read.', 2)
  }

  take(tenantId: string, bytes: number): number {
    this.used += bytes
    this.#tenants.set(tenantId, (this.#tenants.get(tenantId) ?? 0) + bytes)
    return bytes
  }

  giveBack(tenantId: string, bytes: number): void {
    const left = (this.#tenants.get(tenantId) ?? 0) - bytes
    this.used -= bytes
    if (left > 0) this.#tenants.set(tenantId, left)
    else this.#tenants.delete(tenantId)
  }
}
