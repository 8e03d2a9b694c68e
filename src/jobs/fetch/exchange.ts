import type { Dispatcher } from 'undici'
import type { Clock } from '../../clock.ts'
import type { BytesWatcher, Connection } from '../../egress/connection.ts'
import type { HaltSignal } from '../../halt.ts'
import { JobError } from '../kind.ts'
import { type BodyOwner, BodyReader } from './body-reader.ts'
import { type EqualTimeout, EqualTimeouts, type TimeoutOwner } from './equal-timeouts.ts'
import { asFetchError, fetchError } from './errors.ts'
import type { Claim } from './inflight.ts'
import type { FetchLimits } from './limits.ts'
import { locationOf } from './redirect.ts'
import { type HopRequest, headerLines } from './request.ts'
import { headerOf, type ResponseHeaders, responseHeaders } from './response-headers.ts'

/** What a request was answered. */
export interface HopResponse {
  status: number
  headers: ResponseHeaders
  /** Decoded; null when it was not wanted. */
  body: Buffer | null
  /** `clock.now()` when the headers were complete. */
  firstByteAt: number
}

/** Bytes on the wire that all hops of a fetch may still have. */
export interface ByteBudget {
  left: number
}

/** What one exchange needs. */
export interface ExchangeOptions {
  connection: Connection
  request: HopRequest
  signal: HaltSignal
  clock: Clock
  limits: FetchLimits
  /** Of the headers, one for all exchanges. Absent: of this one alone. */
  headersTimeouts?: EqualTimeouts
  budget: ByteBudget
  /** Decoded bytes that the body may have. */
  maxBytes: number
  /** Claims bytes of memory for a body that is not small; it is not read on before they are granted. Absent: nothing is claimed. */
  claim?: (bytes: number, onGranted: () => void) => Claim
  /** False: the body is not read. */
  wantsBody: boolean
  /** A redirect's body is not read. */
  followsRedirects: boolean
}

/** The reused connection was closed before anything was answered: the same request may be sent on a new one. */
export class StaleConnectionError extends Error {}

/** A response whose head is there and whose body is not to be had: why, and what there is of it, as evidence. */
export class BrokenResponseError extends Error {
  readonly failure: JobError
  readonly response: HopResponse
  constructor(failure: JobError, response: HopResponse) {
    super(failure.message, { cause: failure })
    this.failure = failure
    this.response = response
  }
}

/** What is wrong with the response itself; a lost connection says nothing about it. */
const OF_THE_RESPONSE: ReadonlySet<string> = new Set(['bad_response', 'response_too_large', 'decode_failed'])

/**
 * What heads and framing may have beside the bodies' bytes. A server can send 1xx, blank lines, a reason or chunk extensions without
 * end; undici tells of none of them.
 */
const FRAMING_BYTES = 1 << 20

type Controller = Dispatcher.DispatchController
type Reply = Dispatcher.ResponseData['headers']

/**
 * One request and its response on one connection; undici's bare handler, with no stream between.
 *
 * waiting → (headers) → reading → (last byte) → decoding → settled. A body that is not wanted is dropped: what came along with the
 * headers is read over, and for more the connection is not kept. Every failure, and the signal's abort in any state, destroys the connection,
 * and `done` rejects when its socket has closed.
 */
export class Exchange implements Dispatcher.DispatchHandler, BodyOwner, BytesWatcher, TimeoutOwner {
  readonly done: Promise<HopResponse>
  readonly #options: ExchangeOptions
  readonly #settle: PromiseWithResolvers<HopResponse> = Promise.withResolvers()
  readonly #headersTimeouts: EqualTimeouts
  readonly #headersTimeout: EqualTimeout
  /** Bytes that may have come over the connection by the end. */
  #most = 0
  #controller: Controller | undefined
  #status = 0
  #headers: ResponseHeaders = {}
  #firstByteAt = 0
  /** Absent before the headers, and when the body is dropped. */
  #reader: BodyReader | undefined
  #answered = false
  /** The response is complete and the connection given back. */
  #received = false
  #over = false

  constructor(options: ExchangeOptions) {
    const { signal, clock, limits } = options
    this.#options = options
    this.done = this.#settle.promise
    this.#headersTimeouts = options.headersTimeouts ?? new EqualTimeouts({ delayMs: limits.headersTimeoutMs, clock })
    this.#headersTimeout = this.#headersTimeouts.arm(this)
    signal.addEventListener('abort', this)
    if (signal.aborted) this.handleEvent()
    else this.#send()
  }

  /** The signal's abort. */
  handleEvent(): void {
    this.#fail(this.#options.signal.reason)
  }

  /** From undici, just before the first byte is written. */
  onRequestStart(controller: Controller): void {
    this.#controller = controller
  }

  /** From undici: the first byte of any answer. */
  onResponseStarted(): void {
    this.#answered = true
  }

