import type { LookupAddress } from 'node:dns'
import { connect as connectTcp, isIP, type LookupFunction, type Socket } from 'node:net'
import { connect as connectTls, type SecureContext } from 'node:tls'
import type { Clock, TimerHandle } from '../clock.ts'
import type { HaltSignal } from '../halt.ts'
import { EgressError } from './errors.ts'
import { EgressDeniedError } from './guard/denial.ts'
import type { Passage } from './guard/guard.ts'
import type { Resolve } from './resolve.ts'
import type { Visit } from './visit.ts'

/** After this long Node tries a host's next address beside the first (happy eyeballs, RFC 8305). */
const NEXT_ADDRESS_MS = 1_000

/** What a dial needs. */
export interface DialOptions {
  url: URL
  signal: HaltSignal
  clock: Clock
  /** For DNS, TCP and TLS together. */
  timeoutMs: number
  resolve: Resolve
  /** The guard's, which judges the addresses and where the socket went. */
  passage: Passage
  /** Gets places at the addresses, where they are counted. */
  visit?: Visit | undefined
  /** Asked for https only: building one costs milliseconds. */
  secureContext(): SecureContext
}

/** A connection that is ready for the first byte. */
export interface Dialled {
  socket: Socket
  /** The TCP socket under a TLS one; the same socket for http. */
  raw: Socket
  /** That it is connected to, in the one spelling of that address. */
  address: string
  /** The version of the policy that let it through. */
  policyVersion: string
  /** Milliseconds for DNS, TCP and TLS. */
  connectMs: number
}

/**
 * One connection being opened: resolve, judge, connect, check, secure. An abort or the timeout ends it at once, gives the
 * name's lookup up and destroys the socket.
 */
export class Dial {
  /** Rejects with an `EgressError`, or with `signal.reason`. */
  readonly done: Promise<Dialled>
  readonly #options: DialOptions
  readonly #startedAt: number
  readonly #timer: TimerHandle
  readonly #settle: PromiseWithResolvers<Dialled> = Promise.withResolvers()
  /** Aborts when the dial is over: nobody wants the name's addresses any more. */
  readonly #lookup = new AbortController()
  #raw: Socket | undefined
  #socket: Socket | undefined
  #over = false

  constructor(options: DialOptions) {
    this.#options = options
    this.#startedAt = options.clock.now()
    this.done = this.#settle.promise
    this.#timer = options.clock.after(options.timeoutMs, () => this.cancel(new EgressError('connect_timeout')))
    options.signal.addEventListener('abort', this)
    if (options.signal.aborted) this.handleEvent()
    else void this.#open()
  }

  /** Resolves when the socket, if there was one, has closed; for a dial that has failed. */
  closed(): Promise<void> {
    const raw = this.#raw
    return new Promise((resolve) => (raw && !raw.closed ? raw.once('close', () => resolve()) : resolve()))
  }

