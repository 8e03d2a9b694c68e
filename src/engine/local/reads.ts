import { NotFoundError } from '../../errors.ts'
import type { Store } from '../../store/store.ts'
import { Cursors } from '../cursor.ts'
import {
  type BatchesQuery,
  type BatchView,
  charsOf,
  type JobsQuery,
  type JsonText,
  type Page,
  type Pages,
} from '../engine.ts'
import { rowView } from '../views.ts'
import type { Lookup } from './lookup.ts'
import type { Runtime } from './runtime.ts'
import { withWaitingOn } from './waiting-on.ts'

/** Batches and jobs as callers see them, one or a page: as the store has them, and with what a queued job waits for. */
export class Reads {
  readonly #runtime: Runtime
  readonly #store: Store
  readonly #lookup: Lookup
  readonly #cursors: Cursors

  constructor(options: { runtime: Runtime; store: Store; lookup: Lookup }) {
    this.#runtime = options.runtime
    this.#store = options.store
    this.#lookup = options.lookup
    this.#cursors = new Cursors({ secret: options.store.secret })
  }

  /** @throws {NotFoundError} {BatchDeletedError} */
  async batch(tenantId: string, batchId: string): Promise<BatchView> {
    const { row } = await this.#lookup.batch(tenantId, batchId)
    return rowView(row)
  }

  /** Newest first. @throws {InvalidArgumentError} for a cursor of another list. */
  async batches(tenantId: string, query: BatchesQuery): Promise<Page<BatchView>> {
    const { state, labels, limit } = query
    const scope = ['batches', tenantId, state ?? null, Object.entries(labels).sort()]
    const before = this.#cursors.decode(scope, query.cursor, Number.MAX_SAFE_INTEGER)
    const rows = await this.#store.batches({ tenantId, state, labels, before, limit: limit + 1 })
    const shown = rows.slice(0, limit)
    const last = shown.at(-1)
    const nextCursor = rows.length > limit && last !== undefined ? this.#cursors.encode(scope, last.no) : null
    return { data: shown.map(rowView), nextCursor }
  }

  /** @throws {NotFoundError} {BatchDeletedError} */
  async job(tenantId: string, jobId: string): Promise<JsonText> {
    const { live, row, index } = await this.#lookup.job(tenantId, jobId)
    const job = await this.#store.job(row.no, index)
    if (job === null) throw new NotFoundError()
    return withWaitingOn(this.#runtime.fair, live, job)
  }

  /** A page of a batch's jobs. @throws {NotFoundError} {BatchDeletedError} {InvalidArgumentError} */
  async jobs(tenantId: string, batchId: string, query: JobsQuery, pages: Pages): Promise<Page<JsonText>> {
    const { row, live } = await this.#lookup.batch(tenantId, batchId)
    const { order, state, limit } = query
    const scope = ['jobs', row.id, order, state ?? null]
    const from = this.#cursors.decode(scope, query.cursor, 0)
    const read = () =>
      order === 'input'
        ? this.#store.jobs(row.no, { from, limit, states: state === undefined ? undefined : [state] })
        : this.#store.completions(row.no, { from, limit, state })
    const page = await pages.page(read, ({ data }) => charsOf(data))
    return {
      data: page.data.map((job) => withWaitingOn(this.#runtime.fair, live, job)),
      nextCursor: page.next === null ? null : this.#cursors.encode(scope, page.next),
    }
  }
}
