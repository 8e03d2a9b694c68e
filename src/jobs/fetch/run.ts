import type { Clock } from '../../clock.ts'
import type { Connection } from '../../egress/connection.ts'
import type { Egress } from '../../egress/egress.ts'
import type { HaltSignal } from '../../halt.ts'
import { type AttemptContext, JobError } from '../kind.ts'
import type { LargeBodies } from './body-thread.ts'
import type { EqualTimeouts } from './equal-timeouts.ts'
import { asFetchError, fetchError } from './errors.ts'
import { BrokenResponseError, type ByteBudget, Exchange, type HopResponse, StaleConnectionError } from './exchange.ts'
import type { Claim, InflightBytes } from './inflight.ts'
import { isLarge, type Kept, keep } from './keep.ts'
import type { FetchLimits } from './limits.ts'
import { locationOf, redirected, type Signpost } from './redirect.ts'
import { firstRequest, type HopRequest } from './request.ts'
import { type FetchResult, isOk, type KeptBody, NO_BODY, rounded } from './result.ts'
import type { FetchFields } from './spec.ts'
import type { Writing } from './writing.ts'

/** What every fetch of a service shares. */
export interface FetchParts {
  egress: Egress
  limits: FetchLimits
  /** Where large bodies are scanned and written as JSON. */
  bodies: LargeBodies
  /** What the bodies of all of them may take. */
  inflight: InflightBytes
  /** Where large bodies wait for their turn to go to the disk. */
  writing: Writing
  /** Of the headers of all responses, by the clock of the service. */
  headersTimeouts: (clock: Clock) => EqualTimeouts
}

/** No body is kept. */
const NOTHING: Kept = { kept: NO_BODY, failure: undefined }

/** One attempt at a fetch, from its slot to its result: the hops, one deadline and one byte budget for all of them. */
export class FetchAttempt {
  readonly #spec: FetchFields
  readonly #context: AttemptContext
  readonly #parts: FetchParts
  readonly #halt: HaltSignal
  readonly #budget: ByteBudget
  readonly #redirects: FetchResult['redirects'] = []
  #connectMs = 0
  #claim: Claim | undefined
  #written: (() => void) | undefined

  constructor(options: { spec: FetchFields; context: AttemptContext; parts: FetchParts }) {
    this.#spec = options.spec
    this.#context = options.context
    this.#parts = options.parts
    this.#halt = options.context.halt ?? options.context.signal
    this.#budget = { left: options.parts.limits.maxWireBytes }
  }

  /**
   * @throws {JobError} `HTTPStatusError` with the response as its result; `FetchError`, with what there is of the response where
   * that is what failed.
   * @throws `signal.reason` once the signal has aborted, when the socket has closed.
   */
  async run(): Promise<FetchResult> {
    this.#halt.throwIfAborted()
    let request = firstRequest(this.#spec, this.#context)
    let isFresh = false
    for (;;) {
      try {
        const response = await this.#exchange(request, isFresh)
        const next = this.#redirected(request, response)
        if (next === undefined) {
          const result = this.#ended(request, response)
          return result instanceof Promise ? await result : result
        }
        isFresh = false
        request = next
      } catch (error) {
        if (!(error instanceof StaleConnectionError)) throw this.#failure(request, error)
        isFresh = true
      }
    }
  }

  /** What the attempt throws. */
  #failure(request: HopRequest, error: unknown): unknown {
    this.#unclaim()
    if (this.#halt.aborted) return this.#halt.reason
    return asFetchError(error instanceof BrokenResponseError ? this.#broken(request, error) : error)
  }

  /** What an attempt ends with is in memory until it is on disk. */
  #unclaim(): void {
    if (this.#claim === undefined) return
    const release = () => {
      this.#claim?.release()
      this.#written?.()
    }
    if (this.#halt.aborted) release()
    else this.#context.onRecorded(release)
  }

  /** The request that follows; undefined: the response is the last one. */
  #redirected(request: HopRequest, { status, headers }: HopResponse): HopRequest | undefined {
    const location = this.#spec.redirects > 0 ? locationOf(status, headers) : undefined
    if (location === undefined) return undefined
    if (this.#redirects.length === this.#spec.redirects) {
      throw fetchError('too_many_redirects', { facts: { redirects: this.#spec.redirects } })
    }
    this.#redirects.push({ status, url: request.url.href })
    return redirected(request, status, location, this.#signpost)
  }

  #ended(request: HopRequest, response: HopResponse): FetchResult | Promise<FetchResult> {
    const result = this.#conclude(request, response)
    return result instanceof Promise ? result.then((late) => this.#unlessHalted(late)) : this.#unlessHalted(result)
  }

  /** The response and the abort may come in one turn; nothing is in the way any more, but the abort was first recorded. */
  #unlessHalted(result: FetchResult): FetchResult {
    this.#halt.throwIfAborted()
    this.#unclaim()
    return result
  }

  get #signpost(): Signpost {
    const { guard } = this.#parts.egress
    const { tenantId } = this.#context
    return {
      check: (text, base) => guard.checkUrl(tenantId, text, base),
      refuse: (denial) => guard.refuse(tenantId, denial),
    }
  }

  /** @param isFresh - On a new connection, for the one that was kept had been closed. */
  #exchange(request: HopRequest, isFresh: boolean): Promise<HopResponse> {
    const idle = isFresh ? undefined : this.#parts.egress.leaseIdle(this.#context.tenantId, request.url)
    if (idle !== undefined) return this.#exchangeOn(idle, request)
    return this.#lease(request, isFresh).then((connection) => this.#exchangeOn(connection, request))
  }

  #lease({ url }: HopRequest, fresh: boolean): Promise<Connection> {
    return this.#parts.egress.lease(this.#context.tenantId, url, this.#halt, { fresh })
  }

  #exchangeOn(connection: Connection, request: HopRequest): Promise<HopResponse> {
    const { clock } = this.#context
    const { limits, headersTimeouts } = this.#parts
    const { response, redirects, maxResponseBytes } = this.#spec
    this.#connectMs = connection.reused ? 0 : connection.connectMs
    return new Exchange({
      connection,
      request,
      signal: this.#halt,
      clock,
      limits,
      headersTimeouts: headersTimeouts(clock),
      budget: this.#budget,
      maxBytes: maxResponseBytes,
      claim: (bytes, onGranted) => this.#claimBytes(bytes, onGranted),
      wantsBody: response === 'full' || response === 'json',
      followsRedirects: redirects > 0,
    }).done
  }

  #claimBytes(bytes: number, onGranted: () => void): Claim {
    this.#claim = this.#parts.inflight.claim(this.#context.tenantId, bytes, onGranted)
    return this.#claim
  }

