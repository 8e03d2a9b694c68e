import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { packEntries } from '../entries.ts'
import {
  type BatchHead,
  type BatchNo,
  type CommitGroup,
  JOBS_PER_BATCH,
  type KeyRow,
  type LogRows,
  type NewBatch,
  type NewJobs,
  type Store,
  type TenantRow,
} from '../store.ts'
import { expireStep } from './expire.ts'
import { buryTenant, lastDead } from './graves.ts'
import { Many, places, type Row } from './many.ts'
import { PartsWriter } from './parts.ts'
import { RecordRows } from './record-rows.ts'
import { BYTES, type StoredBytes, StoredCount, sumOf } from './stored.ts'

/** Writes commit groups, one transaction each. Synchronous: it runs on the writer's thread. */
export class SqliteWriter {
  readonly #database: DatabaseSync
  readonly #statements: Record<keyof typeof SQL, StatementSync>
  readonly #stored: StoredCount
  readonly #parts: PartsWriter
  readonly #records: RecordRows
  readonly #specs: Many

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#stored = new StoredCount(database)
    this.#parts = new PartsWriter(database)
    this.#records = new RecordRows(database, this.#stored)
    this.#specs = new Many(database, addSpecs)
    // One statement for each key of SQL.
    this.#statements = Object.fromEntries(
      Object.entries(SQL).map(([name, sql]) => [name, database.prepare(sql)]),
    ) as Record<keyof typeof SQL, StatementSync>
  }

  /** On disk, whole, when it returns what the tenants in it keep now. @throws after a rollback: nothing of it was written. */
  commit(group: CommitGroup): StoredBytes {
    return this.#transaction(() => {
      for (const batch of group.batches) this.#addBatch(batch)
      for (const jobs of group.jobs) this.#addJobs(jobs)
      for (const head of group.heads) this.#setHead(head)
      this.#records.set(group.records)
      for (const rows of group.logs) this.#addLog(rows)
      return this.#stored.settle()
    })
  }

  /** One step of deleting what is too old, short enough to delay no commit; returns the rows deleted, and what their tenants keep now. */
  expire(step: Parameters<Store['expire']>[0]): { deleted: number; stored: StoredBytes } {
    return this.#transaction(() => {
      const deleted = expireStep(this.#database, this.#stored, this.#parts, step)
      return { deleted, stored: this.#stored.settle() }
    })
  }

  /** See {@link PartsWriter.put}; on disk when it returns. */
  putPart(id: number, part: number, bytes: Uint8Array): void {
    this.#transaction(() => this.#parts.put(id, part, bytes))
  }

  /** See {@link PartsWriter.drop}. */
  dropParts(id: number): void {
    this.#transaction(() => this.#parts.drop(id))
  }

  putTenant(row: TenantRow): void {
    this.#statements.putTenant.run(row.id, JSON.stringify(row.settings), row.createdAt)
  }

  putKey(row: KeyRow): void {
    const scopes = JSON.stringify(row.scopes)
    const { id, tenantId, name, hash, createdAt, expiresAt, revokedAt } = row
    this.#transaction(() => {
      this.#statements.putKey.run(id, tenantId, name, hash, scopes, createdAt, expiresAt, revokedAt)
      this.#statements.keyed.run()
    })
  }

  deleteTenant(tenantId: string, lastNo: number): void {
    this.#transaction(() => buryTenant(this.#database, tenantId, lastNo))
  }

  #transaction<T>(write: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      const written = write()
      this.#database.exec('COMMIT')
      return written
    } catch (error) {
      this.#stored.forget()
      this.#records.forget()
      // A full disk may have rolled back by itself.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw error
    }
  }

  #addBatch(batch: NewBatch): void {
    const { no, id, tenantId, header, acceptedAt } = batch
    this.#insert(no, this.#statements.addBatch, no, id, tenantId, acceptedAt, header)
    const { key: idempotencyKey, hash, answer } = batch.idempotency ?? {}
    if (idempotencyKey !== undefined && hash !== undefined && answer !== undefined) {
      this.#statements.forgetDead.run(tenantId, idempotencyKey)
      this.#insert(no, this.#statements.addIdempotency, tenantId, idempotencyKey, hash, answer, acceptedAt, no)
    }
    for (const [key, value] of Object.entries(batch.labels)) this.#statements.addLabel.run(tenantId, key, value, no)
  }

  #addJobs({ no, from, kinds, names, specs }: NewJobs): void {
    const base = no * JOBS_PER_BATCH + from
    const rows = specs.map((spec, i): Row => [base + i, kinds[i], names[i], spec])
    this.#counted(no, this.#statements.specBytes, [base, base + specs.length], () => this.#specs.run(rows))
  }

  #setHead({ no, state, seq, settledAt, drainedAt, facts }: BatchHead): void {
    this.#counted(no, this.#statements.headBytes, [no], () =>
      this.#statements.setHead.run(state, seq, settledAt, drainedAt, facts, no),
    )
  }

  #addLog({ no, entries }: LogRows): void {
    if (entries.length > 0) this.#insert(no, this.#statements.addLog, no, entries[0].seq, packEntries(entries))
  }

  /** Add a row of a batch that was not there, by a statement that returns its bytes. */
  #insert(no: BatchNo, statement: StatementSync, ...values: (string | number | null)[]): void {
    this.#stored.ofBatch(no, Number(statement.get(...values)?.bytes))
  }

  /** Write rows of a batch that may have been there, by what the statement `measure` says of them before and after. */
  #counted(no: BatchNo, measure: StatementSync, range: number[], write: () => void): void {
    const before = Number(measure.get(...range)?.bytes)
    write()
    this.#stored.ofBatch(no, Number(measure.get(...range)?.bytes) - before)
  }
}

