import type { Connection } from '../../egress/connection.ts'
import type { Egress } from '../../egress/egress.ts'
import { type AttemptContext, JobError } from '../kind.ts'
import { asFetchError, fetchError } from './errors.ts'
import { BrokenResponseError, type ByteBudget, Exchange, type HopResponse, StaleConnectionError } from './exchange.ts'
import type { FetchLimits } from './limits.ts'
import { locationOf, redirected, type Signpost } from './redirect.ts'
import { firstRequest, type HopRequest } from './request.ts'
import { type FetchResult, isOk, type KeptBody, NO_BODY, parsedJson, rounded, textOrBase64 } from './result.ts'
import type { FetchFields } from './spec.ts'

/** What every fetch of a service shares. */
export interface FetchParts {
  egress: Egress
  limits: FetchLimits
}

/** One attempt at a fetch, from its slot to its result: the hops, one deadline and one byte budget for all of them. */
export class FetchAttempt {
  readonly #spec: FetchFields
  readonly #context: AttemptContext
  readonly #parts: FetchParts
  readonly #budget: ByteBudget
  readonly #redirects: FetchResult['redirects'] = []
  #connectMs = 0

  constructor(options: { spec: FetchFields; context: AttemptContext; parts: FetchParts }) {
    this.#spec = options.spec
    this.#context = options.context
    this.#parts = options.parts
    this.#budget = { left: options.parts.limits.maxWireBytes }
  }

  /**
   * @throws {JobError} `HTTPStatusError` with the response as its result; `FetchError`, with what there is of the response where
   * that is what failed.
   * @throws `signal.reason` once the signal has aborted, when the socket has closed.
   */
  async run(): Promise<FetchResult> {
    const { signal } = this.#context
    signal.throwIfAborted()
    try {
      const result = await this.#follow(firstRequest(this.#spec, this.#context))
      // The response and the abort may come in one turn; nothing is in the way any more, but the abort was first recorded.
      signal.throwIfAborted()
      return result
    } catch (error) {
      throw signal.aborted ? signal.reason : asFetchError(error)
    }
  }

  async #follow(first: HopRequest): Promise<FetchResult> {
    for (let request = first; ; ) {
      const response = await this.#exchange(request).catch((error: unknown) => this.#keepBroken(request, error))
      const location = this.#spec.redirects > 0 ? locationOf(response.status, response.headers) : undefined
      if (location === undefined) return this.#conclude(request, response)
      if (this.#redirects.length === this.#spec.redirects) {
        throw fetchError('too_many_redirects', { facts: { redirects: this.#spec.redirects } })
      }
      this.#redirects.push({ status: response.status, url: request.url.href })
      request = redirected(request, response.status, location, this.#signpost)
    }
  }

  get #signpost(): Signpost {
    const { guard } = this.#parts.egress
    const { tenantId } = this.#context
    return {
      check: (text, base) => guard.checkUrl(tenantId, text, base),
      refuse: (denial) => guard.refuse(tenantId, denial),
    }
  }

  async #exchange(request: HopRequest): Promise<HopResponse> {
    try {
      return await this.#exchangeOn(await this.#lease(request, false), request)
    } catch (error) {
      if (!(error instanceof StaleConnectionError)) throw error
      return this.#exchangeOn(await this.#lease(request, true), request)
    }
  }

  #lease({ url }: HopRequest, fresh: boolean): Promise<Connection> {
    return this.#parts.egress.lease(this.#context.tenantId, url, this.#context.signal, { fresh })
  }

  #exchangeOn(connection: Connection, request: HopRequest): Promise<HopResponse> {
    const { signal, clock } = this.#context
    const { response, redirects, maxResponseBytes } = this.#spec
    this.#connectMs = connection.reused ? 0 : connection.connectMs
    return new Exchange({
      connection,
      request,
      signal,
      clock,
      limits: this.#parts.limits,
      budget: this.#budget,
      maxBytes: maxResponseBytes,
      wantsBody: response === 'full' || response === 'json',
      followsRedirects: redirects > 0,
    }).done
  }

  #conclude(request: HopRequest, response: HopResponse): FetchResult {
    const { status } = response
    const { kept, failure } = this.#keep(request, response)
    const result = this.#result(request, response, kept)
    // An error page is no reason to hide the status.
    if (!isOk(status, this.#spec.okStatus))
      throw new JobError('HTTPStatusError', 'http_status', `The response has status ${status}.`, { status }, result)
    if (failure) throw fetchError('decode_failed', { message: failure, facts: { status }, result })
    return result
  }

  #keepBroken(request: HopRequest, error: unknown): never {
    if (!(error instanceof BrokenResponseError)) throw error
    const { failure, response } = error
    const { type, code, message, cause, facts } = failure
    const truncated = code === 'response_too_large'
    const result = { ...this.#result(request, response, NO_BODY), truncated }
    throw new JobError(type, code, message, { ...facts, status: response.status }, result, { cause })
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

  /** `failure`: why the body is not the JSON that was asked for; it is kept as text then. */
  #keep({ method }: HopRequest, { status, body }: HopResponse): { kept: KeptBody; failure?: string } {
    if (body === null) return { kept: NO_BODY }
    if (this.#spec.response !== 'json') return { kept: textOrBase64(body) }
    // These have no body by definition (RFC 9110, 6.4.1), which is not bad JSON.
    if (method === 'HEAD' || status === 204 || status === 304) return { kept: NO_BODY }
    const parsed = parsedJson(body)
    return typeof parsed === 'string' ? { kept: textOrBase64(body), failure: parsed } : { kept: parsed }
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
