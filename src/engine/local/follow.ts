import type { Clock } from '../../clock.ts'
import { Job } from '../../core/states.ts'
import { jobIdOf } from '../../ids.ts'
import { type BatchRow, JOBS_PER_BATCH, type LogPage, type Store } from '../../store/store.ts'
import { charsOf, type EventsQuery, type JsonText, type Pages, type ReturnWhen, type StreamEvent } from '../engine.ts'
import { bytesOfLog, PAGE_EVENTS, Streams } from '../streams.ts'
import type { LiveBatch } from './live-batch.ts'
import type { Runtime } from './runtime.ts'

/** Jobs in one reading of a batch's. */
const PAGE_JOBS = 500

/** About what the id of a job takes in an answer. */
const ID_BYTES = 40

const NONE: ReadonlySet<number> = new Set()

/** Watches batches without touching them: what it does, and when it stops, changes no job. */
export class Follower {
  readonly #runtime: Runtime
  readonly #store: Store
  readonly #clock: Clock
  readonly #shutdown: AbortSignal
  readonly #streams: Streams

  /** `shutdown` aborts when the service stops: every stream then ends with its last line. */
  constructor(options: { runtime: Runtime; store: Store; clock: Clock; shutdown: AbortSignal }) {
    this.#runtime = options.runtime
    this.#store = options.store
    this.#clock = options.clock
    this.#shutdown = options.shutdown
    this.#streams = new Streams(options)
  }

  /** Resolves when the batch's outcome is known and on disk, or at the timeout, or when a signal aborts. */
  async untilSettled(live: LiveBatch, timeoutMs: number, signal?: AbortSignal): Promise<void> {
    await this.#until(live, () => live.core.outcome !== null, timeoutMs, { signal })
    await this.#recorded()
  }

  /** asyncio.wait over the jobs that the batch has now; resolves at the condition, at the timeout, or when a signal aborts. */
  async wait(live: LiveBatch, returnWhen: ReturnWhen, timeoutMs: number, signal?: AbortSignal): Promise<void> {
    const { total } = live.core
    await this.#until(live, () => isMet(live, total, returnWhen), timeoutMs, { signal, watches: true })
    await this.#recorded()
  }

