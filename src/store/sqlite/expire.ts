import type { DatabaseSync } from 'node:sqlite'
import { JOBS_PER_BATCH, type Store } from '../store.ts'
import { digOne } from './graves.ts'

/** Batches that one step takes out of sight. */
const BATCHES = 50

/** Rows of each table that one step deletes: a few milliseconds. */
const ROWS = 2_000

/**
 * One step of deleting what is too old, inside a transaction. A batch goes out of sight at once, leaving a tombstone; its
 * jobs and log follow over as many steps as they need. What deleted tenants had goes the same way.
 *
 * @returns How many rows were deleted: 0 when there is nothing left to do.
 */
export function expireStep(database: DatabaseSync, step: Parameters<Store['expire']>[0]): number {
  const { now, drainedBefore, keysBefore, tombstonesBefore } = step
  return (
    digOne(database, (rows) => hide(database, rows, now)) +
    hideBatches(database, drainedBefore, now) +
    purgeOne(database) +
    forget(database, keysBefore, tombstonesBefore)
  )
}

function hideBatches(database: DatabaseSync, drainedBefore: number, now: number): number {
  const rows = database
    .prepare('SELECT no, id, tenant_id FROM batches WHERE drained_at < ? ORDER BY drained_at LIMIT ?')
    .all(drainedBefore, BATCHES)
  hide(database, rows, now)
  return rows.length
}

function hide(database: DatabaseSync, rows: Record<string, unknown>[], now: number): void {
  const bury = database.prepare('INSERT INTO tombstones (no, id, tenant_id, deleted_at, purged) VALUES (?, ?, ?, ?, 0)')
  for (const { no, id, tenant_id } of rows) {
    bury.run(Number(no), String(id), String(tenant_id), now)
    unlabel(database, Number(no), String(tenant_id))
    database.prepare('DELETE FROM batches WHERE no = ?').run(Number(no))
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

function purgeOne(database: DatabaseSync): number {
  const no = database.prepare('SELECT no FROM tombstones WHERE purged = 0 LIMIT 1').get()?.no
  if (no === undefined) return 0
  const [from, to] = [Number(no) * JOBS_PER_BATCH, (Number(no) + 1) * JOBS_PER_BATCH]
  let deleted = 0
  for (const table of ['specs', 'records']) {
    const rows = `SELECT id FROM ${table} WHERE id >= ? AND id < ? LIMIT ${ROWS}`
    deleted += Number(database.prepare(`DELETE FROM ${table} WHERE id IN (${rows})`).run(from, to).changes)
  }
  const rows = `SELECT seq FROM log WHERE no = ? LIMIT ${ROWS}`
  deleted += Number(database.prepare(`DELETE FROM log WHERE no = ? AND seq IN (${rows})`).run(no, no).changes)
  if (deleted === 0) database.prepare('UPDATE tombstones SET purged = 1 WHERE no = ?').run(no)
  // The tombstone itself was a step.
  return deleted + 1
}

function forget(database: DatabaseSync, keysBefore: number, tombstonesBefore: number): number {
  const keys = `SELECT tenant_id, key FROM idempotency WHERE created_at < ? LIMIT ${ROWS}`
  const used = database.prepare(`DELETE FROM idempotency WHERE (tenant_id, key) IN (${keys})`).run(keysBefore)
  const old = `SELECT no FROM tombstones WHERE purged = 1 AND deleted_at < ? LIMIT ${ROWS}`
  const tombstones = database.prepare(`DELETE FROM tombstones WHERE no IN (${old})`).run(tombstonesBefore)
  return Number(used.changes) + Number(tombstones.changes)
}
