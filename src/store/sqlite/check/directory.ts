import type { DatabaseSync, SQLOutputValue } from 'node:sqlite'
import { parsedJson, parsedObject } from './facts.ts'
import type { Findings } from './findings.ts'

type Row = Record<string, SQLOutputValue>

/** Everything beside the batches: labels, tombstones, Idempotency-Keys, tenants, keys, the secret. */
export function checkDirectory(database: DatabaseSync, findings: Findings): void {
  for (const { sql, problem } of [...CHECKS, tenantless(database)]) {
    for (const row of database.prepare(sql).iterate()) {
      const message = problem(row)
      if (message !== null) findings.add(message, row.batch == null ? {} : { batch: String(row.batch) })
    }
  }
}

/** The labels in the header of batch `b`; a header that cannot be read is named elsewhere. */
const HEADER_LABELS = `json_each(CASE WHEN json_valid(b.header) THEN b.header ELSE '{}' END, '$.labels') l`

/** The batch that the answer of idempotency row `i` is about. */
const ANSWERED = `CASE WHEN json_valid(i.answer) THEN json_extract(i.answer, '$.id') END`

/** Rows to look at, and what is wrong with one of them, if anything is. */
const CHECKS: readonly { sql: string; problem: (row: Row) => string | null }[] = [
  {
    sql: `SELECT b.id AS batch, l.key FROM batches b, ${HEADER_LABELS} WHERE NOT EXISTS (SELECT 1 FROM labels
      WHERE tenant_id = b.tenant_id AND key = l.key AND value = l.atom AND no = b.no)`,
    problem: ({ key }) => `its label "${key}" is not in table labels: nobody finds it by that`,
  },
  {
    sql: `SELECT coalesce(b.id, '#' || t.no) AS batch, t.key, b.id IS NULL AS orphan FROM labels t
      LEFT JOIN batches b ON b.no = t.no AND b.tenant_id = t.tenant_id
      WHERE b.id IS NULL OR NOT EXISTS (SELECT 1 FROM ${HEADER_LABELS} WHERE l.key = t.key AND l.atom = t.value)`,
    problem: ({ key, orphan }) =>
      orphan === 1
        ? `label "${key}" belongs to no batch of its tenant`
        : `label "${key}" of table labels is not in its header`,
  },
  {
    sql: 'SELECT b.id AS batch FROM tombstones t JOIN batches b ON b.no = t.no',
    problem: () => 'it has a tombstone, as if it were deleted, and is there',
  },
  {
    sql: 'SELECT b.id AS batch FROM tombstones t JOIN batches b ON b.id = t.id AND b.no <> t.no',
    problem: () => 'a deleted batch has the same id',
  },
  {
    sql: `SELECT i.tenant_id, i.key, i.answer, b.id AS known, d.id AS deleted FROM idempotency i
      LEFT JOIN batches b ON b.id = ${ANSWERED} LEFT JOIN tombstones d ON d.id = ${ANSWERED}`,
    problem: idempotencyProblem,
  },
  {
    sql: 'SELECT id, settings FROM tenants',
    problem: ({ id, settings }) =>
      parsedObject(settings) === null ? `the settings of tenant "${id}" are not a JSON object` : null,
  },
  {
    sql: 'SELECT k.*, t.id AS known FROM keys k LEFT JOIN tenants t ON t.id = k.tenant_id',
    problem: keyProblem,
  },
  {
    sql: `SELECT typeof(value) AS type, length(value) AS length FROM meta WHERE key = 'secret'`,
    problem: ({ type, length }) =>
      type === 'blob' && length === 32 ? null : `the secret is a ${type} of ${length}, should be a blob of 32 bytes`,
  },
]

/** Batches whose tenant is not there. Those of a deleted tenant are on their way out as long as it has a grave. */
function tenantless(database: DatabaseSync): (typeof CHECKS)[number] {
  const hasGraves = database.prepare(`SELECT 1 FROM sqlite_schema WHERE name = 'graves'`).get() !== undefined
  const buried = 'SELECT 1 FROM graves g WHERE g.tenant_id = b.tenant_id AND g.last_no >= b.no'
  return {
    sql: `SELECT b.id AS batch, b.tenant_id FROM batches b LEFT JOIN tenants t ON t.id = b.tenant_id
      WHERE t.id IS NULL ${hasGraves ? `AND NOT EXISTS (${buried})` : ''}`,
    problem: ({ tenant_id }) => `its tenant "${tenant_id}" is not there`,
  }
}

function idempotencyProblem({ tenant_id, key, answer, known, deleted }: Row): string | null {
  const where = `Idempotency-Key "${key}" of tenant "${tenant_id}"`
  if (parsedObject(answer) === null) return `the answer of ${where} is not a JSON object`
  return known === null && deleted === null ? `the answer of ${where} is about a batch that never was` : null
}

function keyProblem({ id, tenant_id, hash, scopes, known }: Row): string | null {
  if (known === null) return `key ${id} is of tenant "${tenant_id}", which is not there`
  if (!/^[0-9a-f]{64}$/.test(String(hash))) return `the hash of key ${id} is not a SHA-256 in hex: nobody can use it`
  const list = parsedJson(scopes)
  const isList = Array.isArray(list) && list.every((scope) => typeof scope === 'string')
  return isList ? null : `the scopes of key ${id} are not a JSON array of names`
}
