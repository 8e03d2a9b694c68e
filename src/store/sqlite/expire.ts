import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import { JOBS_PER_BATCH, type Store } from '../store.ts'
import { digOne } from './graves.ts'
import type { PartsWriter } from './parts.ts'
import { BYTES, type StoredCount } from './stored.ts'

/** Batches that one step takes out of sight. */
const BATCHES = 50

/** Rows of each table that one step deletes: a few milliseconds. */
const ROWS = 2_000

/**
 * One step of deleting what is too old, inside a transaction. A batch goes out of sight at once, leaving a tombstone; its
 * jobs and log follow over as many steps as they need. What deleted tenants had goes the same way.
 *
 * @param stored - Told of the bytes that are deleted, and has to be settled.
 * @param parts - Long results go first, a few at a time; their records know how long they were.
 * @returns How many rows were deleted: 0 when there is nothing left to do.
 */
export function expireStep(
  database: DatabaseSync,
  stored: StoredCount,
  parts: PartsWriter,
  step: Parameters<Store['expire']>[0],
): number {
  const { now, drainedBefore, keysBefore, tombstonesBefore } = step
  return (
    digOne(database, (rows) => hide(database, stored, rows, now)) +
    hideBatches(database, stored, drainedBefore, now) +
    purge(database, stored, parts) +
    forget(database, stored, keysBefore, tombstonesBefore)
  )
}

function hideBatches(database: DatabaseSync, stored: StoredCount, drainedBefore: number, now: number): number {
  const rows = database
    .prepare('SELECT no, id, tenant_id FROM batches WHERE drained_at < ? ORDER BY drained_at LIMIT ?')
    .all(drainedBefore, BATCHES)
  hide(database, stored, rows, now)
  return rows.length
}

function hide(database: DatabaseSync, stored: StoredCount, rows: Record<string, unknown>[], now: number): void {
  const bury = database.prepare(`INSERT INTO tombstones (no, id, tenant_id, deleted_at, purged) VALUES (?, ?, ?, ?, 0)
    RETURNING ${BYTES.tombstones} AS bytes`)
  const remove = database.prepare(`DELETE FROM batches WHERE no = ? RETURNING ${BYTES.batches} AS bytes`)
  for (const { no, id, tenant_id } of rows) {
    const left = Number(bury.get(Number(no), String(id), String(tenant_id), now)?.bytes)
    unlabel(database, Number(no), String(tenant_id))
    stored.ofTenant(String(tenant_id), Number(no), left - Number(remove.get(Number(no))?.bytes))
  }
}

/** The header has the labels, so that their table need not be searched. */
function unlabel(database: DatabaseSync, no: number, tenantId: string): void {
  const header = database.prepare('SELECT header FROM batches WHERE no = ?').get(no)?.header
  // Written by the engine, from a BatchHeader.
  const { labels = {} } = JSON.parse(String(header)) as { labels?: Record<string, string> }
  const remove = database.prepare('DELETE FROM labels WHERE tenant_id = ? AND key = ? AND value = ? AND no = ?')
  for (const [key, value] of Object.entries(labels)) remove.run(tenantId, key, value, no)
}

/** Batches are purged until that was a step's work: of small ones, many. */
function purge(database: DatabaseSync, stored: StoredCount, parts: PartsWriter): number {
  let rows = 0
  while (rows < ROWS) {
    const gone = purgeOne(database, stored, parts, ROWS - rows)
    if (gone === 0) break
    rows += gone
  }
  return rows
}

/** Of one batch at most `most` rows of each table. Returns how much of a step that was, 0 when there is nothing to purge. */
function purgeOne(database: DatabaseSync, stored: StoredCount, parts: PartsWriter, most: number): number {
  const tombstone = database.prepare('SELECT no, tenant_id FROM tombstones WHERE purged = 0 LIMIT 1').get()
  if (tombstone === undefined) return 0
  const no = Number(tombstone.no)
  // Of these, a few are as much as all rows.
  if (parts.purge(no) > 0) return ROWS
  const gone = [rowsOf(database, 'specs', no, most), rowsOf(database, 'records', no, most), logOf(database, no, most)]
  const bytes = gone.flat().reduce((sum, row) => sum + Number(row.bytes), 0)
  stored.ofTenant(String(tombstone.tenant_id), no, -bytes)
  if (gone.every(({ length }) => length < most))
    database.prepare('UPDATE tombstones SET purged = 1 WHERE no = ?').run(no)
  // The tombstone itself was a step.
  return gone.flat().length + 1
}

function rowsOf(database: DatabaseSync, table: 'specs' | 'records', no: number, most: number): Gone[] {
  const rows = `SELECT id FROM ${table} WHERE id >= ? AND id < ? LIMIT ?`
  const sql = `DELETE FROM ${table} WHERE id IN (${rows}) RETURNING ${BYTES[table]} AS bytes`
  return remove(database, sql, no * JOBS_PER_BATCH, (no + 1) * JOBS_PER_BATCH, most)
}

function logOf(database: DatabaseSync, no: number, most: number): Gone[] {
  const rows = 'SELECT seq FROM log WHERE no = ? LIMIT ?'
  return remove(
    database,
    `DELETE FROM log WHERE no = ? AND seq IN (${rows}) RETURNING ${BYTES.log} AS bytes`,
    no,
    no,
    most,
  )
}

function forget(database: DatabaseSync, stored: StoredCount, keysBefore: number, tombstonesBefore: number): number {
  const keys = `SELECT tenant_id, key FROM idempotency WHERE created_at < ? LIMIT ${ROWS}`
  const used = `DELETE FROM idempotency WHERE (tenant_id, key) IN (${keys})`
  const gone = [
    ...remove(database, `${used} RETURNING tenant_id, no, ${BYTES.idempotency} AS bytes`, keysBefore),
    ...remove(database, FORGET_TOMBSTONES, tombstonesBefore),
  ]
  for (const { tenant_id, no, bytes } of gone) stored.ofTenant(String(tenant_id), Number(no), -Number(bytes))
  return gone.length
}

/** SQL: some of the tombstones from before a moment. It is asked at each step, and there are as many as batches were deleted in a week. */
export const FORGET_TOMBSTONES = `DELETE FROM tombstones
  WHERE no IN (SELECT no FROM tombstones WHERE purged = 1 AND deleted_at < ? LIMIT ${ROWS})
  RETURNING tenant_id, no, ${BYTES.tombstones} AS bytes`

/** What a deleted row said of itself. */
type Gone = Record<string, SQLOutputValue>

function remove(database: DatabaseSync, sql: string, ...values: number[]): Gone[] {
  return database.prepare(sql).all(...values)
}
