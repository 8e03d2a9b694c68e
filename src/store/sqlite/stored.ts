import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { BatchNo } from '../store.ts'
import { lastDead } from './graves.ts'

/** What a row costs beside its texts: its numbers, its place in the tree and its entries in indexes. */
const ROW_BYTES = 64

/** SQL: what a row of a table counts for. Lengths are read off the row's head, however long its texts are. */
export const BYTES = {
  batches: sizeOf('id', 'header', 'facts'),
  specs: sizeOf('kind', 'name', 'spec'),
  records: `${sizeOf('reason', 'result', 'error')} + coalesce(parts, 0)`,
  log: sizeOf('entries'),
  idempotency: sizeOf('key', 'request_hash', 'answer'),
  tombstones: sizeOf('id'),
} as const

function sizeOf(...columns: string[]): string {
  return [ROW_BYTES, ...columns.map((column) => `coalesce(octet_length(${column}), 0)`)].join(' + ')
}

/** What a row of table records counts for, without asking SQL: there are two of each job, and nothing is written as often. */
export function recordBytes(...texts: (string | Uint8Array | null)[]): number {
  return texts.reduce((sum, text) => sum + (text === null ? 0 : Buffer.byteLength(text)), ROW_BYTES)
}

/** SQL: what some rows of a table count for together. */
export const sumOf = (table: keyof typeof BYTES) => `coalesce(sum(${BYTES[table]}), 0)`

/** What tenants keep, in bytes. */
export type StoredBytes = [tenantId: string, bytes: number][]

/** How many bytes each tenant keeps, on disk, at once: for the reader's start. */
export function allStored(database: DatabaseSync): StoredBytes {
  const rows = database.prepare('SELECT tenant_id, bytes FROM stored').all()
  return rows.map(({ tenant_id, bytes }) => [String(tenant_id), Number(bytes)])
}

/**
 * Keeps count of what each tenant keeps: whoever writes or deletes rows says so, and `settle` puts it into table `stored`
 * in the same transaction, so that it is right whenever the process ends. What a deleted tenant has left counts for nobody.
 */
export class StoredCount {
  readonly #ownerOf: StatementSync
  readonly #isDead: StatementSync
  readonly #add: StatementSync
  readonly #ofBatches = new Map<BatchNo, number>()
  readonly #ofTenants = new Map<string, number>()

  constructor(database: DatabaseSync) {
    this.#ownerOf = database.prepare('SELECT tenant_id FROM batches WHERE no = ?')
    this.#isDead = database.prepare(`SELECT ? <= ${lastDead('?')} AS dead`)
    this.#add = database.prepare(`INSERT INTO stored (tenant_id, bytes) VALUES (?, ?)
      ON CONFLICT (tenant_id) DO UPDATE SET bytes = bytes + excluded.bytes RETURNING bytes`)
  }

  /** A batch has `bytes` more, or less. It need not be in its table yet, but must be when this is settled. */
  ofBatch(no: BatchNo, bytes: number): void {
    this.#ofBatches.set(no, (this.#ofBatches.get(no) ?? 0) + bytes)
  }

  /** A tenant has `bytes` more, or less, with the batch of this number, which may have left its table. */
  ofTenant(tenantId: string, no: BatchNo, bytes: number): void {
    if (this.#isDead.get(no, tenantId)?.dead === 1) return
    this.#ofTenants.set(tenantId, (this.#ofTenants.get(tenantId) ?? 0) + bytes)
  }

  /** Write down what came up since the last time; returns what those tenants keep now. */
  settle(): StoredBytes {
    for (const [no, bytes] of this.#ofBatches) this.ofTenant(String(this.#ownerOf.get(no)?.tenant_id), no, bytes)
    const changed = [...this.#ofTenants]
    this.forget()
    return changed.map(([tenantId, bytes]) => [tenantId, Number(this.#add.get(tenantId, bytes)?.bytes)])
  }

  /** The transaction was rolled back. */
  forget(): void {
    this.#ofBatches.clear()
    this.#ofTenants.clear()
  }
}
