import type { Connection } from '../../egress/connection.ts'
import type { Egress } from '../../egress/egress.ts'
import { type AttemptContext, JobError } from '../kind.ts'
import { asFetchError, fetchError } from './errors.ts'
import { type ByteBudget, Exchange, type HopResponse, StaleConnectionError } from './exchange.ts'
import type { FetchLimits } from './limits.ts'
import { locationOf, redirected } from './redirect.ts'
import { firstRequest, type HopRequest } from './request.ts'
import { type FetchResult, isOk, type KeptBody, parsedJson, rounded, textOrBase64 } from './result.ts'
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
   * @throws {JobError} `FetchError`, or `HTTPStatusError` with the response as its result.
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
      const response = await this.#exchange(request)
      const location = this.#spec.redirects > 0 ? locationOf(response.status, response.headers) : undefined
      if (location === undefined) return this.#conclude(request, response)
      if (this.#redirects.length === this.#spec.redirects) {
        throw fetchError('too_many_redirects', { facts: { redirects: this.#spec.redirects } })
      }
      this.#redirects.push({ status: response.status, url: request.url.href })
      request = redirected(request, response.status, location)
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
    const { status, headers } = response
    const ok = isOk(status, this.#spec.okStatus)
    const result: FetchResult = {
      status,
      url: request.url.href,
      redirects: this.#redirects,
      headers: this.#spec.response === 'none' ? {} : headers,
      ...this.#keep(request, response, ok),
      truncated: false,
      timing: this.#timing(response),
    }
    if (ok) return result
    throw new JobError('HTTPStatusError', 'http_status', `The response has status ${status}.`, { status }, result)
  }

  #keep({ method }: HopRequest, { status, body }: HopResponse, ok: boolean): KeptBody {
    if (body === null) return { body: null, bodyEncoding: null, bytes: 0 }
    if (this.#spec.response !== 'json') return textOrBase64(body)
    // These have no body by definition (RFC 9110, 6.4.1), which is not bad JSON.
    if (method === 'HEAD' || status === 204 || status === 304) return { body: null, bodyEncoding: null, bytes: 0 }
    return ok ? parsedJson(body) : jsonOrText(body)
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

/** The body of an unexpected status: an error page is no reason to hide the status. */
function jsonOrText(body: Buffer): KeptBody {
  try {
    return parsedJson(body)
  } catch {
    return textOrBase64(body) // The failure is the status, which is reported.
  }
}
