import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls'
import { type Clock, systemClock } from '../clock.ts'
import { Connection, type Lender } from './connection.ts'
import { Dial, type Dialled } from './dial.ts'
import { EgressError } from './errors.ts'
import { Guard, type Passage } from './guard/guard.ts'
import { nameResolver } from './guard/resolver.ts'
import { IdlePools } from './pools.ts'
import type { Resolve } from './resolve.ts'

/** How connections are made and kept. Everything has a default. */
export interface EgressOptions {
  clock?: Clock
  /** Milliseconds for DNS, TCP and TLS together. Default 5,000. */
  connectTimeoutMs?: number
  /** An idle socket is closed after this many milliseconds. Default 4,000. */
  idleMs?: number
  /** Idle sockets, over all tenants and origins; with it the number of pools is bounded. Default 512. */
  maxIdle?: number
  /** Bytes of one response's header names and values. Default 16,384. */
  maxHeaderBytes?: number
  /** PEM certificates of further authorities, beside the well-known ones. */
  ca?: string[]
  /** Default: c-ares with the system's name servers. */
  resolve?: Resolve
  /** Where connections may go. Default: to public addresses only. */
  guard?: Guard
}

const DEFAULTS = { clock: systemClock, connectTimeoutMs: 5_000, idleMs: 4_000, maxIdle: 512, maxHeaderBytes: 16_384 }

/** How many there are now. `open` counts idle and leased connections until their sockets have closed. */
export interface EgressStats {
  open: number
  idle: number
  pools: number
  dialling: number
}

/** The only way out of the process: opens sockets, lends them out one attempt at a time, keeps them alive between attempts. */
export class Egress implements Lender {
  /** Who is asked before every connection. */
  readonly guard: Guard
  readonly #options: EgressOptions & typeof DEFAULTS
  readonly #resolve: Resolve
  readonly #idle: IdlePools
  readonly #open = new Set<Connection>()
  readonly #dials = new Set<Dial>()
  #secureContext: SecureContext | undefined
  #closing = false

  constructor(options: EgressOptions = {}) {
    this.#options = { ...DEFAULTS, ...options }
    this.guard = options.guard ?? new Guard()
    this.#resolve = options.resolve ?? nameResolver()
    this.#idle = new IdlePools(this.#options)
  }

  get stats(): EgressStats {
    const { size: idle, pools } = this.#idle
    return { open: this.#open.size, idle, pools, dialling: this.#dials.size }
  }

  /**
   * A connection to the URL's origin for one attempt alone: an idle one that the same tenant was let open under the same policy, or a
   * new one. The attempt ends the lease with `release` or `destroy`.
   *
   * @param fresh - Never an idle one.
   * @throws {EgressDeniedError} When the destination is not allowed.
   * @throws {EgressError} When none can be opened.
   * @throws `signal.reason`, at once, when it aborts first; the socket is destroyed.
   */
  async lease(tenantId: string, url: URL, signal: AbortSignal, { fresh = false } = {}): Promise<Connection> {
    signal.throwIfAborted()
    if (this.#closing) throw new EgressError('connection_lost')
    const { origin } = url
    // None of the first two has a blank, so two different triples never make the same key.
    const key = `${origin} ${this.guard.policyOf(tenantId).version} ${tenantId}`
    const idle = fresh ? undefined : this.#idle.take(key)
    return idle ? idle.lease() : this.#connect(key, url, { passage: this.guard.passage(tenantId, url), signal })
  }

  /** A connection comes back. For `Connection`. */
  returned(connection: Connection): void {
    if (this.#closing || !connection.usable) void connection.destroy()
    else void this.#idle.put(connection)?.destroy()
  }

  /** A socket has closed. For `Connection`. */
  closed(connection: Connection): void {
    this.#open.delete(connection)
    this.#idle.remove(connection)
  }

  /** Close every socket, leased ones as well, and open no more. Resolves when all have closed. May be called twice. */
  async close(): Promise<void> {
    this.#closing = true
    for (const dial of this.#dials) dial.cancel(new EgressError('connection_lost'))
    await Promise.all(Array.from(this.#open, (connection) => connection.destroy()))
  }

  async #connect(key: string, url: URL, by: { passage: Passage; signal: AbortSignal }): Promise<Connection> {
    const dialled = await this.#dial(url, by)
    const { idleMs, maxHeaderBytes } = this.#options
    const connection = new Connection({ ...dialled, key, origin: url.origin, idleMs, maxHeaderBytes, lender: this })
    this.#open.add(connection)
    if (!this.#closing) return connection
    await connection.destroy()
    throw new EgressError('connection_lost')
  }

  async #dial(url: URL, by: { passage: Passage; signal: AbortSignal }): Promise<Dialled> {
    const { clock, connectTimeoutMs: timeoutMs } = this.#options
    const secureContext = () => this.#context()
    const dial = new Dial({ url, ...by, clock, timeoutMs, resolve: this.#resolve, secureContext })
    this.#dials.add(dial)
    try {
      return await dial.done
    } finally {
      this.#dials.delete(dial)
    }
  }

  #context(): SecureContext {
    const { ca } = this.#options
    this.#secureContext ??= createSecureContext({
      minVersion: 'TLSv1.2',
      ...(ca && { ca: [...rootCertificates, ...ca] }),
    })
    return this.#secureContext
  }
}
