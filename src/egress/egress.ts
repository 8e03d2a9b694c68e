import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls'
import { type Clock, systemClock } from '../clock.ts'
import type { HaltSignal } from '../halt.ts'
import { Connection, type Lender } from './connection.ts'
import { Dial, type Dialled } from './dial.ts'
import { EgressError } from './errors.ts'
import { Guard } from './guard/guard.ts'
import { nameResolver } from './guard/resolver.ts'
import { IdlePools, PoolKeys } from './pools.ts'
import type { Resolve } from './resolve.ts'
import { hostAndPort } from './url.ts'
import { Crowd, Visit } from './visit.ts'

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
  /** Exchanges under way at one host and port, over all tenants. 0, the default: any number. */
  hostConcurrency?: number
  /** Exchanges under way at one address, whatever its names and ports. 0, the default: any number. */
  addressConcurrency?: number
}

const DEFAULTS = {
  clock: systemClock,
  connectTimeoutMs: 5_000,
  idleMs: 4_000,
  maxIdle: 512,
  maxHeaderBytes: 16_384,
  hostConcurrency: 0,
  addressConcurrency: 0,
}

/** How many there are now. `open` counts idle and leased connections until their sockets have closed. */
export interface EgressStats {
  open: number
  idle: number
  pools: number
  dialling: number
}

/** What a connection is asked for. */
interface Ask {
  tenantId: string
  url: URL
  signal: HaltSignal
  /** Never an idle one. */
  fresh: boolean
}

/** The only way out of the process: opens sockets, lends them out one attempt at a time, keeps them alive between attempts. */
export class Egress implements Lender {
  /** Who is asked before every connection. */
  readonly guard: Guard
  readonly #options: EgressOptions & typeof DEFAULTS
  readonly #resolve: Resolve
  readonly #idle: IdlePools
  readonly #keys = new PoolKeys()
  readonly #open = new Set<Connection>()
  /** By whose they are. */
  readonly #dials = new Map<Dial, string>()
  readonly #visits = new Map<Visit, string>()
  readonly #crowd: Crowd
  #secureContext: SecureContext | undefined
  #closing = false

  constructor(options: EgressOptions = {}) {
    this.#options = { ...DEFAULTS, ...options }
    this.guard = options.guard ?? new Guard()
    this.#resolve = options.resolve ?? nameResolver()
    this.#idle = new IdlePools(this.#options)
    this.#crowd = new Crowd(this.#options)
  }

