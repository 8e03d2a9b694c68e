import type { LogEntry } from '../../core/events.ts'
import type { JobStateName } from '../../core/states.ts'
import type { JsonText, StreamEvent } from '../../engine/engine.ts'
import { unpackEntries } from '../entries.ts'
import { StoreError } from '../error.ts'
import { eventText, isCompletion } from '../render.ts'
import type { BatchNo, JobPage, LogPage } from '../store.ts'
import type { Connection } from './connection.ts'
import { batchKey } from './keys.ts'
import { countOf, foreign, listOf, textOf, textOrNull } from './replies.ts'
import type { Views } from './views.ts'

/** About how many characters a page may hold; the event that goes past it is the page's last. */
const PAGE_CHARS = 1_048_576

/** Rows of a log that are read at once. */
const ROWS = 100

/** Events whose jobs are read at once. */
const AHEAD = 250

/** One of the events that an entry stands for. */
interface Event {
  entry: LogEntry
  offset: number
}

/** An event with the view of the job that it ends, else null. */
type Shown = Event & { job: JsonText | null }

/** Reads the logs of batches. */
export class Logs {
  readonly #connection: Connection
  readonly #views: Views

  constructor(connection: Connection, views: Views) {
    this.#connection = connection
    this.#views = views
  }

  /** See `Store.log`. */
  async page(
    tenantId: string,
    no: BatchNo,
    query: { after: number; limit: number; completionsOnly: boolean },
  ): Promise<LogPage> {
    const page: LogPage = { events: [], after: query.after }
    const id = textOrNull(await this.#connection.call('HGET', batchKey(tenantId, no), 'i'), 'the id of a batch')
    if (id === null) return page
    let chars = 0
    for await (const { entry, offset, job } of this.#shown(tenantId, no, query.after, query.limit, isCompletion)) {
      if (page.events.length === query.limit || chars >= PAGE_CHARS) break
      page.after = entry.seq + offset
      if (query.completionsOnly && job === null && entry.type !== 'batch.drained') continue
      const event: StreamEvent = { seq: page.after, type: entry.type, json: eventText(id, entry, offset, job) }
      chars += event.json.length
      page.events.push(event)
    }
    return page
  }

  /** See `Store.completions`. */
  async completions(
    tenantId: string,
    no: BatchNo,
    query: { from: number; limit: number; state?: JobStateName },
  ): Promise<JobPage> {
    const page: JobPage = { data: [], next: null }
    const wanted = query.state === undefined ? isCompletion : (type: string) => type === `job.${query.state}`
    let chars = 0
    let after = query.from
    for await (const { entry, offset, job } of this.#shown(tenantId, no, query.from, query.limit, wanted)) {
      if (job === null) continue
      if (page.data.length === query.limit || chars >= PAGE_CHARS) {
        page.next = after
        break
      }
      after = entry.seq + offset
      chars += job.length
      page.data.push(job)
    }
    return page
  }

  /**
   * The entries from the row on that has the event after number `after`.
   * @throws {StoreError} when one is missing between two that are there.
   */
  async *entries(tenantId: string, no: BatchNo, after: number): AsyncGenerator<LogEntry[]> {
    const key = `${batchKey(tenantId, no)}:l`
    // In this order: rows come in order, so what is written between the two reads is found by the second or follows them both.
    const [rest, first] = await Promise.all([
      this.#connection.call('XRANGE', key, after + 2, '+', 'COUNT', ROWS),
      this.#connection.call('XREVRANGE', key, after + 1, '-', 'COUNT', 1),
    ])
    // A log begins with event 1: without a row up to here it is gone, if it was there for the first read.
    if (listOf(first, key).length === 0) return
    let next: number | null = null
    for (let rows = [...listOf(first, key), ...listOf(rest, key)]; rows.length > 0; ) {
      const unpacked = rows.map((row) => unpackRow(row, key))
      next = assertWhole(unpacked, next, key)
      yield unpacked.flat()
      const last = unpacked[unpacked.length - 1][0].seq
      rows = listOf(await this.#connection.call('XRANGE', key, last + 1, '+', 'COUNT', ROWS), key)
    }
  }

  /** The events after number `after`, those whose type is `wanted` with their jobs. */
  async *#shown(
    tenantId: string,
    no: BatchNo,
    after: number,
    limit: number,
    wanted: (type: string) => boolean,
  ): AsyncGenerator<Shown> {
    const ahead = Math.min(AHEAD, limit + 1)
    for await (const entries of this.entries(tenantId, no, after)) {
      let events: Event[] = []
      for (const event of flat(entries, after)) {
        events.push(event)
        if (events.length < ahead) continue
        yield* this.#withJobs(tenantId, no, events, wanted)
        events = []
      }
      yield* this.#withJobs(tenantId, no, events, wanted)
    }
  }

  async *#withJobs(
    tenantId: string,
    no: BatchNo,
    events: readonly Event[],
    wanted: (type: string) => boolean,
  ): AsyncGenerator<Shown> {
    const ends = events.filter(({ entry }) => wanted(entry.type)).map(({ entry, offset }) => entry.index + offset)
    const views = this.#views.of(tenantId, no, ends)
    for (const event of events) {
      const view = wanted(event.entry.type) ? await views.next() : null
      // Deleted while it was read: there is nothing to show any more.
      if (view?.done) return
      yield { ...event, job: view === null ? null : (view.value[1] ?? 'null') }
    }
  }
}

function* flat(entries: readonly LogEntry[], after: number): Generator<Event> {
  for (const entry of entries)
    for (let offset = Math.max(0, after + 1 - entry.seq); offset < entry.count; offset++) yield { entry, offset }
}

/** The number of the event that follows the rows. @throws {StoreError} unless they begin with `next`, and each where the one before ends. */
function assertWhole(rows: readonly LogEntry[][], next: number | null, key: string): number {
  let expected = next ?? rows[0][0].seq
  for (const row of rows) {
    const { seq } = row[0]
    if (seq !== expected) throw new StoreError(`The log in ${key} has event ${seq} where event ${expected} is due.`)
    const last = row[row.length - 1]
    expected = last.seq + last.count
  }
  return expected
}

function unpackRow(row: unknown, key: string): LogEntry[] {
  const [id, fields] = listOf(row, key)
  const [, text] = listOf(fields, key)
  const seq = countOf(textOf(id, key).split('-')[0], key)
  try {
    const entries = unpackEntries(textOf(text, key), seq)
    if (entries.length > 0) return entries
  } catch {
    // Said below.
  }
  throw foreign(key)
}
