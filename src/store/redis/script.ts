import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'

/** What a command takes. */
export type Argument = string | number

/** A Lua script that Redis knows by its digest: it is given once, and once more after every restart. All its keys are of one slot. */
export class Script<T = unknown> {
  readonly source: string
  readonly sha: string

  constructor(source: string) {
    this.source = source
    this.sha = createHash('sha1').update(source).digest('hex')
  }

  /** @throws what the client says. */
  async run(redis: Redis, keys: readonly string[], args: readonly Argument[]): Promise<T> {
    const rest = [keys.length, ...keys, ...args]
    const answer = await redis.call('EVALSHA', [this.sha, ...rest]).catch((error: unknown) => {
      if (!isUnknown(error)) throw error
      return redis.call('EVAL', [this.source, ...rest])
    })
    return answer as T // Its own Lua says what it returns.
  }
}

function isUnknown(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('NOSCRIPT')
}
