import { DatabaseSync } from 'node:sqlite'
import { StoreUnusableError } from '../../../errors.ts'
import { MIGRATIONS } from '../migrations.ts'
import type { Findings } from './findings.ts'

/**
 * Refuse what is not a store of this program's version.
 * @throws {StoreUnusableError}
 */
export function refuseOthers(file: string, database: DatabaseSync): void {
  // The pragma always answers with one integer.
  const version = database.prepare('PRAGMA user_version').get()?.user_version as number
  const known = MIGRATIONS.length
  if (version > known)
    throw new StoreUnusableError(
      `${file} is of version ${version}, this program knows up to ${known}: use a newer gatherd.`,
    )
  const tables = objects(database)
  if (version < 1 || ![...objectsOf(MIGRATIONS.slice(0, version))].some((name) => tables.has(name)))
    throw new StoreUnusableError(`${file} is no database of gatherd.`)
  if (version < known)
    throw new StoreUnusableError(
      `${file} is of version ${version}, this program checks version ${known}: start the service on it, which migrates it.`,
    )
}

/** Name the tables and indexes that are not there; true when the tables are. */
export function checkSchema(database: DatabaseSync, findings: Findings): boolean {
  const present = objects(database)
  const missing = [...objectsOf(MIGRATIONS)].filter((name) => !present.has(name))
  for (const name of missing) findings.add(`${name} is missing`)
  return !missing.some((name) => name.startsWith('table '))
}

function objectsOf(migrations: readonly string[]): Set<string> {
  using database = new DatabaseSync(':memory:')
  for (const migration of migrations) database.exec(migration)
  return objects(database)
}

/** `table batches`, `index batches_id`, … but what SQLite makes by itself. */
function objects(database: DatabaseSync): Set<string> {
  const rows = database
    .prepare(`SELECT type, name FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'`)
    .all()
  return new Set(rows.map(({ type, name }) => `${type} ${name}`))
}
