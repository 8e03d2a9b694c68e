import type { Redis } from 'ioredis'
import { StoreError } from '../error.ts'
import type { Argument, Script } from './script.ts'

/** The caller's client as the store uses it: it says in words what failed, and nothing once it is closed. */
export class Connection {
  readonly redis: Redis
  #closed = false
  #gathering: Redis['stream'] | null = null

  constructor(redis: Redis) {
    this.redis = redis
  }

  /** @throws {StoreError} */
  async call(command: string, ...args: Argument[]): Promise<unknown> {
    this.assertOpen()
    this.#gather()
    try {
      return await this.redis.call(command, args)
    } catch (cause) {
      throw failed(command, cause)
    }
  }

  /** Run a script, which Redis may have forgotten. @throws {StoreError} */
  async run(script: Script, keys: readonly string[], args: readonly Argument[]): Promise<unknown> {
    this.assertOpen()
    this.#gather()
    try {
      return await script.run(this.redis, keys, args)
    } catch (cause) {
      throw failed('EVALSHA', cause)
    }
  }

  /** @throws {StoreError} after `close`. */
  assertOpen(): void {
    if (this.#closed) throw new StoreError('The store is closed.')
  }

  /** What several ask for at once is one write: for a thousand tenants' scripts, each its own costs more than the scripts do. */
  #gather(): void {
    const { stream } = this.redis
    // Without a connection the client refuses by itself.
    if (stream === undefined || this.#gathering === stream) return
    this.#gathering = stream
    stream.cork()
    queueMicrotask(() => {
      stream.uncork()
      if (this.#gathering === stream) this.#gathering = null
    })
  }

  /** Take no more calls; the client is its maker's to close. */
  close(): void {
    this.#closed = true
  }
}

/** Without its cause: a client's error carries the command with all that was to be written. */
function failed(command: string, cause: unknown): StoreError {
  return new StoreError(`Redis, ${command}: ${cause instanceof Error ? cause.message : String(cause)}`)
}
