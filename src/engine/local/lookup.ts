import { BatchDeletedError, NotFoundError, TenantMovedError } from '../../errors.ts'
import { parseJobId } from '../../ids.ts'
import type { BatchRow, Store } from '../../store/store.ts'
import { rowView } from '../views.ts'
import type { LiveBatch } from './live-batch.ts'
import type { Runtime } from './runtime.ts'

/** A batch as it is on disk, and, while it has not drained and runs here, as it runs. */
export interface Found {
  row: BatchRow
  live: LiveBatch | null
}

/** Finds what callers name. Whatever is not the tenant's, or is not there, is the same {@link NotFoundError}. */
export class Lookup {
  readonly #runtime: Runtime
  readonly #store: Store

  constructor(options: { runtime: Runtime; store: Store }) {
    this.#runtime = options.runtime
    this.#store = options.store
  }

  /** @throws {NotFoundError} {BatchDeletedError} */
  async batch(tenantId: string, batchId: string): Promise<Found> {
    const row = await this.#store.batch(tenantId, batchId)
    const live = this.#runtime.find(tenantId, batchId)
    // It drained and left memory while it was read: what is on disk now is its last state.
    if (row?.drainedAt === null && live === null)
      return { row: (await this.#store.batch(tenantId, batchId)) ?? row, live }
    if (row === null) throw await missing(this.#store, tenantId, batchId)
    return { row, live }
  }

  /** As `batch`, for a change. @throws {TenantMovedError} for a batch that has not drained and runs elsewhere. */
  async toChange(tenantId: string, batchId: string): Promise<Found> {
    return mayChange(await this.batch(tenantId, batchId))
  }

  /** @throws {NotFoundError} {BatchDeletedError} */
  async job(tenantId: string, jobId: string): Promise<Found & { index: number }> {
    const parsed = parseJobId(jobId)
    if (parsed === null) throw new NotFoundError()
    const { row, live } = await this.batch(tenantId, parsed.batchId)
    if (parsed.index >= rowView(row).counts.total) throw new NotFoundError()
    return { row, live, index: parsed.index }
  }

  /** As `job`, for a change. @throws {TenantMovedError} as `toChange`. */
  async jobToChange(tenantId: string, jobId: string): Promise<Found & { index: number }> {
    return mayChange(await this.job(tenantId, jobId))
  }
}

/** Why there is no such batch. */
export async function missing(
  store: Store,
  tenantId: string,
  batchId: string,
): Promise<BatchDeletedError | NotFoundError> {
  return (await store.wasDeleted(tenantId, batchId)) ? new BatchDeletedError() : new NotFoundError()
}

function mayChange<T extends Found>(found: T): T {
  if (found.live === null && found.row.drainedAt === null) throw new TenantMovedError()
  return found
}
