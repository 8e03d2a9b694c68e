import type { Connection } from './connection.ts'

/**
 * The idle connections: a pool for each key, newest used first. An empty pool is no pool, so the bound on idle connections bounds the pools as
 * well; when it is reached, the pool that was used longest ago loses its oldest.
 */
export class IdlePools {
  readonly #maxIdle: number
  /** In order of use, the least recently used first. No value is empty but that of the newest key. */
  readonly #pools = new Map<string, Connection[]>()
  /** The key that was put last: who fetches from one origin empties its pool and fills it again with each job. */
  #newest: string | undefined
  #size = 0

  constructor({ maxIdle }: { maxIdle: number }) {
    this.#maxIdle = maxIdle
  }

  /** Idle connections in all pools. */
  get size(): number {
    return this.#size
  }

  get pools(): number {
    const newest = this.#newest === undefined ? undefined : this.#pools.get(this.#newest)
    return this.#pools.size - (newest?.length === 0 ? 1 : 0)
  }

  /** The most recently used connection of a key that is usable, out of the pool. */
  take(key: string): Connection | undefined {
    for (;;) {
      const connection = this.#pop(key)
      // One that is being closed leaves by itself.
      if (!connection || connection.usable) return connection
    }
  }

  /** As `take`, of those to one address. */
  takeTo(key: string, address: string): Connection | undefined {
    const connection = this.#pools.get(key)?.findLast((one) => one.usable && one.address === address)
    if (connection) this.remove(connection)
    return connection
  }

  /** The one that `take` would give, left in the pool. */
  peek(key: string): Connection | undefined {
    return this.#pools.get(key)?.findLast((one) => one.usable)
  }

  /** Keep a connection. Returns one that had to make room, to be destroyed. */
  put(connection: Connection): Connection | undefined {
    this.#newestPool(connection.key).push(connection)
    return ++this.#size > this.#maxIdle ? this.#evict() : undefined
  }

  /** Forget a connection that is closed; nothing happens when it is not idle. */
  remove(connection: Connection): void {
    const pool = this.#pools.get(connection.key)
    const at = pool ? pool.indexOf(connection) : -1
    if (!pool || at < 0) return
    pool.splice(at, 1)
    this.#size--
    if (pool.length === 0) this.#dropEmpty(connection.key)
  }

  /** The pool of a key, as the most recently used. */
  #newestPool(key: string): Connection[] {
    const pool = this.#pools.get(key) ?? []
    if (key === this.#newest) return pool
    const old = this.#newest
    this.#newest = key
    if (old !== undefined && this.#pools.get(old)?.length === 0) this.#pools.delete(old)
    this.#pools.delete(key)
    this.#pools.set(key, pool)
    return pool
  }

  #dropEmpty(key: string): void {
    if (key !== this.#newest) this.#pools.delete(key)
  }

  #pop(key: string): Connection | undefined {
    const pool = this.#pools.get(key)
    const connection = pool?.pop()
    if (connection) this.#size--
    if (connection && pool?.length === 0) this.#dropEmpty(key)
    return connection
  }

  #evict(): Connection | undefined {
    for (const [oldest] of this.#pools.values()) {
      this.remove(oldest)
      return oldest
    }
    return undefined
  }
}

/** The keys of pools, of whom the last one asked for is remembered: a batch often has one origin for all of its jobs. */
export class PoolKeys {
  #last = { origin: '', policyVersion: '', tenantId: '', key: '' }

  /** None of the first two has a blank, so two different triples never make the same key. */
  of(origin: string, policyVersion: string, tenantId: string): string {
    const last = this.#last
    if (last.origin === origin && last.policyVersion === policyVersion && last.tenantId === tenantId) return last.key
    const key = `${origin} ${policyVersion} ${tenantId}`
    this.#last = { origin, policyVersion, tenantId, key }
    return key
  }
}
