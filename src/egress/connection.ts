import type { Socket } from 'node:net'
import { Client, type Dispatcher } from 'undici'
import type { Dialled } from './dial.ts'
import { EgressError } from './errors.ts'
import type { Visit } from './visit.ts'

/** Whoever lent a connection out. */
export interface Lender {
  /** The connection is free again. */
  returned(connection: Connection): void
  /** Its socket is closed. */
  closed(connection: Connection): void
}

/** Who counts what comes over a connection. */
export interface BytesWatcher {
  /** Bytes have come, of whatever kind. */
  bytesCame(): void
}

/** What a connection is made of. */
export interface ConnectionOptions extends Omit<Dialled, 'policyVersion'> {
  /** Tenant, origin and policy: only who has the same key may use it again. */
  key: string
  tenantId: string
  origin: string
  /** An unused socket is closed after this long, whatever the server offers in `Keep-Alive`. */
  idleMs: number
  maxHeaderBytes: number
  lender: Lender
}

/**
 * One socket and the undici client on it. Leased to one attempt at a time, which gives it back with `release` after a complete
 * response, or destroys it. undici never opens a connection itself: a client whose socket is gone is of no more use.
 */
export class Connection {
  readonly key: string
  readonly tenantId: string
  /** Where it goes, in the one spelling of that address. */
  readonly address: string
  /** Milliseconds that opening took. */
  readonly connectMs: number
  /** For whoever has the lease, and ends with it. */
  watcher: BytesWatcher | undefined
  #reused = false
  #leased = true
  #retired = false
  #visit: Visit | undefined
  #openSockets: number
  readonly #socket: Socket
  readonly #client: Client
  readonly #lender: Lender
  readonly #closed: PromiseWithResolvers<void> = Promise.withResolvers()

  constructor(options: ConnectionOptions) {
    this.key = options.key
    this.tenantId = options.tenantId
    this.address = options.address
    this.connectMs = options.connectMs
    this.#socket = options.socket
    this.#lender = options.lender
    this.#client = clientOn(options)
    const sockets = new Set([options.socket, options.raw])
    this.#openSockets = sockets.size
    for (const socket of sockets) this.#watch(socket)
    // Beside undici's own listener, which does the reading: not everything that is read is told to a handler.
    options.socket.on('readable', () => this.watcher?.bytesCame())
  }

  /** Whether an attempt had it before: then the server may have closed it just as a request is sent. */
  get reused(): boolean {
    return this.#reused
  }

  /** Whether a request can be sent on it, as far as this side knows, and may be by another attempt. */
  get usable(): boolean {
    return !this.#retired && !this.#socket.destroyed && this.#socket.writable
  }

  /** Bytes that have come over the socket so far: heads, framing and bodies. */
  get bytesRead(): number {
    return this.#socket.bytesRead
  }

  /** Whether the socket ended with an error; a body that only its end delimits is not complete then. */
  get broken(): boolean {
    return this.#socket.errored !== null
  }

  /** Send one request. Errors reach the handler's `onResponseError`. */
  dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    this.#client.dispatch(options, handler)
  }

  /** Take it out of the pool for another attempt. For the lender. */
  lease(): this {
    this.#leased = true
    this.#reused = true
    return this
  }

  /** The places that the lease has at the destination: left when it ends, a destroyed one's when its socket has closed. */
  occupy(visit: Visit): void {
    if (this.#openSockets > 0) this.#visit = visit
    else visit.leave()
  }

  /** Lend it to nobody else: whoever has it may finish. For the lender. */
  retire(): void {
    this.#retired = true
    if (!this.#leased) void this.destroy()
  }

  /** Give it back after a complete response. Doing it twice, or after `destroy`, does nothing. */
  release(): void {
    if (!this.#leased) return
    this.#leased = false
    this.watcher = undefined
    this.#lender.returned(this)
    this.#leave()
  }

  /** Close it now. Resolves when the socket has emitted `close`; every call does. */
  destroy(): Promise<void> {
    this.#leased = false
    this.watcher = undefined
    // A client that has no socket yet, or no longer, still has to fail what was dispatched on it.
    if (!this.#client.destroyed) this.#client.destroy(new EgressError('connection_lost'), noop)
    this.#socket.destroy()
    return this.#closed.promise
  }

  #watch(socket: Socket): void {
    // Without a listener an error between two requests would end the process; undici has its own for those that matter.
    socket.on('error', noop)
    if (socket.closed) this.#socketClosed()
    else socket.once('close', () => this.#socketClosed())
  }

  #socketClosed(): void {
    if (--this.#openSockets > 0) return
    this.#closed.resolve()
    this.#lender.closed(this)
    this.#leave()
  }

  #leave(): void {
    this.#visit?.leave()
    this.#visit = undefined
  }
}

const noop = () => undefined

function clientOn({ socket, origin, idleMs, maxHeaderBytes }: ConnectionOptions): Client {
  let unused: Socket | null = socket
  return new Client(origin, {
    pipelining: 1,
    allowH2: false,
    maxHeaderSize: maxHeaderBytes,
    // 1xx responses refresh the first: the attempt's own deadline holds instead. Each dispatch brings the second.
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: idleMs,
    keepAliveMaxTimeout: idleMs,
    connect(_options, callback) {
      const ready = unused
      unused = null
      // Not now: undici ignores an answer that comes before its call of the connector has returned.
      queueMicrotask(() => (ready ? callback(null, ready) : callback(new EgressError('connection_lost'), null)))
    },
  })
}
