import { crc32 } from 'node:zlib'
import type { Clock } from '../clock.ts'

/** Failed keys that an address may have in {@link WINDOW_MS}. */
export const MAX_FAILURES = 20

/** Milliseconds in which failures count. */
export const WINDOW_MS = 60_000

/** Addresses, and addresses with good keys, that are remembered; the one that was seen longest ago goes first. */
const MAX_ADDRESSES = 10_000

/** Good keys that are remembered of one address. */
const MAX_GOOD = 64

/**
 * Failed keys by client address: at most {@link MAX_FAILURES} are looked at in any minute, the others are refused unseen. Many
 * clients can share an address, so a key that was good there before is looked at all the same. It is known by a checksum
 * that says nothing of it, and is looked at like any other: what a stranger with the same checksum gains is one look.
 */
export class FailedKeys {
  readonly #clock: Clock
  /** When keys failed, by address, the oldest first. */
  readonly #failures = new Recent<number[]>()
  readonly #good = new Recent<Set<number>>()

  constructor(options: { clock: Clock }) {
    this.#clock = options.clock
  }

  /** Addresses that are remembered. */
  get size(): number {
    return this.#failures.size + this.#good.size
  }

  /** Milliseconds for which a key from this address is not looked at; 0: it is. @param text - The key as it came. */
  blockedFor(address: string, text: string): number {
    const place = placeOf(address)
    const times = this.#failures.get(place)
    if (times === undefined || times.length < MAX_FAILURES || this.#good.get(place)?.has(crc32(text))) return 0
    return Math.max(0, times[0] + WINDOW_MS - this.#clock.now())
  }

  /** A key from this address was no good. */
  failed(address: string, text: string): void {
    const place = placeOf(address)
    const times = this.#failures.get(place) ?? []
    times.push(this.#clock.now())
    this.#failures.set(place, times.slice(-MAX_FAILURES))
    this.#good.get(place)?.delete(crc32(text))
  }

  /** A key from this address was good. */
  succeeded(address: string, text: string): void {
    const place = placeOf(address)
    const good = this.#good.get(place) ?? new Set()
    good.add(crc32(text))
    if (good.size > MAX_GOOD) for (const oldest of good) if (good.delete(oldest)) break
    this.#good.set(place, good)
  }
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
