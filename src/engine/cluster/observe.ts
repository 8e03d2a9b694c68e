import type { Clock } from '../../clock.ts'
import type { BatchRow, LogPage, Store } from '../../store/store.ts'
import { AT_ONCE, type BatchView, type EventsQuery, type Pages, type ReturnWhen, type StreamEvent } from '../engine.ts'
import { bytesOfLog, PAGE_EVENTS, Streams } from '../streams.ts'
import { rowView } from '../views.ts'
import { isAway } from './away.ts'

/** A message may be lost when a connection is: the record is looked at again after this long without one. */
const LOOK_AGAIN_MS = 2_000

/** Between two tries to read while Redis is away. */
const AWAY_MS = 250

/** Tells of commits. */
export interface Watches {
  /**
   * Call `listener` after each commit that showed something new of a batch, and after a gap in which one may have been
   * missed. Resolves with what ends that, once nothing that is committed from now on is missed.
   */
  watch(batchId: string, listener: () => void): Promise<() => void>
}

/**
 * Watches batches that may run anywhere: it reads the record, and is told of commits. What it does, and when it stops,
 * changes no job; and where a batch runs, or whether that changes, makes no difference to it.
 */
export class Observer {
  readonly #store: Store
  readonly #watches: Watches
  readonly #clock: Clock
  readonly #shutdown: AbortSignal
  readonly #streams: Streams
  readonly #reading = new Map<string, Promise<unknown>>()

  /** `shutdown` aborts when the service stops: every stream then ends with its last line. */
  constructor(options: { store: Store; watches: Watches; clock: Clock; shutdown: AbortSignal }) {
    this.#store = options.store
    this.#watches = options.watches
    this.#clock = options.clock
    this.#shutdown = options.shutdown
    this.#streams = new Streams(options)
  }

