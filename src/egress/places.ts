/** Who waits for a place. */
interface Ticket {
  keys: readonly string[]
  admit: (key: string) => void
}

/** A destination that somebody is at; `line` in order of arrival, and only while all places are taken. */
interface Destination {
  held: number
  line: Set<Ticket>
}

/**
 * The places at destinations, so many at each; who comes when all are taken waits in line. A destination that nobody is at, and nobody
 * waits for, is not kept.
 */
export class Places {
  readonly #cap: number
  readonly #at = new Map<string, Destination>()
  #held = 0
  readonly #waiting = new Set<Ticket>()

  /** @param cap - Places at each destination, at least 1. */
  constructor(cap: number) {
    this.#cap = cap
  }

  /** Over all destinations: places taken, who waits, and destinations that are known. */
  get stats(): { held: number; waiting: number; destinations: number } {
    return { held: this.#held, waiting: this.#waiting.size, destinations: this.#at.size }
  }

  /** Take a place, if one is free. */
  take(key: string): boolean {
    const at = this.#get(key)
    if (at.held >= this.#cap) return false
    at.held++
    this.#held++
    return true
  }

  /**
   * Stand in line at each of some destinations, none of which has a free place. `admit` is called once, with the one of them at which
   * a place was free first: it is taken then.
   *
   * @returns Leaves the lines; nothing happens after `admit`.
   */
  wait(keys: readonly string[], admit: (key: string) => void): () => void {
    const ticket = { keys, admit }
    for (const key of keys) this.#get(key).line.add(ticket)
    this.#waiting.add(ticket)
    return () => this.#remove(ticket)
  }

  /** Give a place back: the first in line has it then. */
  leave(key: string): void {
    const at = this.#get(key)
    const [next] = at.line
    if (next === undefined) {
      this.#held--
      if (--at.held === 0) this.#at.delete(key)
      return
    }
    this.#remove(next)
    next.admit(key)
  }

  #remove(ticket: Ticket): void {
    this.#waiting.delete(ticket)
    for (const key of ticket.keys) this.#at.get(key)?.line.delete(ticket)
  }

  #get(key: string): Destination {
    const known = this.#at.get(key)
    if (known !== undefined) return known
    const at = { held: 0, line: new Set<Ticket>() }
    this.#at.set(key, at)
    return at
  }
}
