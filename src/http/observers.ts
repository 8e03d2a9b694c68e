import type { FastifyReply, FastifyRequest } from 'fastify'
import { TooManyObserversError } from '../errors.ts'

/** Those who only watch: open streams and held answers. There is a bound on them for each tenant. */
export class Observers {
  readonly #closing: AbortSignal
  readonly #limit: number
  readonly #counts = new Map<string, number>()
  readonly #signals = new WeakMap<FastifyReply['raw'], AbortSignal>()
  #size = 0
  #streams = 0

  /**
   * @param options.closing - The server's own: aborts when it closes.
   * @param options.limit - How many a tenant may have at once.
   */
  constructor(options: { closing: AbortSignal; limit: number }) {
    this.#closing = options.closing
    this.#limit = options.limit
  }

  /** Answers held open, streams among them. */
  get size(): number {
    return this.#size
  }

  /** Streams that are open. */
  get streams(): number {
    return this.#streams
  }

  /** The answer is a stream, until it is over. */
  stream({ raw }: Pick<FastifyReply, 'raw'>): void {
    if (raw.destroyed) return
    this.#streams++
    raw.once('close', () => void this.#streams--)
  }

  /**
   * A signal for what only watches: it aborts when the caller is gone, its key is good no more or the server closes, and
   * never touches a job. The request counts until it is answered; asking again for the same one gives the same signal.
   * @throws {TooManyObserversError}
   */
  watch(request: FastifyRequest, reply: FastifyReply): AbortSignal {
    const known = this.#signals.get(reply.raw)
    if (known !== undefined) return known
    const { tenantId } = request
    const count = this.#counts.get(tenantId) ?? 0
    if (count >= this.#limit) throw new TooManyObserversError(this.#limit)
    this.#counts.set(tenantId, count + 1)
    this.#size++
    const gone = new AbortController()
    const left = () => {
      this.#leave(tenantId)
      gone.abort()
    }
    if (reply.raw.destroyed) left()
    else reply.raw.once('close', left)
    const { session } = request
    const signal = AbortSignal.any([gone.signal, this.#closing, ...(session ? [session.signal] : [])])
    this.#signals.set(reply.raw, signal)
    return signal
  }

  #leave(tenantId: string): void {
    this.#size--
    const left = (this.#counts.get(tenantId) ?? 1) - 1
    if (left === 0) this.#counts.delete(tenantId)
    else this.#counts.set(tenantId, left)
  }
}

/** Streams may be silent for longer than an idle connection is kept: a dead peer is found by TCP instead. */
export function keepOpen(request: FastifyRequest): void {
  request.raw.socket.setTimeout(0)
  request.raw.socket.setKeepAlive(true, 30_000)
}
