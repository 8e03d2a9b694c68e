import type { Clock } from '../clock.ts'
import type { HaltSignal } from '../halt.ts'
import { EgressError } from './errors.ts'
import { Places } from './places.ts'

/** The places at all destinations; undefined: any number. */
export class Crowd {
  readonly hosts: Places | undefined
  readonly addresses: Places | undefined

  /** @param caps - Exchanges at once at a host (with its port) and at an address (on all its ports); 0: any number. */
  constructor(caps: { hostConcurrency: number; addressConcurrency: number }) {
    this.hosts = caps.hostConcurrency > 0 ? new Places(caps.hostConcurrency) : undefined
    this.addresses = caps.addressConcurrency > 0 ? new Places(caps.addressConcurrency) : undefined
  }

  /** Whether anything is counted at all. */
  get isCounted(): boolean {
    return this.hosts !== undefined || this.addresses !== undefined
  }
}

/** Whose visit it is, and how long it may stand in line. */
export interface VisitOptions {
  crowd: Crowd
  signal: HaltSignal
  clock: Clock
  timeoutMs: number
}

/**
 * One exchange's stay at its destination: first a place at the host, then one at an address, and never the other way round, so that those
 * who wait never wait for each other. Waits end with the signal, with the deadline that began with the visit, and with `giveUp`.
 */
export class Visit {
  readonly #options: VisitOptions
  readonly #deadline: number
  #host: string | undefined
  readonly #addresses = new Set<string>()
  /** Ends the wait with an error. */
  #giveUp: ((reason: unknown) => void) | undefined
  #over = false

  constructor(options: VisitOptions) {
    this.#options = options
    this.#deadline = options.clock.now() + options.timeoutMs
  }

  /** Milliseconds to the deadline, at least 0. */
  get leftMs(): number {
    return Math.max(0, this.#deadline - this.#options.clock.now())
  }

  /**
   * Get a place at the host. Once a visit.
   * @throws {EgressError} `connect_timeout`; and whatever `giveUp` is given.
   * @throws `signal.reason`
   */
  async atHost(host: string): Promise<void> {
    const { hosts } = this.#options.crowd
    if (hosts === undefined) return
    const admit = (key: string) => {
      this.#host = key
    }
    if (hosts.take(host)) admit(host)
    else await this.#inLine(hosts, [host], admit)
  }

  /**
   * Get a place at each of some addresses where one is free, or else at the first where one gets free. Throws as `atHost`.
   * @returns Those it has a place at now, and may connect to.
   */
  async atSome(addresses: readonly string[]): Promise<ReadonlySet<string>> {
    const { addresses: places } = this.#options.crowd
    if (this.#over) throw new EgressError('connection_lost')
    if (places === undefined) return new Set(addresses)
    const wanted = new Set(addresses)
    const admit = (key: string) => void this.#addresses.add(key)
    for (const address of wanted) if (!this.#addresses.has(address) && places.take(address)) admit(address)
    if (this.#addresses.size === 0) await this.#inLine(places, [...wanted], admit)
    return new Set(this.#addresses)
  }

  /** Give back the places at all addresses but one. */
  leaveAddresses(except?: string): void {
    for (const address of this.#addresses) {
      if (address === except) continue
      this.#addresses.delete(address)
      this.#options.crowd.addresses?.leave(address)
    }
  }

  /** End a wait, if there is one: it rejects with the reason. */
  giveUp(reason: unknown): void {
    this.#giveUp?.(reason)
  }

  /** The exchange has ended, or will not be: give everything back. Only the first call does anything. */
  leave(): void {
    if (this.#over) return
    this.#over = true
    this.giveUp(new EgressError('connection_lost'))
    this.leaveAddresses()
    if (this.#host !== undefined) this.#options.crowd.hosts?.leave(this.#host)
  }

  #inLine(places: Places, keys: readonly string[], admit: (key: string) => void): Promise<void> {
    const { signal, clock } = this.#options
    signal.throwIfAborted()
    return new Promise((resolve, reject) => {
      const stop = () => {
        timer.cancel()
        signal.removeEventListener('abort', aborted)
        this.#giveUp = undefined
      }
      const giveUp = (reason: unknown) => {
        stop()
        leaveLine()
        reject(reason)
      }
      const aborted = { handleEvent: () => giveUp(signal.reason) }
      const timer = clock.after(this.leftMs, () => giveUp(new EgressError('connect_timeout')))
      signal.addEventListener('abort', aborted)
      this.#giveUp = giveUp
      const leaveLine = places.wait(keys, (key) => {
        stop()
        // At once: whoever aborts before the promise is heard of has to find it here.
        admit(key)
        resolve()
      })
    })
  }
}
