/** What one turn of the event loop gives away unless it is said: a few milliseconds' worth of events that are framed and written. */
const PORTION = 1_000

interface Waiting {
  count: number
  go(): void
}

/**
 * Spreads what many would do at the same moment over turns of the event loop, so that whoever else has something to do gets
 * at it in between: in each turn a portion, one after the other of those who wait, one of each tenant in a round.
 */
export class Turns {
  readonly #portion: number
  readonly #lines = new Map<string, Waiting[]>()
  #left: number
  #armed = false

  /** @param options.portion - How much one turn gives away; what goes past it is the turn's last. */
  constructor({ portion = PORTION } = {}) {
    this.#portion = portion
    this.#left = portion
  }

  /** Resolves when it is the turn of `count` more of a tenant, at once while there is something left of this one. */
  take(tenantId: string, count: number): Promise<void> {
    this.#arm()
    if (this.#left <= 0 || this.#lines.has(tenantId)) return this.#wait(tenantId, count)
    this.#left -= count
    return Promise.resolve()
  }

  #wait(tenantId: string, count: number): Promise<void> {
    const line = this.#lines.get(tenantId) ?? []
    this.#lines.set(tenantId, line)
    return new Promise((go) => line.push({ count, go }))
  }

  #arm(): void {
    if (this.#armed) return
    this.#armed = true
    setImmediate(() => this.#next())
  }

  #next(): void {
    this.#armed = false
    this.#left = this.#portion
    for (const [tenantId, line] of this.#lines) {
      if (this.#left <= 0) break
      // Those that have more in line are next again when all others were.
      this.#lines.delete(tenantId)
      const first = line.shift()
      if (line.length > 0) this.#lines.set(tenantId, line)
      this.#left -= first?.count ?? 0
      first?.go()
    }
    if (this.#lines.size > 0) this.#arm()
  }
}
