import type { DatabaseSync } from 'node:sqlite'
import type { BatchNo } from '../store.ts'

/** Rows of one table that one step deletes: a few milliseconds. */
const ROWS = 2_000

/** Batches that one step takes out of sight. */
const BATCHES = 50

/**
 * SQL: the highest number that a batch of a deleted tenant of the same name has, 0 for none. Whoever asks for what is a
 * tenant's asks for numbers above it.
 *
 * @param tenantId - SQL for the tenant's id.
 */
export const lastDead = (tenantId: string) => `coalesce((SELECT last_no FROM graves WHERE tenant_id = ${tenantId}), 0)`

/**
 * Make a tenant with all it has nobody's: its settings and keys go at once, its batches up to `lastNo` are out of sight
 * from now on, and their rows follow in {@link digOne}. Inside a transaction.
 */
export function buryTenant(database: DatabaseSync, tenantId: string, lastNo: BatchNo): void {
  database.prepare('DELETE FROM tenants WHERE id = ?').run(tenantId)
  database.prepare('DELETE FROM keys WHERE tenant_id = ?').run(tenantId)
  database.prepare('DELETE FROM stored WHERE tenant_id = ?').run(tenantId)
  // A second one of this name may follow the first before that is gone; the later one holds both.
  database.prepare('INSERT OR REPLACE INTO graves (tenant_id, last_no) VALUES (?, ?)').run(tenantId, lastNo)
}

/** The batches of one deleted tenant, with what is theirs by number. */
interface Grave {
  tenantId: string
  lastNo: number
}

/**
 * One step of deleting what a deleted tenant had. Its Idempotency-Keys go before the batches that they name, and those go
 * the way of all batches: out of the table with their labels, leaving a tombstone until their rows have followed. The
 * grave is the last to go.
 *
 * @param hide - Takes batches out of their table.
 * @returns How many rows were deleted: 0 when there is no grave.
 */
export function digOne(database: DatabaseSync, hide: (rows: Record<string, unknown>[]) => void): number {
  const row = database.prepare('SELECT tenant_id, last_no FROM graves LIMIT 1').get()
  if (row === undefined) return 0
  const grave = { tenantId: String(row.tenant_id), lastNo: Number(row.last_no) }
  return (
    forgetKeys(database, grave) ||
    hideBatches(database, grave, hide) ||
    forgetTombstones(database, grave) ||
    close(database, grave)
  )
}

function forgetKeys(database: DatabaseSync, { tenantId, lastNo }: Grave): number {
  const keys = `SELECT key FROM idempotency WHERE tenant_id = ? AND no <= ? LIMIT ${ROWS}`
  const forget = database.prepare(`DELETE FROM idempotency WHERE tenant_id = ? AND key IN (${keys})`)
  return Number(forget.run(tenantId, tenantId, lastNo).changes)
}

function hideBatches(
  database: DatabaseSync,
  { tenantId, lastNo }: Grave,
  hide: (rows: Record<string, unknown>[]) => void,
): number {
  const dead = database.prepare(
    `SELECT no, id, tenant_id FROM batches WHERE tenant_id = ? AND no <= ? ORDER BY no LIMIT ${BATCHES}`,
  )
  const rows = dead.all(tenantId, lastNo)
  hide(rows)
  return rows.length
}

function forgetTombstones(database: DatabaseSync, { tenantId, lastNo }: Grave): number {
  const purged = `SELECT no FROM tombstones WHERE tenant_id = ? AND no <= ? AND purged = 1 LIMIT ${ROWS}`
  return Number(database.prepare(`DELETE FROM tombstones WHERE no IN (${purged})`).run(tenantId, lastNo).changes)
}

/** Nothing is left but, maybe, batches whose rows are not purged yet: the grave waits for them. */
function close(database: DatabaseSync, { tenantId, lastNo }: Grave): number {
  const left = database.prepare('SELECT 1 FROM tombstones WHERE tenant_id = ? AND no <= ? LIMIT 1')
  if (left.get(tenantId, lastNo) !== undefined) return 0
  return Number(database.prepare('DELETE FROM graves WHERE tenant_id = ?').run(tenantId).changes)
}
