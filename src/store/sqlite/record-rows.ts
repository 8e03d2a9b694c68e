import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { bytesOf, isAhead } from '../../json/raw.ts'
import { type BatchNo, JOBS_PER_BATCH, type JobRecord } from '../store.ts'
import { MANY, Many, places, type Row } from './many.ts'
import { recordBytes, type StoredCount, sumOf } from './stored.ts'

const COLUMNS = 'id, state, attempts, started_at, finished_at, cause, reason, cancel_requests, result, error, parts'
const COLUMN_COUNT = COLUMNS.split(',').length
const INTO_RECORDS = `INSERT OR REPLACE INTO records (${COLUMNS})`

/** Puts the records of a commit into their table, and counts what their batches keep. */
export class RecordRows {
  readonly #stored: StoredCount
  readonly #insert: Many
  readonly #before: Many
  readonly #setLong: StatementSync
  /** Of one batch, those that are not written yet, and what they count for: of each job the newest. */
  readonly #rows = new Map<number, { row: Row; size: number }>()
  #no: BatchNo = 0

  constructor(database: DatabaseSync, stored: StoredCount) {
    this.#stored = stored
    this.#insert = new Many(database, (rows) => `${INTO_RECORDS} VALUES ${places(rows, COLUMN_COUNT)}`)
    this.#before = new Many(
      database,
      (rows) => `SELECT ${sumOf('records')} AS bytes FROM records WHERE id IN (${Array(rows).fill('?').join(', ')})`,
    )
    // As text, which the bytes of a long one are.
    this.#setLong = database.prepare(`${INTO_RECORDS} VALUES (?, ?, ?, ?, ?, ?, ?, ?, CAST(? AS TEXT), ?, ?)`)
  }

  /** Write records, in order. */
  set(records: readonly JobRecord[]): void {
    for (const record of records) this.#set(record)
    this.#flush()
  }

  #set(record: JobRecord): void {
    const { no, index, count, reason, error } = record
    const { result, parts } = placed(record.result)
    const size = recordBytes(reason, result, error) + (parts ?? 0)
    const base = no * JOBS_PER_BATCH + index
    if (result instanceof Uint8Array) return this.#setLongOne(no, size, rowOf(base, record, result, parts))
    if (no !== this.#no) this.#flush()
    this.#no = no
    for (let id = base; id < base + count; id++) {
      this.#rows.set(id, { size, row: rowOf(id, record, result, parts) })
      if (this.#rows.size === MANY) this.#flush()
    }
  }

  #setLongOne(no: BatchNo, size: number, row: SQLInputValue[]): void {
    this.#flush()
    const before = this.#before.bytes([[row[0]]])
    this.#setLong.run(...row)
    this.#stored.ofBatch(no, size - before)
  }

  #flush(): void {
    if (this.#rows.size === 0) return
    const rows: Row[] = []
    let more = 0
    for (const { row, size } of this.#rows.values()) {
      rows.push(row)
      more += size
    }
    more -= this.#before.bytes(rows.map(([id]) => [id]))
    this.#insert.run(rows)
    this.#rows.clear()
    this.#stored.ofBatch(this.#no, more)
  }

  /** The transaction was rolled back. */
  forget(): void {
    this.#rows.clear()
  }
}

function rowOf(
  id: number,
  record: JobRecord,
  result: string | Uint8Array | null,
  parts: number | null,
): SQLInputValue[] {
  const { state, attempts, startedAt, finishedAt, cause, reason, cancelRequests, error } = record
  return [id, state, attempts, startedAt, finishedAt, cause, reason, cancelRequests, result, error, parts]
}

/** What goes into a record's own columns of its result. */
function placed(result: JobRecord['result']): { result: string | Uint8Array | null; parts: number | null } {
  if (result === null || typeof result === 'string') return { result, parts: null }
  return isAhead(result) ? { result: null, parts: result.bytes } : { result: bytesOf(result), parts: null }
}
