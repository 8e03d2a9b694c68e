import { OverloadedError } from '../../errors.ts'
import { StoreError } from '../error.ts'
import { type BatchNo, JOBS_PER_BATCH } from '../store.ts'
import type { Connection } from './connection.ts'
import { KEYS } from './keys.ts'
import { countOf } from './replies.ts'
import { Script } from './script.ts'

/** Numbers that are fetched at once. What a process has left of them when it ends is never used. */
const BLOCK = 10_000

/** KEYS: the counter. ARGV: a number that the block must be above, and its size. Returns the last of the block. */
const TAKE = new Script(`
local last = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), tonumber(ARGV[1])) + tonumber(ARGV[2])
redis.call('SET', KEYS[1], string.format('%d', last))
return string.format('%d', last)
`)

/** The numbers of new batches, out of blocks that no other process has. */
export class Numbers {
  readonly #connection: Connection
  #last: BatchNo
  #end: BatchNo
  /** The block to go on with. */
  #next: { first: BatchNo; end: BatchNo } | null = null
  #fetching: Promise<void> | null = null

  private constructor(connection: Connection, { first, end }: { first: BatchNo; end: BatchNo }) {
    this.#connection = connection
    this.#last = first - 1
    this.#end = end
  }

  static async open(connection: Connection): Promise<Numbers> {
    return new Numbers(connection, await takeBlock(connection, 0))
  }

  /** Everything that was given is up to it; everything that will be is above. */
  get last(): BatchNo {
    return this.#last
  }

  /** @throws {OverloadedError} when the block is used up and Redis gave no other. */
  next(): BatchNo {
    if (this.#last >= this.#end) {
      if (this.#next === null) {
        this.#prefetch()
        throw new OverloadedError('The store has no numbers for new batches now; nothing was accepted.', 5)
      }
      this.#last = this.#next.first - 1
      this.#end = this.#next.end
      this.#next = null
    }
    if (this.#end - this.#last <= BLOCK / 2 && this.#next === null) this.#prefetch()
    return ++this.#last
  }

  /** Give only numbers above `no` from now on. */
  async goAbove(no: BatchNo): Promise<void> {
    if (this.#last >= no) return
    const { first, end } = await takeBlock(this.#connection, no)
    // Another call may have gone further meanwhile.
    if (this.#last >= first) return
    this.#last = first - 1
    this.#end = end
    this.#next = null
  }

  #prefetch(): void {
    this.#fetching ??= takeBlock(this.#connection, this.#end)
      .then((block) => {
        if (block.first > this.#end) this.#next = block
      })
      // The next number asks again.
      .catch(() => undefined)
      .finally(() => {
        this.#fetching = null
      })
  }
}

async function takeBlock(connection: Connection, above: BatchNo): Promise<{ first: BatchNo; end: BatchNo }> {
  const end = countOf(await connection.run(TAKE, [KEYS.numbers], [above, BLOCK]), KEYS.numbers)
  if (!Number.isSafeInteger((end + 1) * JOBS_PER_BATCH)) throw new StoreError(`${KEYS.numbers} is too high: ${end}.`)
  return { first: end - BLOCK + 1, end }
}