// Not OR REPLACE: that would also replace the job whose name is taken.
function addSpecs(rows: number): string {
  return `INSERT INTO specs (id, kind, name, spec) VALUES ${places(rows, 4)}
    ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, name = excluded.name, spec = excluded.spec`
}

const SQL = {
  addBatch: `INSERT INTO batches (no, id, tenant_id, state, seq, accepted_at, header, facts) VALUES (?, ?, ?, 'running', 0, ?, ?, '')
    RETURNING ${BYTES.batches} AS bytes`,
  addIdempotency: `INSERT INTO idempotency (tenant_id, key, request_hash, answer, created_at, no) VALUES (?, ?, ?, ?, ?, ?)
    RETURNING ${BYTES.idempotency} AS bytes`,
  // A deleted tenant of the same name may have left it.
  forgetDead: `DELETE FROM idempotency WHERE tenant_id = ?1 AND key = ?2 AND no <= ${lastDead('?1')}`,
  addLabel: 'INSERT INTO labels (tenant_id, key, value, no) VALUES (?, ?, ?, ?)',
  setHead: 'UPDATE batches SET state = ?, seq = ?, settled_at = ?, drained_at = ?, facts = ? WHERE no = ?',
  addLog: `INSERT INTO log (no, seq, entries) VALUES (?, ?, ?) RETURNING ${BYTES.log} AS bytes`,
  headBytes: `SELECT ${BYTES.batches} AS bytes FROM batches WHERE no = ?`,
  specBytes: `SELECT ${sumOf('specs')} AS bytes FROM specs WHERE id >= ? AND id < ?`,
  keyed: `INSERT OR IGNORE INTO meta (key, value) VALUES ('keyed', 1)`,
  putTenant: 'INSERT OR REPLACE INTO tenants (id, settings, created_at) VALUES (?, ?, ?)',
  putKey: `INSERT OR REPLACE INTO keys (id, tenant_id, name, hash, scopes, created_at, expires_at, revoked_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
} as const