  #conclude(request: HopRequest, response: HopResponse): FetchResult | Promise<FetchResult> {
    const { body } = response
    if (body === null || !this.#isKept(request, response)) return this.#concluded(request, response, NOTHING)
    this.#claim?.shrink(body.length)
    const asJson = this.#spec.response === 'json'
    if (!isLarge(body)) return this.#concluded(request, response, keep(body, asJson))
    return this.#keepLarge(body, asJson).then((kept) => this.#concluded(request, response, kept))
  }

  /** It is kept, and has its turn to be written. */
  async #keepLarge(bytes: Buffer, asJson: boolean): Promise<Kept> {
    const { tenantId, signal } = this.#context
    const kept = await this.#parts.bodies.keep(tenantId, { bytes, asJson }, signal)
    this.#written = await this.#parts.writing.turn(tenantId, bytes.length, signal)
    return kept
  }

  #concluded(request: HopRequest, response: HopResponse, { kept, failure }: Kept): FetchResult {
    const { status } = response
    const result = this.#result(request, response, kept)
    // An error page is no reason to hide the status.
    if (!isOk(status, this.#spec.okStatus))
      throw new JobError('HTTPStatusError', 'http_status', `The response has status ${status}.`, { status }, result)
    if (failure) throw fetchError('decode_failed', { message: failure, facts: { status }, result })
    return result
  }

  #broken(request: HopRequest, { failure, response }: BrokenResponseError): JobError {
    const { type, code, message, cause, facts } = failure
    const truncated = code === 'response_too_large'
    const result = { ...this.#result(request, response, NO_BODY), truncated }
    return new JobError(type, code, message, { ...facts, status: response.status }, result, { cause })
  }

  #result(request: HopRequest, response: HopResponse, kept: KeptBody): FetchResult {
    return {
      status: response.status,
      url: request.url.href,
      redirects: this.#redirects,
      headers: this.#spec.response === 'none' ? {} : response.headers,
      ...kept,
      truncated: false,
      timing: this.#timing(response),
    }
  }

  /** As JSON, these have no body by definition (RFC 9110, 6.4.1), which is not bad JSON. */
  #isKept({ method }: HopRequest, { status }: HopResponse): boolean {
    return this.#spec.response !== 'json' || (method !== 'HEAD' && status !== 204 && status !== 304)
  }

  #timing({ firstByteAt }: HopResponse): FetchResult['timing'] {
    const { queuedMs, startedAt, clock } = this.#context
    return {
      queuedMs: rounded(queuedMs),
      connectMs: rounded(this.#connectMs),
      firstByteMs: rounded(firstByteAt - startedAt),
      totalMs: rounded(clock.now() - startedAt),
    }
  }
}