  get stats(): EgressStats {
    const { size: idle, pools } = this.#idle
    return { open: this.#open.size, idle, pools, dialling: this.#dials.size }
  }

  /** Where exchanges are counted: places that are taken, who waits for one, and destinations that are known. All 0 where nothing is. */
  get crowd(): { held: number; waiting: number; destinations: number } {
    const all = { held: 0, waiting: 0, destinations: 0 }
    for (const places of [this.#crowd.hosts, this.#crowd.addresses]) {
      all.held += places?.stats.held ?? 0
      all.waiting += places?.stats.waiting ?? 0
      all.destinations += places?.stats.destinations ?? 0
    }
    return all
  }

  /**
   * The idle connection that `lease` would give at once; undefined: it has to be asked, for there is none, or exchanges are counted.
   */
  leaseIdle(tenantId: string, url: URL): Connection | undefined {
    if (this.#closing || this.#crowd.isCounted) return undefined
    return this.#idle.take(this.#keyOf(tenantId, url))?.lease()
  }

  /**
   * A connection to the URL's origin for one attempt alone: an idle one that the same tenant was let open under the same policy, or a
   * new one. The attempt ends the lease with `release` or `destroy`. Where exchanges are counted and too many are under way at the
   * destination, it waits in line, as long as connecting may take.
   *
   * @param fresh - Never an idle one.
   * @throws {EgressDeniedError} When the destination is not allowed.
   * @throws {EgressError} When none can be opened.
   * @throws `signal.reason`, at once, when it aborts first; the socket is destroyed.
   */
  async lease(tenantId: string, url: URL, signal: HaltSignal, { fresh = false } = {}): Promise<Connection> {
    signal.throwIfAborted()
    if (this.#closing) throw new EgressError('connection_lost')
    const ask = { tenantId, url, signal, fresh }
    if (this.#crowd.isCounted) return this.#leaseInTurn(ask)
    return (fresh ? undefined : this.leaseIdle(tenantId, url)) ?? this.#connect(ask)
  }

  /** The tenant is gone: whoever comes under its name gets no socket of its. Its idle ones are closed at once, leased ones are not kept. */
  forget(tenantId: string): void {
    this.#cancel((id) => id === tenantId)
    for (const connection of this.#open) if (connection.tenantId === tenantId) connection.retire()
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
    this.#cancel(() => true)
    await Promise.all(Array.from(this.#open, (connection) => connection.destroy()))
  }

  /** Give up what is not connected yet. */
  #cancel(isMeant: (tenantId: string) => boolean): void {
    const reason = new EgressError('connection_lost')
    for (const [visit, tenantId] of this.#visits) if (isMeant(tenantId)) visit.giveUp(reason)
    for (const [dial, tenantId] of this.#dials) if (isMeant(tenantId)) dial.cancel(reason)
  }

  #keyOf(tenantId: string, url: URL, policyVersion = this.guard.policyOf(tenantId).version): string {
    return this.#keys.of(url.origin, policyVersion, tenantId)
  }

  async #leaseInTurn(ask: Ask): Promise<Connection> {
    const { tenantId, url, signal } = ask
    const { clock, connectTimeoutMs: timeoutMs } = this.#options
    // What is refused does not wait for that; what was waited for is judged by the policy of then.
    this.guard.passage(tenantId, url)
    const visit = new Visit({ crowd: this.#crowd, signal, clock, timeoutMs })
    this.#visits.set(visit, tenantId)
    try {
      await visit.atHost(hostAndPort(url))
      const connection = (await this.#idleInTurn(ask, visit)) ?? (await this.#connect(ask, visit))
      connection.occupy(visit)
      return connection
    } catch (error) {
      visit.leave()
      throw error
    } finally {
      this.#visits.delete(visit)
    }
  }

  async #idleInTurn(ask: Ask, visit: Visit): Promise<Connection | undefined> {
    ask.signal.throwIfAborted()
    const { tenantId, url } = ask
    const first = ask.fresh ? undefined : this.#idle.peek(this.#keyOf(tenantId, url))
    if (!first) return undefined
    await visit.atSome([first.address])
    ask.signal.throwIfAborted()
    const idle = this.#idle.takeTo(this.#keyOf(tenantId, url), first.address)
    if (!idle) visit.leaveAddresses()
    return idle?.lease()
  }

  async #connect(ask: Ask, visit?: Visit): Promise<Connection> {
    const { tenantId, url } = ask
    const dialled = await this.#dial(ask, visit)
    const key = this.#keyOf(tenantId, url, dialled.policyVersion)
    const { idleMs, maxHeaderBytes } = this.#options
    const { origin } = url
    const connection = new Connection({ ...dialled, key, tenantId, origin, idleMs, maxHeaderBytes, lender: this })
    this.#open.add(connection)
    if (!this.#closing) return connection
    await connection.destroy()
    throw new EgressError('connection_lost')
  }

  async #dial({ tenantId, url, signal }: Ask, visit: Visit | undefined): Promise<Dialled> {
    const { clock, connectTimeoutMs } = this.#options
    const passage = this.guard.passage(tenantId, url)
    const timeoutMs = visit?.leftMs ?? connectTimeoutMs
    const secureContext = () => this.#context()
    const dial = new Dial({ url, signal, passage, visit, clock, timeoutMs, resolve: this.#resolve, secureContext })
    this.#dials.set(dial, tenantId)
    try {
      return await dial.done
    } catch (error) {
      // It has its places until then.
      if (visit) await dial.closed()
      throw error
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