  /** The signal's abort. */
  handleEvent(): void {
    this.cancel(this.#options.signal.reason)
  }

  /** Give up: `done` rejects with the reason and the socket is destroyed. Nothing happens when the dial is over. */
  cancel(reason: unknown): void {
    if (this.#over) return
    this.#finish()
    this.#socket?.destroy()
    this.#raw?.destroy()
    this.#settle.reject(reason)
  }

  async #open(): Promise<void> {
    const { resolve, passage } = this.#options
    try {
      const addresses = await resolve(passage.target.host, this.#lookup.signal)
      if (addresses.length === 0) throw new EgressError('dns_failed')
      if (this.#over) return
      const open = passage.judge(addresses)
      if (this.#options.visit) void this.#connectInTurn(open, this.#options.visit)
      else this.#connect(open)
    } catch (error) {
      const isOurs = error instanceof EgressError || error instanceof EgressDeniedError
      this.cancel(isOurs ? error : new EgressError('dns_failed', error))
    }
  }

  /** To those addresses where there is a place; to the others when none of them can be reached. */
  async #connectInTurn(candidates: LookupAddress[], visit: Visit): Promise<void> {
    const { passage } = this.#options
    const placeOf = ({ address }: LookupAddress) => passage.policy.canonical(address)
    try {
      const admitted = await visit.atSome(candidates.map(placeOf))
      if (this.#over) return
      // It may have waited long, and the policy may be another by now.
      const open = passage.judge(candidates)
      const { here = [], later = [] } = Object.groupBy(open, (one) => (admitted.has(placeOf(one)) ? 'here' : 'later'))
      if (here.length === 0) void this.#connectLater(later, visit)
      else this.#connect(here, later.length > 0 ? () => void this.#connectLater(later, visit) : undefined)
    } catch (error) {
      this.cancel(error)
    }
  }

  async #connectLater(open: LookupAddress[], visit: Visit): Promise<void> {
    await this.closed()
    visit.leaveAddresses()
    if (!this.#over) await this.#connectInTurn(open, visit)
  }

  /** @param orElse - What to do instead of failing when none of the addresses can be reached. */
  #connect(addresses: LookupAddress[], orElse?: () => void): void {
    let otherwise = orElse
    const raw = connectTcp({
      ...this.#options.passage.target,
      lookup: answering(addresses),
      autoSelectFamily: true,
      autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
      noDelay: true,
      keepAlive: true,
    })
    this.#raw = raw
    raw.once('connect', () => {
      otherwise = undefined
      this.#connected(raw)
    })
    raw.on('error', (cause) => {
      if (otherwise) otherwise()
      else this.cancel(new EgressError(this.#socket ? 'tls_failed' : 'connect_failed', cause))
    })
  }

  #connected(raw: Socket): void {
    const address = this.#checked(raw)
    if (address === undefined) return
    const { url, passage, visit } = this.#options
    visit?.leaveAddresses(address)
    if (url.protocol === 'https:') this.#secure(raw, passage.target.host)
    else this.#succeed(raw, raw, address)
  }

  /** Where the socket is, in the one spelling of that, when it may be there; else the dial is over. */
  #checked({ remoteAddress }: Socket): string | undefined {
    if (this.#over) return undefined
    const { passage } = this.#options
    try {
      // It has no address when it is closed again already.
      if (remoteAddress === undefined) throw new EgressError('connect_failed')
      passage.recheck(remoteAddress)
      return passage.policy.canonical(remoteAddress)
    } catch (error) {
      this.cancel(error)
      return undefined
    }
  }

  #secure(raw: Socket, host: string): void {
    const socket = connectTls({
      socket: raw,
      host,
      // An address is no server name (RFC 6066, 3); the certificate is then checked against `host`.
      servername: isIP(host) ? '' : host.replace(/\.$/, ''),
      secureContext: this.#options.secureContext(),
      ALPNProtocols: ['http/1.1'],
      rejectUnauthorized: true,
    })
    this.#socket = socket
    socket.once('secureConnect', () => {
      const address = this.#checked(raw)
      if (address !== undefined) this.#succeed(socket, raw, address)
    })
    socket.on('error', (cause) => this.cancel(new EgressError('tls_failed', cause)))
  }

  #succeed(socket: Socket, raw: Socket, address: string): void {
    this.#finish()
    const { clock, passage } = this.#options
    const connectMs = clock.now() - this.#startedAt
    this.#settle.resolve({ socket, raw, address, policyVersion: passage.policy.version, connectMs })
  }

  #finish(): void {
    this.#over = true
    this.#lookup.abort()
    this.#timer.cancel()
    this.#options.signal.removeEventListener('abort', this)
  }
}

/** A lookup that knows its answer: the addresses that were judged, and no others. Node never calls it for a literal address. */
function answering(addresses: LookupAddress[]): LookupFunction {
  return (_host, _options, callback) => callback(null, addresses)
}
