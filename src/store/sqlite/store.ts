import type { JobStateName } from '../../core/states.ts'
import type { JsonText } from '../../engine/engine.ts'
import type { JsonAhead, JsonPieces } from '../../json/raw.ts'
import { StoreError } from '../error.ts'
import {
  type BatchHistory,
  type BatchNo,
  type BatchRow,
  type CommitGroup,
  JOBS_PER_BATCH,
  type JobPage,
  type KeyRow,
  type LogPage,
  type Store,
  type TenantRow,
} from '../store.ts'
import { packGroup } from './message.ts'
import { DATABASE_FILE, IN_MEMORY } from './open.ts'
import { type PartCalls, writeParts } from './parts.ts'
import type { StoredBytes } from './stored.ts'
import { StoreThread } from './thread.ts'
import { unusable } from './unusable.ts'

/**
 * The store over SQLite: one thread writes and fsyncs, another reads, so neither an fsync nor a long read is ever waited
 * for by the event loop, and a long read delays no commit. `:memory:` has one thread for both.
 */
export class SqliteStore implements Store {
  readonly secret: Uint8Array
  readonly #writer: StoreThread
  readonly #reader: StoreThread
  readonly #stored: Map<string, number>
  #lastNo: BatchNo

  private constructor(options: {
    writer: StoreThread
    reader: StoreThread
    lastBatchNo: BatchNo
    secret: Uint8Array
    stored: StoredBytes
  }) {
    this.#stored = new Map(options.stored)
    this.#writer = options.writer
    this.#reader = options.reader
    this.#lastNo = options.lastBatchNo
    this.secret = options.secret
  }

  /**
   * Open the store of a data directory, making it where there is none.
   *
   * @param options.onDeath - Called when a thread ends by itself: nothing can be kept any more.
   * @throws {StoreUnusableError} when the directory is locked, cannot be written, or is of a newer version.
   */
  static async open(options: { dataDir: string; onDeath: (error: Error) => void }): Promise<SqliteStore> {
    const { dataDir, onDeath } = options
    const inMemory = dataDir === IN_MEMORY
    // Both load their code at once, and what opens the store may load its own meanwhile.
    const writer = StoreThread.start(onDeath)
    const reader = inMemory ? writer : StoreThread.start(onDeath)
    try {
      await writer.open({ role: inMemory ? 'both' : 'writer', dataDir })
      // Not before: the tables are the writer's to make.
      if (!inMemory) await reader.open({ role: 'reader', dataDir })
      const secret = await writer.call<Uint8Array>('secret')
      const lastBatchNo = await reader.call<number>('lastBatchNo')
      const stored = await reader.call<StoredBytes>('stored')
      return new SqliteStore({ writer, reader, lastBatchNo, secret, stored })
    } catch (error) {
      await reader.close()
      await writer.close()
      // It was opened, and then could not be written.
      throw error instanceof StoreError && /readonly/.test(error.message)
        ? unusable(dataDir, DATABASE_FILE, error)
        : error
    }
  }

  get lastBatchNo(): BatchNo {
    return this.#lastNo
  }

  nextBatchNo(): BatchNo {
    return ++this.#lastNo
  }

  async commit(group: CommitGroup): Promise<void> {
    this.#note(await this.#writer.call<StoredBytes>('commitPacked', packGroup(group)))
  }

  putAhead(no: BatchNo, index: number, pieces: JsonPieces, signal: AbortSignal): Promise<JsonAhead> {
    const calls: PartCalls = {
      putPart: (id, part, bytes) => this.#writer.call('putPart', id, part, bytes),
      dropParts: (id) => this.#writer.call('dropParts', id),
    }
    return writeParts(calls, no * JOBS_PER_BATCH + index, pieces, signal)
  }

  storedBytes(tenantId: string): number {
    return this.#stored.get(tenantId) ?? 0
  }

  /** The mark of the key that the store was last used with (`Vault.mark`); null: of none yet. */
  keyMark(): Promise<string | null> {
    return this.#writer.call('keyMark')
  }

  putKeyMark(mark: string): Promise<void> {
    return this.#writer.call('putKeyMark', mark)
  }

  tenants(): Promise<TenantRow[]> {
    return this.#reader.call('tenants')
  }

  keys(): Promise<KeyRow[]> {
    return this.#reader.call('keys')
  }

  hadKeys(): Promise<boolean> {
    return this.#reader.call('hadKeys')
  }

  putTenant(row: TenantRow): Promise<void> {
    return this.#writer.call('putTenant', row)
  }

  putKey(row: KeyRow): Promise<void> {
    return this.#writer.call('putKey', row)
  }

  async putFirstKey(row: KeyRow): Promise<boolean> {
    // No other process writes to this store.
    if (await this.hadKeys()) return false
    await this.putKey(row)
    return true
  }

  idempotent(tenantId: string, key: string): Promise<{ hash: string; answer: string } | null> {
    return this.#reader.call('idempotent', tenantId, key)
  }

  batch(tenantId: string, id: string): Promise<BatchRow | null> {
    return this.#reader.call('batch', tenantId, id)
  }

  batches(query: Parameters<Store['batches']>[0]): Promise<BatchRow[]> {
    return this.#reader.call('batches', query)
  }

  job(no: BatchNo, index: number): Promise<JsonText | null> {
    return this.#reader.call('job', no, index)
  }

  jobs(no: BatchNo, query: { from: number; limit: number; states?: JobStateName[] }): Promise<JobPage> {
    return this.#reader.call('jobs', no, query)
  }

  completions(no: BatchNo, query: { from: number; limit: number; state?: JobStateName }): Promise<JobPage> {
    return this.#reader.call('completions', no, query)
  }

  pending(no: BatchNo): Promise<number[]> {
    return this.#reader.call('pending', no)
  }

  log(no: BatchNo, query: { after: number; limit: number; completionsOnly: boolean }): Promise<LogPage> {
    return this.#reader.call('log', no, query)
  }

  specs(no: BatchNo, query: { from: number; limit: number }): Promise<string[]> {
    return this.#reader.call('specs', no, query)
  }

  namesTaken(no: BatchNo, names: string[]): Promise<string[]> {
    return this.#reader.call('namesTaken', no, names)
  }

  wasDeleted(tenantId: string, id: string): Promise<boolean> {
    return this.#reader.call('wasDeleted', tenantId, id)
  }

  async deleteTenant(tenantId: string, lastNo: BatchNo): Promise<void> {
    await this.#writer.call('deleteTenant', tenantId, lastNo)
    this.#stored.delete(tenantId)
  }

  async expire(step: Parameters<Store['expire']>[0]): Promise<number> {
    const { deleted, stored } = await this.#writer.call<{ deleted: number; stored: StoredBytes }>('expire', step)
    this.#note(stored)
    return deleted
  }

  unfinished(tenantId?: string): Promise<BatchRow[]> {
    return this.#reader.call('unfinished', tenantId)
  }

  history(no: BatchNo): Promise<BatchHistory> {
    return this.#reader.call('history', no)
  }

  async close(): Promise<void> {
    // The last connection to close empties the WAL into the database, which a reader cannot.
    await this.#reader.close()
    await this.#writer.close()
  }

  /** The writer answers in the order of its work: what it said last is true. */
  #note(stored: StoredBytes): void {
    for (const [tenantId, bytes] of stored) this.#stored.set(tenantId, bytes)
  }
}
