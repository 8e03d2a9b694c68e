import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { Findings } from './findings.ts'

/** The tables whose rows belong to a batch: the column that says to which, and whether its lower 20 bits are the job. */
const TABLES = [
  { table: 'specs', column: 'id', shift: '>> 20', first: '(?1 << 20)', last: '((?1 << 20) | 1048575)' },
  { table: 'records', column: 'id', shift: '>> 20', first: '(?1 << 20)', last: '((?1 << 20) | 1048575)' },
  { table: 'parts', column: 'id', shift: '>> 20', first: '(?1 << 20)', last: '((?1 << 20) | 1048575)' },
  { table: 'log', column: 'no', shift: '', first: '?1', last: '?1' },
] as const

/** The highest number that a shifted id can have; a row of the log above it is not ours to walk on from. */
const LAST_NO = 2n ** 43n - 1n

/**
 * Rows of batches that there are none of. Those of a deleted batch are on their way out until its tombstone is `purged`.
 * Looks at one row a batch, however many it has.
 */
export function checkOrphans(database: DatabaseSync, findings: Findings): void {
  const owner = ownerOf(database)
  for (const { table, column, shift, first, last } of TABLES) {
    const lowest = database.prepare(`SELECT min(${column}) ${shift} AS no FROM ${table}`)
    const next = database.prepare(
      `SELECT ${column} ${shift} AS no FROM ${table} WHERE ${column} >= ${first} ORDER BY ${column} LIMIT 1`,
    )
    const count = database.prepare(`SELECT count(*) AS n FROM ${table} WHERE ${column} BETWEEN ${first} AND ${last}`)
    for (let no = numberOf(lowest); no !== null; no = no < LAST_NO ? numberOf(next, no + 1n) : null) {
      const why = owner(no)
      if (why !== null) findings.add(`${count.get(no)?.n} rows of table ${table} ${why}`, { batch: `#${no}` })
    }
  }
}

/** A batch number, which can be anything in a store that was damaged: as SQLite has it. */
function numberOf(statement: StatementSync, ...values: bigint[]): bigint | null {
  statement.setReadBigInts(true)
  // An integer, or the null of an aggregate without rows.
  return (statement.get(...values)?.no ?? null) as bigint | null
}

/** Why rows of a batch should not be there; null when they should. */
function ownerOf(database: DatabaseSync): (no: bigint) => string | null {
  const batch = database.prepare('SELECT 1 FROM batches WHERE no = ?')
  const tombstone = database.prepare('SELECT purged FROM tombstones WHERE no = ?')
  return (no) => {
    if (batch.get(no) !== undefined) return null
    const purged = tombstone.get(no)?.purged
    if (purged === 0) return null
    return purged === undefined ? 'belong to no batch' : 'are left of a deleted batch that counts as purged'
  }
}
