import { fitsShare } from '../../fair-share.ts'

/** The default of the budget: 256 MiB, twenty-five bodies of the default cap. */
export const DEFAULT_INFLIGHT_BYTES = 268_435_456

/** What a body has of the budget. */
export interface Claim {
  /** False: its reader has to wait until it is called back. */
  readonly granted: boolean
  /** Need no more than so many bytes after all. Larger than before: nothing changes. */
  shrink(bytes: number): void
  /** Give everything back, or wait no more. May be called twice. */
  release(): void
}

interface OpenClaim extends Claim {
  tenantId: string
  bytes: number
  granted: boolean
  onGranted: () => void
}

/**
 * The bytes of response bodies that the running fetches of all tenants may hold in memory.
 *
 * A body claims all that it can become at once, so whoever has a claim granted can finish, and nobody waits for somebody who waits.
 * Of the bytes that are free a tenant gets as long as it has no more than what is left free then: one alone has half of them at most,
 * two have a third each, and so on, so that there is room for the next one. A tenant that has none gets what fits, and goes first.
 */
export class InflightBytes {
  /** Bytes that may be claimed. */
  readonly limit: number
  readonly #held = new Map<string, number>()
  /** In the order they came. */
  readonly #waiting = new Set<OpenClaim>()
  #total = 0

  constructor(limit: number) {
    this.limit = limit
  }

  /** Bytes that are claimed and granted. */
  get total(): number {
    return this.#total
  }

  /** Claims that wait. */
  get waiting(): number {
    return this.#waiting.size
  }

  /**
   * Claim what a body can become; more than the whole budget counts as that.
   * @param onGranted - Called later, once, unless the claim is granted now or released before.
   */
  claim(tenantId: string, bytes: number, onGranted: () => void): Claim {
    const claim: OpenClaim = {
      tenantId,
      bytes: Math.min(bytes, this.limit),
      granted: false,
      onGranted,
      shrink: (to) => this.#shrink(claim, to),
      release: () => this.#release(claim),
    }
    this.#waiting.add(claim)
    this.#serve(claim)
    return claim
  }

  #shrink(claim: OpenClaim, to: number): void {
    const less = claim.bytes - to
    if (less <= 0) return
    claim.bytes = to
    if (claim.granted) this.#add(claim.tenantId, -less)
    this.#serve()
  }

  #release(claim: OpenClaim): void {
    this.#waiting.delete(claim)
    this.#shrink(claim, 0)
  }

  /** Grant what can be granted; `now` is not called back. */
  #serve(now?: OpenClaim): void {
    const granted: OpenClaim[] = []
    const refused = new Set<string>()
    for (const claim of this.#inTurn()) {
      // Within a tenant nobody is overtaken: many small bodies would keep a large one waiting for ever.
      if (refused.has(claim.tenantId)) continue
      if (this.#fits(claim)) granted.push(this.#grant(claim))
      else if (!this.#held.has(claim.tenantId))
        break // What it waits for goes to nobody else.
      else refused.add(claim.tenantId)
    }
    for (const claim of granted) if (claim !== now) claim.onGranted()
  }

  /** Tenants that have nothing come first. */
  *#inTurn(): Generator<OpenClaim> {
    for (const claim of this.#waiting) if (!this.#held.has(claim.tenantId)) yield claim
    yield* this.#waiting
  }

  #fits({ tenantId, bytes }: OpenClaim): boolean {
    const held = this.#held.get(tenantId) ?? 0
    return fitsShare({ held, wanted: bytes, free: this.limit - this.#total })
  }

  #grant(claim: OpenClaim): OpenClaim {
    this.#waiting.delete(claim)
    this.#add(claim.tenantId, claim.bytes)
    claim.granted = true
    return claim
  }

  #add(tenantId: string, bytes: number): void {
    const held = (this.#held.get(tenantId) ?? 0) + bytes
    if (held > 0) this.#held.set(tenantId, held)
    else this.#held.delete(tenantId)
    this.#total += bytes
  }
}
