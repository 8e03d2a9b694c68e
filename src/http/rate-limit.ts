import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Clock } from '../clock.ts'
import type { Engine } from '../engine/engine.ts'
import { TooManyRequestsError } from '../errors.ts'
import { TokenBucket } from '../token-bucket.ts'
import { type Limit, policyField, serviceField } from './rate-limit-fields.ts'

const WINDOW_S = 60

/** The requests of one tenant. */
interface Meter {
  perMinute: number
  bucket: TokenBucket
}

/**
 * The limits of tenants at the API's edge: how many requests of each are let in (`rate.requestsPerMinute`, a token bucket
 * with room for a minute's worth), and the `RateLimit` headers that tell of this and of the caps. The bucket of a tenant
 * begins full: to refuse the first request after a restart would help nobody.
 */
export class RequestLimits {
  readonly #engine: Pick<Engine, 'tenant'>
  readonly #clock: Clock
  readonly #meters = new Map<string, Meter>()

  constructor(options: { engine: Pick<Engine, 'tenant'>; clock: Clock }) {
    this.#engine = options.engine
    this.#clock = options.clock
  }

  /** Tenants whose requests are counted. */
  get size(): number {
    return this.#meters.size
  }

  /**
   * Counts a request of a tenant; a hook for `onRequest`, after the guard. One whose key has ended since is refused later on: to count it
   * would remember a tenant that was deleted.
   * @throws {TooManyRequestsError}
   */
  admit({ tenantId, session }: FastifyRequest): void {
    if (tenantId === '' || session?.over) return
    const meter = this.#meterOf(tenantId, this.#engine.tenant(tenantId).limits.rate.requestsPerMinute)
    if (meter === null) return
    const now = this.#clock.now()
    if (!meter.bucket.take(now)) throw new TooManyRequestsError(meter.perMinute, secondsTo(meter, now))
  }

  /** Says in an answer to a tenant what its limits are and what is left of them; for `onSend`. */
  show({ tenantId, session }: FastifyRequest, reply: FastifyReply): void {
    if (tenantId === '' || session?.over) return
    const limits = this.#limitsOf(tenantId)
    reply.header('ratelimit-policy', policyField(limits)).header('ratelimit', serviceField(limits))
    waitLongEnough(reply, limits)
  }

  /** The tenant was deleted: one that is made anew under its name begins with a full bucket. */
  forget(tenantId: string): void {
    this.#meters.delete(tenantId)
  }

  #limitsOf(tenantId: string): Limit[] {
    const { limits, usage } = this.#engine.tenant(tenantId)
    const { maxConcurrency, maxQueuedJobs, rate } = limits
    const caps: Limit[] = [
      { name: 'concurrency', quota: maxConcurrency, left: maxConcurrency - usage.running },
      { name: 'queue', quota: maxQueuedJobs, left: maxQueuedJobs - usage.queued },
    ]
    const meter = this.#meterOf(tenantId, rate.requestsPerMinute)
    return meter === null ? caps : [...caps, this.#requests(meter)]
  }

  #requests(meter: Meter): Limit {
    const now = this.#clock.now()
    const left = meter.bucket.count(now)
    const window = { windowS: WINDOW_S, ...(left < meter.perMinute && { nextS: secondsTo(meter, now) }) }
    return { name: 'requests', quota: meter.perMinute, left, ...window }
  }

  #meterOf(tenantId: string, perMinute: number | null): Meter | null {
    const known = this.#meters.get(tenantId)
    if (known?.perMinute === perMinute) return known
    if (perMinute === null) {
      this.#meters.delete(tenantId)
      return null
    }
    const meter = this.#changed(known, perMinute)
    this.#meters.set(tenantId, meter)
    return meter
  }

  #changed(known: Meter | undefined, perMinute: number): Meter {
    const now = this.#clock.now()
    const rate = { perSecond: perMinute / WINDOW_S, burst: perMinute }
    if (known === undefined) return { perMinute, bucket: new TokenBucket({ rate, tokens: perMinute, now }) }
    known.bucket.change(rate, now)
    return { ...known, perMinute }
  }
}

function secondsTo({ bucket }: Meter, now: number): number {
  return Math.ceil((bucket.nextAt(now) - now) / 1_000)
}

/** Whoever is told to come back before there is a request left would be refused again. */
function waitLongEnough(reply: FastifyReply, limits: readonly Limit[]): void {
  const advised = reply.getHeader('retry-after')
  if (advised === undefined) return
  const needed = Math.max(...limits.map(({ left, nextS = 0 }) => (left < 1 ? nextS : 0)))
  if (Number(advised) < needed) reply.header('retry-after', String(needed))
}