  /** What ended the wait is on disk, or, while the store cannot write, not: then what is read is what it was before. */
  async #recorded(): Promise<void> {
    await this.#runtime.journal.recorded().catch(() => undefined)
  }

  /** The jobs that have ended and the ids of those that have not, as one moment on disk has them. */
  async split(
    row: BatchRow,
    total: number,
    pages: Pages,
  ): Promise<{ done: AsyncIterable<JsonText[]>; pending: string[] }> {
    const all = await pages.page(
      () => this.#store.pending(row.no),
      ({ length }) => length * ID_BYTES,
    )
    const indexes = all.filter((index) => index < total)
    const pending = new Set(indexes)
    return { done: this.jobs(row, pages, total, pending), pending: indexes.map((index) => jobIdOf(row.id, index)) }
  }

  /** The log after `query.after`, then live. */
  events(row: BatchRow, query: EventsQuery, pages: Pages): AsyncGenerator<StreamEvent[]> {
    return this.#streams.counted(this.#follow(row, query, pages))
  }

  /** Resolves when every stream has had its last line; a reader that does not read holds that up. */
  ended(): Promise<void> {
    return this.#streams.ended()
  }

  async *#follow(row: BatchRow, query: EventsQuery, pages: Pages): AsyncGenerator<StreamEvent[]> {
    const deadline = this.#streams.deadlineOf(query)
    let { after } = query
    while (!query.signal?.aborted) {
      const wasLive = this.#runtime.find(row.tenantId, row.id) !== null
      const read = () => this.#page(row, after, query.only === 'completions')
      const page = await pages.page(read, bytesOfLog)
      if (page.events.length > 0) yield page.events
      if (page.events.at(-1)?.type === 'batch.drained') return
      const moved = page.after > after
      after = page.after
      if (moved) continue
      // Not live and nothing left to read: the batch was deleted under the stream.
      if (!wasLive) return
      const last = await this.#more(row, after, deadline, query.signal)
      if (last !== null) return yield [last]
    }
  }

  /** Waits for an event after `after`; a line that ends the stream instead, when there will be none in time. */
  async #more(row: BatchRow, after: number, deadline: number, signal?: AbortSignal): Promise<StreamEvent | null> {
    const left = this.#streams.left(deadline)
    if (left === 0) return await this.#streams.lastLine(row)
    const live = this.#runtime.find(row.tenantId, row.id)
    if (live !== null) await this.#until(live, () => live.publishedSeq > after, left, { signal, watches: true })
    return null
  }

  #page(row: BatchRow, after: number, completionsOnly: boolean): Promise<LogPage> {
    const read = () => this.#store.log(row.no, { after, limit: PAGE_EVENTS, completionsOnly })
    const live = this.#runtime.find(row.tenantId, row.id)
    return live === null ? read() : live.page(`${after} ${completionsOnly}`, read)
  }

  /** The first `total` jobs of a batch in input order, a page at a time, without those in `left`. */
  async *jobs(
    row: BatchRow,
    pages: Pages,
    total = JOBS_PER_BATCH,
    left: ReadonlySet<number> = NONE,
  ): AsyncGenerator<JsonText[]> {
    let from: number | null = 0
    while (from !== null && from < total) {
      let start: number = from
      while (left.has(start)) start++
      if (start >= total) return
      const limit = Math.min(PAGE_JOBS, total - start)
      const read = () => this.#store.jobs(row.no, { from: start, limit })
      const page = await pages.page(read, ({ data }) => charsOf(data))
      const jobs = page.data.filter((_job, i) => !left.has(start + i))
      if (jobs.length > 0) yield jobs
      from = page.next
    }
  }

  /**
   * Resolves when `condition` holds, now or after a commit, at the timeout, or when a signal aborts.
   * @param options.watches - The end of any job may make it hold. Default: that of the batch alone.
   */
  #until(
    live: LiveBatch,
    condition: () => boolean,
    timeoutMs: number,
    options: { signal?: AbortSignal | undefined; watches?: boolean },
  ): Promise<void> {
    const { signal, watches } = options
    if (condition() || signal?.aborted || this.#shutdown.aborted || timeoutMs <= 0) return Promise.resolve()
    return new Promise((resolve) => {
      const dueAt = this.#clock.now() + timeoutMs
      const finish = () => {
        stopListening()
        timer.cancel()
        signal?.removeEventListener('abort', finish)
        stayOn()
        resolve()
      }
      const onTimer = () => {
        const left = dueAt - this.#clock.now()
        if (left <= 0) finish()
        else timer = this.#clock.after(Math.ceil(left), onTimer)
      }
      let timer = this.#clock.after(Math.ceil(Math.min(timeoutMs, 2 ** 31 - 1)), onTimer)
      const stayOn = this.#streams.onShutdown(finish)
      const stopListening = live.onPublish(() => (condition() || live.tenant.deleted) && finish(), watches)
      signal?.addEventListener('abort', finish, { once: true })
    })
  }
}

/** Whether a wait over the first `total` jobs of a batch is over. */
function isMet({ core }: LiveBatch, total: number, returnWhen: ReturnWhen): boolean {
  const counts = core.total === total ? core.counts : countsOf(core.states.subarray(0, total))
  const failed = counts[Job.failed] + counts[Job.timedOut]
  const ended = counts[Job.succeeded] + counts[Job.cancelled] + failed
  if (ended === total) return true
  return (returnWhen === 'FIRST_COMPLETED' && ended > 0) || (returnWhen === 'FIRST_EXCEPTION' && failed > 0)
}

function countsOf(states: Uint8Array): Int32Array {
  const counts = new Int32Array(7)
  for (const state of states) counts[state]++
  return counts
}
