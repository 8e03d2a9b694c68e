import type { DatabaseSync } from 'node:sqlite'
import { lastDead } from '../graves.ts'
import { sumOf } from '../stored.ts'
import type { Findings } from './findings.ts'

/** SQL: what the jobs of batch `o.no` count for in a table. */
const ofJobs = (table: 'specs' | 'records') =>
  `(SELECT ${sumOf(table)} FROM ${table} WHERE ${table}.id >= o.no << 20 AND ${table}.id < (o.no + 1) << 20)`

/** Batches with all that hangs on their number, then Idempotency-Keys, a row each or a tenant's together. */
const SUMS = `
  SELECT o.tenant_id, ${ofJobs('specs')} + ${ofJobs('records')}
    + (SELECT ${sumOf('log')} FROM log WHERE log.no = o.no)
    + (SELECT ${sumOf('batches')} FROM batches WHERE batches.no = o.no)
    + (SELECT ${sumOf('tombstones')} FROM tombstones WHERE tombstones.no = o.no) AS bytes
  FROM (SELECT no, tenant_id FROM batches UNION ALL SELECT no, tenant_id FROM tombstones) o
  WHERE o.no > ${lastDead('o.tenant_id')}
  UNION ALL
  SELECT i.tenant_id, ${sumOf('idempotency')} FROM idempotency i WHERE i.no > ${lastDead('i.tenant_id')} GROUP BY i.tenant_id`

/** What each tenant is said to keep against what its rows sum up to. Not for a store whose rows are not as they should be. */
export function checkStored(database: DatabaseSync, findings: Findings): void {
  const sums = new Map<string, number>()
  for (const { tenant_id, bytes } of database.prepare(SUMS).iterate())
    sums.set(String(tenant_id), (sums.get(String(tenant_id)) ?? 0) + Number(bytes))
  for (const { tenant_id, bytes } of database.prepare('SELECT tenant_id, bytes FROM stored').iterate()) {
    findings.expect(`what tenant "${tenant_id}" keeps by table stored`, bytes, sums.get(String(tenant_id)) ?? 0)
    sums.delete(String(tenant_id))
  }
  for (const [tenantId, bytes] of sums)
    findings.add(`what tenant "${tenantId}" keeps is not in table stored, should be ${bytes}`)
}