  /** Resolves with the batch as soon as its outcome is on record, or as it is at the timeout or when a signal aborts. */
  async untilSettled(first: BatchRow, timeoutMs: number, signal?: AbortSignal): Promise<BatchView> {
    let row = first
    await this.#until(row, timeoutMs, signal, async () => {
      row = (await this.#row(row)) ?? row
      return row.settledAt !== null
    })
    return rowView(row)
  }

  /** asyncio.wait over the first `total` jobs; resolves at the condition, at the timeout, or when a signal aborts. */
  async wait(
    row: BatchRow,
    query: { returnWhen: ReturnWhen; timeoutMs: number; signal?: AbortSignal },
    total: number,
  ): Promise<void> {
    await this.#until(row, query.timeoutMs, query.signal, () => this.#isMet(row, query.returnWhen, total))
  }

  async #isMet({ no }: BatchRow, returnWhen: ReturnWhen, total: number): Promise<boolean> {
    const pending = (await this.#store.pending(no)).filter((index) => index < total)
    if (pending.length === 0) return true
    if (returnWhen === 'FIRST_COMPLETED') return pending.length < total
    if (returnWhen === 'ALL_COMPLETED') return false
    const { data } = await this.#store.jobs(no, { from: 0, limit: 1, states: ['failed', 'timed_out'] })
    return data.some((job) => Number(/"index":(\d+)/.exec(job)?.[1]) < total)
  }

  /** The log after `query.after`, then live. */
  events(row: BatchRow, query: EventsQuery, pages: Pages = AT_ONCE): AsyncGenerator<StreamEvent[]> {
    return this.#streams.counted(this.#watched(row, query, pages))
  }

  /** Resolves when every stream has had its last line; a reader that does not read holds that up. */
  ended(): Promise<void> {
    return this.#streams.ended()
  }

  async *#watched(row: BatchRow, query: EventsQuery, pages: Pages): AsyncGenerator<StreamEvent[]> {
    const news = new News()
    const stop = await this.#watches.watch(row.id, () => news.tell())
    try {
      yield* this.#follow(row, query, news, pages)
    } finally {
      stop()
    }
  }

  async *#follow(row: BatchRow, query: EventsQuery, news: News, pages: Pages): AsyncGenerator<StreamEvent[]> {
    const deadline = this.#streams.deadlineOf(query)
    const completionsOnly = query.only === 'completions'
    let { after } = query
    while (!query.signal?.aborted) {
      news.clear()
      const page = await this.#whenBack(
        () => pages.page(() => this.#page(row.no, { after, limit: PAGE_EVENTS, completionsOnly }), bytesOfLog),
        query.signal,
      )
      if (page === null) return
      if (page.events.length > 0) yield page.events
      if (page.events.at(-1)?.type === 'batch.drained') return
      const moved = page.after > after
      after = page.after
      if (moved) continue
      // Nothing left to read, and nothing to come: the batch was deleted under the stream, or drained with an event that is not shown.
      if ((await this.#whenBack(() => this.#isOver(row, after), query.signal)) !== false) return
      const last = await this.#more(row, deadline, news, query.signal)
      if (last !== null) return yield [last]
    }
  }

  async #isOver(known: BatchRow, after: number): Promise<boolean> {
    const row = await this.#row(known)
    return row === null || (row.drainedAt !== null && row.seq <= after)
  }

  #row({ tenantId, id }: BatchRow): Promise<BatchRow | null> {
    return this.#shared(`batch ${tenantId} ${id}`, () => this.#store.batch(tenantId, id))
  }

  /** Read, again and again while Redis is away: a stream goes on when it is back. Null when a signal aborted first. */
  async #whenBack<T>(read: () => Promise<T>, signal: AbortSignal | undefined): Promise<T | null> {
    const never = new News()
    for (;;) {
      try {
        return await read()
      } catch (error) {
        if (!isAway(error)) throw error
      }
      await this.#wait(never, AWAY_MS, signal)
      if (signal?.aborted || this.#shutdown.aborted) return null
    }
  }

  /** Waits for news; a line that ends the stream instead, when there will be none in time. */
  async #more(row: BatchRow, deadline: number, news: News, signal?: AbortSignal): Promise<StreamEvent | null> {
    const left = this.#streams.left(deadline)
    if (left === 0) return await this.#streams.lastLine(row)
    await this.#wait(news, Math.min(left, LOOK_AGAIN_MS), signal)
    return null
  }

  /** Resolves when `condition` is true of the record, at the timeout, or when a signal aborts. */
  async #until(
    row: BatchRow,
    timeoutMs: number,
    signal: AbortSignal | undefined,
    condition: () => Promise<boolean>,
  ): Promise<void> {
    if (row.drainedAt !== null || timeoutMs <= 0) return void (await condition())
    const deadline = this.#clock.now() + timeoutMs
    const news = new News()
    const stop = await this.#watches.watch(row.id, () => news.tell())
    try {
      while (!signal?.aborted && !this.#shutdown.aborted) {
        news.clear()
        // While Redis is away nothing is known of it; the caller is told when its time is over.
        if (await condition().catch(falseWhileAway)) return
        const left = deadline - this.#clock.now()
        if (left <= 0) return
        await this.#wait(news, Math.min(left, LOOK_AGAIN_MS), signal)
      }
    } finally {
      stop()
    }
  }

  /** Resolves when there is news, after `timeoutMs`, or when a signal aborts. */
  #wait(news: News, timeoutMs: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const finish = () => {
        timer.cancel()
        signal?.removeEventListener('abort', finish)
        stayOn()
        resolve()
      }
      const timer = this.#clock.after(Math.ceil(timeoutMs), finish)
      const stayOn = this.#streams.onShutdown(finish)
      signal?.addEventListener('abort', finish, { once: true })
      void news.told().then(finish)
    })
  }

  /** One reading of a page of the log for all who ask for the same one at the same time. */
  #page(no: number, query: { after: number; limit: number; completionsOnly: boolean }): Promise<LogPage> {
    return this.#shared(`page ${no} ${query.after} ${query.completionsOnly}`, () => this.#store.log(no, query))
  }

  #shared<T>(key: string, read: () => Promise<T>): Promise<T> {
    // The key says what is read.
    let reading = this.#reading.get(key) as Promise<T> | undefined
    if (reading === undefined) {
      reading = read().finally(() => this.#reading.delete(key))
      this.#reading.set(key, reading)
    }
    return reading
  }
}

function falseWhileAway(error: unknown): false {
  if (isAway(error)) return false
  throw error
}

/** That something happened since it was last looked at. */
class News {
  #told = Promise.withResolvers<void>()

  tell(): void {
    this.#told.resolve()
  }

  clear(): void {
    this.#told = Promise.withResolvers<void>()
  }

  told(): Promise<void> {
    return this.#told.promise
  }
}
