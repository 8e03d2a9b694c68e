import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'

/** A Lua script that Redis is given once, and once more after every restart. */
export class Script<T> {
  readonly #lua: string
  readonly #sha: string

  constructor(lua: string) {
    this.#lua = lua
    this.#sha = createHash('sha1').update(lua).digest('hex')
  }

  /** @param keys - All that it touches, in one slot. */
  async run(redis: Redis, keys: string[], args: (string | number)[]): Promise<T> {
    try {
      return (await redis.evalsha(this.#sha, keys.length, ...keys, ...args)) as T // Its own Lua says what it returns.
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error
      return (await redis.eval(this.#lua, keys.length, ...keys, ...args)) as T // As above.
    }
  }
}