  /** From undici; also for 1xx, which says nothing about the response. */
  onResponseStart(controller: Controller, status: number, headers: Reply): void {
    if (this.#over || status < 200) return
    this.#headersTimeouts.cancel(this.#headersTimeout)
    // Headers over their cap are not kept, as evidence neither.
    if (linesOf(controller.rawHeaders) > this.#options.limits.maxResponseHeaders)
      return this.#fail(fetchError('bad_response'))
    this.#firstByteAt = this.#options.clock.now()
    this.#status = status
    this.#headers = responseHeaders(headers)
    if (this.#isDropped()) this.#drop()
    else this.#expectBody()
  }

  /** From undici. */
  onResponseData(controller: Controller, chunk: Buffer): void {
    if (this.#over) return
    const { budget, wantsBody } = this.#options
    budget.left -= chunk.length
    if (budget.left < 0 && wantsBody) this.#fail(fetchError('response_too_large'))
    else if (this.#reader?.write(chunk) === false) controller.pause()
  }

  /** From undici: the last byte has come. It still works on the connection, but before anyone can lease it. */
  onResponseEnd(): void {
    if (this.#over) return
    const { connection } = this.#options
    // undici takes a reset for the end where nothing else says where the end is.
    if (connection.broken) return this.#fail(fetchError('connection_lost'))
    this.#received = true
    connection.release()
    if (this.#reader) this.#reader.end()
    else this.#succeed(null)
  }

  /** From undici, also because of our own `destroy`. */
  onResponseError(_controller: Controller | null, error: Error): void {
    this.#fail(this.#maySendAgain() ? new StaleConnectionError() : asFetchError(error, this.#status > 0))
  }

  bodyRead(bytes: Buffer): void {
    this.#succeed(bytes)
  }

  bodyFailed(error: JobError): void {
    this.#fail(error)
  }

  bodyDrained(): void {
    this.#controller?.resume()
  }

  #send(): void {
    const { connection, request, limits } = this.#options
    const { url, method, body } = request
    const headers = headerLines(request.headers)
    this.#most = connection.bytesRead + this.#options.budget.left + FRAMING_BYTES
    connection.watcher = this
    // While the reader is paused this does not run.
    const bodyTimeout = limits.idleTimeoutMs
    connection.dispatch({ path: url.pathname + url.search, method, headers, body, bodyTimeout }, this)
  }

  bytesCame(): void {
    if (this.#options.connection.bytesRead > this.#most)
      this.#fail(fetchError(this.#status > 0 ? 'response_too_large' : 'bad_response'))
  }

  /** The headers have not come in time. */
  timedOut(): void {
    this.#fail(fetchError('connection_lost', { message: 'The server sent no response headers in time.' }))
  }

  #isDropped(): boolean {
    const { wantsBody, followsRedirects } = this.#options
    return !wantsBody || (followsRedirects && locationOf(this.#status, this.#headers) !== undefined)
  }

  /** Once the parser is done with what it has read: if the response is not complete by then, close instead of waiting. */
  #drop(): void {
    queueMicrotask(() => {
      if (this.#over) return
      this.#finish()
      void this.#options.connection.destroy().then(() => this.#resolve(null))
    })
  }

  #expectBody(): void {
    const encoding = headerOf(this.#headers, 'content-encoding')
    const { maxBytes, claim } = this.#options
    try {
      this.#reader = new BodyReader({ encoding, maxBytes, announcedBytes: this.#announcedBytes, claim, owner: this })
    } catch (error) {
      return this.#fail(error)
    }
    if (this.#announcesTooMuch(this.#reader)) this.#fail(fetchError('response_too_large'))
  }

  get #announcedBytes(): number | undefined {
    const length = headerOf(this.#headers, 'content-length')
    return length === undefined ? undefined : Number(length)
  }

  #announcesTooMuch({ decodes }: BodyReader): boolean {
    const { request, budget, maxBytes } = this.#options
    if (request.method === 'HEAD' || this.#status === 304) return false
    const length = this.#announcedBytes ?? 0
    return length > budget.left || (!decodes && length > maxBytes)
  }

  /** Nothing was answered on a connection that was idle before, and sending twice does no harm (RFC 9110, 9.2.2 and 9.3.1). */
  #maySendAgain(): boolean {
    const { connection, request } = this.#options
    const harmless = this.#controller === undefined || (request.method !== 'POST' && request.method !== 'PATCH')
    return connection.reused && !this.#answered && harmless
  }

  #succeed(body: Buffer | null): void {
    if (this.#over) return
    this.#finish()
    this.#resolve(body)
  }

  #resolve(body: Buffer | null): void {
    this.#settle.resolve(this.#response(body))
  }

  #response(body: Buffer | null): HopResponse {
    return { status: this.#status, headers: this.#headers, body, firstByteAt: this.#firstByteAt }
  }

  #fail(error: unknown): void {
    if (this.#over) return
    this.#finish()
    const reason = this.#isOfTheResponse(error) ? new BrokenResponseError(error, this.#response(null)) : error
    if (this.#received) this.#settle.reject(reason)
    else void this.#options.connection.destroy().then(() => this.#settle.reject(reason))
  }

  #isOfTheResponse(error: unknown): error is JobError {
    return this.#status > 0 && error instanceof JobError && OF_THE_RESPONSE.has(error.code)
  }

  #finish(): void {
    this.#over = true
    this.#headersTimeouts.cancel(this.#headersTimeout)
    this.#options.signal.removeEventListener('abort', this)
    this.#reader?.destroy()
  }
}

/** undici gives names and values in turn, as they came. */
function linesOf(rawHeaders: Controller['rawHeaders']): number {
  return Array.isArray(rawHeaders) ? rawHeaders.length / 2 : 0
}
