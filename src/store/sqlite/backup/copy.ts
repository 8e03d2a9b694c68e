import { statSync, truncateSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { reading } from '../check/reading.ts'
import { refuseOthers } from '../check/schema.ts'
import { type CheckResult, checkStore } from '../check.ts'

/** What is copied where. `temporary` is there, empty, and nobody else's. */
export interface CopyTask {
  source: string
  temporary: string
  /** Whether the copy is checked. */
  check: boolean
}

/** What became of it. */
export interface Copied {
  bytes: number
  batches: number
  /** Null when none was asked for. */
  check: CheckResult | null
}

/**
 * Copy a database that another process may be writing, as it is at one moment. Synchronous: it runs on a thread.
 *
 * `VACUUM INTO`, which reads everything in one transaction, and not SQLite's backup API (node's `backup()`): that starts
 * again from the first page whenever another process has committed between two of its steps, which under a busy service is
 * always. Done in a single step it would end as well; but it copies pages, and so also what was deleted: retention
 * leaves its bytes in free pages, which this copy does not have, and neither has it their size. In WAL mode
 * a reader delays no commit. What waits is the checkpoint: the `-wal` grows by what is committed meanwhile.
 *
 * @throws {StoreUnusableError} when there is nothing to copy, or the words of SQLite when it cannot be written.
 */
export function copyDatabase({ source, temporary, check }: CopyTask): Copied {
  const batches = reading(source, (database) => {
    refuseOthers(source, database)
    // It may be the second attempt; SQLite writes to a file that is empty only.
    truncateSync(temporary)
    database.prepare('VACUUM INTO ?').run(temporary)
    return reading(temporary, countBatches)
  })
  return { bytes: statSync(temporary).size, batches, check: check ? checkStore(temporary) : null }
}

function countBatches(database: DatabaseSync): number {
  return Number(database.prepare('SELECT count(*) AS count FROM batches').get()?.count)
}
