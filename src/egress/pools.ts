import type { Connection } from './connection.ts'

/**
 * The idle connections: a pool for each key, newest used first. An empty pool is no pool, so the bound on idle connections bounds the pools as
 * well; when it is reached, the pool that was used longest ago loses its oldest.
 */
export class IdlePools {
  readonly #maxIdle: number
  /** In order of use, the least recently used first. No value is empty. */
  readonly #pools = new Map<string, Connection[]>()
  #size = 0

  constructor({ maxIdle }: { maxIdle: number }) {
    this.#maxIdle = maxIdle
  }

  /** Idle connections in all pools. */
  get size(): number {
    return this.#size
  }

  get pools(): number {
    return this.#pools.size
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
    const pool = this.#pools.get(connection.key) ?? []
    pool.push(connection)
    this.#pools.delete(connection.key)
    this.#pools.set(connection.key, pool)
    return ++this.#size > this.#maxIdle ? this.#evict() : undefined
  }

  /** Forget a connection that is closed; nothing happens when it is not idle. */
  remove(connection: Connection): void {
    const pool = this.#pools.get(connection.key)
    const at = pool ? pool.indexOf(connection) : -1
    if (!pool || at < 0) return
    pool.splice(at, 1)
    this.#size--
    if (pool.length === 0) this.#pools.delete(connection.key)
  }

  #pop(key: string): Connection | undefined {
    const pool = this.#pools.get(key)
    const connection = pool?.pop()
    if (connection) this.#size--
    if (pool?.length === 0) this.#pools.delete(key)
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
