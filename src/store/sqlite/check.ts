import type { DatabaseSync } from 'node:sqlite'
import { StoreUnusableError } from '../../errors.ts'
import { BatchCheck } from './check/batches.ts'
import { checkDirectory } from './check/directory.ts'
import { Findings, type Problem } from './check/findings.ts'
import { checkOrphans } from './check/orphans.ts'
import { reading, sqliteError } from './check/reading.ts'
import { checkSchema, refuseOthers } from './check/schema.ts'
import { checkStored } from './check/stored.ts'

export type { Problem } from './check/findings.ts'

/** What a check looked at and found. */
export interface CheckResult {
  batches: number
  jobs: number
  events: number
  /** How many problems there are. */
  found: number
  /** The first of them. */
  problems: Problem[]
}

/** How many problems are named, and how many pages that do not fit SQLite names. */
export const MAX_NAMED = 100

/** SQLite's codes for a database that is damaged: SQLITE_IOERR (cut short), SQLITE_CORRUPT, SQLITE_NOTADB. */
const DAMAGED = [10, 11, 26]

/**
 * Hold the database in `file` against SQLite's own rules and against what the service promises: records, log, counts and
 * states say the same. Writes nothing, reads one moment, and does not mind a service that is at work on it; memory is for
 * one batch at a time.
 *
 * @throws {StoreUnusableError} when it cannot be checked: there is none, it is no database of gatherd, or of another version.
 */
export function checkStore(file: string): CheckResult {
  return reading(file, (database) => {
    const findings = new Findings(MAX_NAMED)
    const counts = attempt(file, findings, () => {
      database.exec('BEGIN')
      refuseOthers(file, database)
      return checkAll(database, findings)
    })
    const { batches = 0, jobs = 0, events = 0 } = counts ?? {}
    return { batches, jobs, events, found: findings.found, problems: findings.problems }
  })
}

function checkAll(database: DatabaseSync, findings: Findings): BatchCheck | null {
  // Where pages do not fit, what is read from them says nothing.
  if (!checkIntegrity(database, findings) || !checkSchema(database, findings)) return null
  const batches = new BatchCheck(database, findings)
  batches.all()
  checkOrphans(database, findings)
  checkDirectory(database, findings)
  // Where rows are missing or too many, the first sign of that has a better name.
  if (findings.found === 0) checkStored(database, findings)
  return batches
}

function checkIntegrity(database: DatabaseSync, findings: Findings): boolean {
  const before = findings.found
  for (const { integrity_check: text } of database.prepare(`PRAGMA integrity_check(${MAX_NAMED})`).iterate()) {
    if (text !== 'ok') findings.add(`SQLite finds it damaged: ${String(text).replaceAll('\n', ' ')}`)
  }
  return findings.found === before
}

/** A page that cannot be read is a finding; that the database is locked, say, is not. */
function attempt<T>(file: string, findings: Findings, check: () => T): T | null {
  try {
    return check()
  } catch (error) {
    const sqlite = sqliteError(error)
    if (sqlite === null) throw error
    if (!DAMAGED.includes(sqlite.code))
      throw new StoreUnusableError(`${file} cannot be checked: ${sqlite.message}.`, { cause: error })
    findings.add(`SQLite cannot read on: ${sqlite.message}`)
    return null
  }
}
