import type { Clock } from '../clock.ts'
import { jobIdOf } from '../ids.ts'
import type { BatchRow, LogPage, Store } from '../store/store.ts'
import type { StreamEvent } from './engine.ts'

/** Events in one reading of the log. */
export const PAGE_EVENTS = 500

/** The streams of batches: how many are open, when they end though their batch goes on, and their last line then. */
export class Streams {
  readonly #store: Pick<Store, 'pending'>
  readonly #clock: Clock
  readonly #shutdown: AbortSignal
  readonly #told = new Set<() => void>()
  #open = 0
  #allEnded: (() => void)[] = []

  /** `shutdown` aborts when the service stops: every stream then ends with its last line. */
  constructor(options: { store: Pick<Store, 'pending'>; clock: Clock; shutdown: AbortSignal }) {
    this.#store = options.store
    this.#clock = options.clock
    this.#shutdown = options.shutdown
    const tellAll = () => {
      for (const tell of [...this.#told]) tell()
    }
    options.shutdown.addEventListener('abort', tellAll, { once: true })
  }

  /** The same stream, which counts as open from its first reading until it ends or is given up. */
  async *counted<T>(stream: AsyncIterable<T>): AsyncGenerator<T> {
    this.#open++
    try {
      yield* stream
    } finally {
      this.#open--
      if (this.#open === 0) for (const done of this.#allEnded.splice(0)) done()
    }
  }

  /**
   * Calls `tell` when the service stops, if it has not yet; returns how to take that back. Each wait of ten thousand streams asks for it: as listeners of
   * the signal itself they would be looked for one by one.
   */
  onShutdown(tell: () => void): () => void {
    this.#told.add(tell)
    return () => void this.#told.delete(tell)
  }

  /** Resolves when every stream has had its last line; a reader that does not read holds that up. */
  ended(): Promise<void> {
    return this.#open === 0 ? Promise.resolve() : new Promise((resolve) => this.#allEnded.push(resolve))
  }

  /** The instant at which a stream that begins now is over; without a timeout there is none. */
  deadlineOf({ timeoutMs = Number.POSITIVE_INFINITY }: { timeoutMs?: number }): number {
    return this.#clock.now() + timeoutMs
  }

  /** Milliseconds for which a stream may wait for more; 0: its last line is next. */
  left(deadline: number): number {
    return this.#shutdown.aborted ? 0 : Math.max(0, deadline - this.#clock.now())
  }

  /** What a stream ends with while its batch goes on. */
  async lastLine({ no, id }: BatchRow): Promise<StreamEvent> {
    if (this.#shutdown.aborted) return line({ type: 'stream.shutdown', batchId: id })
    const pending = (await this.#store.pending(no)).map((index) => jobIdOf(id, index))
    return line({ type: 'stream.timeout', batchId: id, pending })
  }
}

/** How large a page of the log is, about. */
export function bytesOfLog({ events }: LogPage): number {
  return events.reduce((sum, { json }) => sum + json.length, 0)
}

function line(facts: { type: string; batchId: string; pending?: string[] }): StreamEvent {
  return { seq: null, type: facts.type, json: JSON.stringify(facts) }
}
