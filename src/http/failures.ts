import { crc32 } from 'node:zlib'
import { bearerOf, keyIdOf } from '../auth/key.ts'
import type { Clock } from '../clock.ts'

/** Failed keys that an address may have in {@link WINDOW_MS}, each told that it is bad. */
export const MAX_FAILURES = 20

/** Milliseconds in which failures count. */
export const WINDOW_MS = 60_000

/**
 * Of those that come on top, in the same time, and are no key of a tenant's in form: one could be the operator's
 * `GATHERD_ADMIN_KEY`, which can be guessed if it was badly chosen.
 */
export const MAX_EXTRA_FAILURES = 5

/** Addresses that are remembered of each sort; the one that was seen longest ago goes first. */
const MAX_ADDRESSES = 10_000

/**
 * Failed keys by client address: {@link MAX_FAILURES} are answered as such in any minute, whatever is wrong after that is refused
 * with the time to wait. Many clients can share an address, so good keys stay good. What has the form and checksum of a key is
 * always compared: that is one digest, and nobody guesses 256 random bits. Of anything else, {@link MAX_EXTRA_FAILURES} more are
 * looked at, and the admin key where it was good before, known by a checksum that says nothing of it.
 */
export class FailedKeys {
  readonly #clock: Clock
  /** When keys failed, by address, the oldest first. */
  readonly #failures = new Recent<number[]>()
  /** The same of those on top. */
  readonly #extra = new Recent<number[]>()
  readonly #good = new Recent<number>()

  constructor(options: { clock: Clock }) {
    this.#clock = options.clock
  }

  /** Addresses that are remembered. */
  get size(): number {
    return this.#failures.size + this.#extra.size + this.#good.size
  }

  /** Milliseconds for which a bad key from this address is told to wait; 0: it is told that it is bad. */
  blockedFor(address: string): number {
    return this.#waitMs(this.#failures.get(placeOf(address)), MAX_FAILURES)
  }

  /** Whether a key from an address that is blocked is looked at all the same. @param header - `Authorization`, as it came. */
  looksAnyway(address: string, header: string): boolean {
    if (isKeyLike(header)) return true
    const place = placeOf(address)
    return this.#good.get(place) === crc32(header) || this.#waitMs(this.#extra.get(place), MAX_EXTRA_FAILURES) === 0
  }

  /** A key from this address was looked at, and no good. */
  failed(address: string, header: string): void {
    const place = placeOf(address)
    if (this.blockedFor(address) === 0) this.#note(this.#failures, place, MAX_FAILURES)
    else if (!isKeyLike(header)) this.#note(this.#extra, place, MAX_EXTRA_FAILURES)
  }

  /** A key from this address was good. */
  succeeded(address: string, header: string): void {
    if (!isKeyLike(header)) this.#good.set(placeOf(address), crc32(header))
  }

  #note(failures: Recent<number[]>, place: string, max: number): void {
    failures.set(place, [...(failures.get(place) ?? []), this.#clock.now()].slice(-max))
  }

  #waitMs(times: number[] | undefined, max: number): number {
    return times === undefined || times.length < max ? 0 : Math.max(0, times[0] + WINDOW_MS - this.#clock.now())
  }
}

/** A mistyped key, or one of somebody who knows nothing of them, has not its checksum. */
function isKeyLike(header: string): boolean {
  return keyIdOf(bearerOf(header)) !== null
}

/** A map that forgets what was set longest ago. */
class Recent<T> {
  readonly #entries = new Map<string, T>()

  get size(): number {
    return this.#entries.size
  }

  get(key: string): T | undefined {
    return this.#entries.get(key)
  }

  set(key: string, value: T): void {
    this.#entries.delete(key)
    this.#entries.set(key, value)
    if (this.#entries.size <= MAX_ADDRESSES) return
    for (const oldest of this.#entries.keys()) {
      this.#entries.delete(oldest)
      return
    }
  }
}

/** What counts as one client: an IPv4 address, or the /64 of an IPv6 one, of which whoever has one has 2^64. */
export function placeOf(address: string): string {
  const [text = ''] = address.slice(0, 64).split('%', 1)
  if (!text.includes(':')) return text
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(text)?.[1]
  if (mapped !== undefined) return mapped
  const [head = '', tail] = text.toLowerCase().split('::', 2)
  const groups = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  while (tail !== undefined && groups.length + after.length < 8) groups.push('0')
  return `${[...groups, ...after].slice(0, 4).map(shortest).join(':')}::/64`
}

/** `00ab` is `ab`. */
function shortest(group: string): string {
  return group.replace(/^0+(?=.)/, '')
}
