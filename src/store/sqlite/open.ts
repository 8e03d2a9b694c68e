import { randomBytes } from 'node:crypto'
import { closeSync, mkdirSync, openSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { StoreUnusableError } from '../../errors.ts'
import { MIGRATIONS } from './migrations.ts'
import { unusable } from './unusable.ts'

/** `GATHERD_DATA_DIR` for a store that keeps nothing. */
export const IN_MEMORY = ':memory:'

/** The name of the database inside the data directory. */
export const DATABASE_FILE = 'gatherd.db'

/**
 * Open the database of a data directory for writing, made and migrated as needed: WAL, every commit fsynced.
 * @throws {StoreUnusableError} when the directory cannot be used, or a newer version wrote the database.
 */
export function openWriter(dataDir: string): DatabaseSync {
  const database = usable(dataDir, () => new DatabaseSync(ownFile(databasePath(dataDir)), { timeout: 5_000 }))
  try {
    usable(dataDir, () => {
      // A commit that goes past these pages (4 MB) waits for the checkpoint: 10 ms; four times as many, 35 ms.
      database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 1000')
      database.exec('PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32000')
      migrate(database)
    })
    return database
  } catch (error) {
    database.close()
    throw error
  }
}

/** A second connection that sees committed data only. The database must exist. @throws {StoreUnusableError} */
export function openReader(dataDir: string): DatabaseSync {
  return usable(dataDir, () => {
    const database = new DatabaseSync(databasePath(dataDir), { readOnly: true, timeout: 5_000 })
    database.exec('PRAGMA cache_size = -32000')
    return database
  })
}

/**
 * Keep other processes out of a data directory for as long as the returned connection is open; the operating system
 * lets go of the lock when the process ends, however it ends.
 * @throws {StoreUnusableError} when another process has it.
 */
export function lockDirectory(dataDir: string): DatabaseSync | null {
  if (dataDir === IN_MEMORY) return null
  usable(dataDir, () => makeDirectory(dataDir))
  const lock = usable(dataDir, () => new DatabaseSync(ownFile(join(dataDir, 'gatherd.lock')), { timeout: 0 }))
  try {
    lock.exec('BEGIN EXCLUSIVE')
  } catch (cause) {
    lock.close()
    if (!isBusy(cause)) throw unusable(dataDir, DATABASE_FILE, cause)
    const why = 'another gatherd process is using it'
    throw new StoreUnusableError(`The data directory ${dataDir} cannot be used: ${why}.`, { cause })
  }
  return lock
}

/** The store's own secret, made at its first start. */
export function storeSecret(database: DatabaseSync): Uint8Array {
  const row = database.prepare(`SELECT value FROM meta WHERE key = 'secret'`).get()
  // Written below as a blob, by nothing else.
  if (row !== undefined) return row.value as Uint8Array
  const secret = randomBytes(32)
  database.prepare(`INSERT INTO meta (key, value) VALUES ('secret', ?)`).run(secret)
  return secret
}

/** The mark of the key that the store was last used with, which is not in it; null: of none yet. */
export function keyMark(database: DatabaseSync): string | null {
  const row = database.prepare(`SELECT value FROM meta WHERE key = 'key-mark'`).get()
  // Written below as text, by nothing else.
  return row === undefined ? null : (row.value as string)
}

export function putKeyMark(database: DatabaseSync, mark: string): void {
  database.prepare(`INSERT OR REPLACE INTO meta (key, value) VALUES ('key-mark', ?)`).run(mark)
}

/** A file that no other user reads, if it is made now; SQLite gives its `-wal` and `-shm` the same mode. */
function ownFile(path: string): string {
  if (path !== IN_MEMORY) closeSync(openSync(path, 'a', 0o600))
  return path
}

function databasePath(dataDir: string): string {
  return dataDir === IN_MEMORY ? IN_MEMORY : join(dataDir, DATABASE_FILE)
}

function migrate(database: DatabaseSync): void {
  // The pragma always answers with one integer.
  const version = database.prepare('PRAGMA user_version').get()?.user_version as number
  if (version > MIGRATIONS.length) {
    throw new StoreUnusableError(
      `The database is of version ${version}, this program knows up to ${MIGRATIONS.length}: run a newer gatherd.`,
    )
  }
  for (let next = version; next < MIGRATIONS.length; next++) {
    database.exec(`BEGIN IMMEDIATE; ${MIGRATIONS[next]}; PRAGMA user_version = ${next + 1}; COMMIT`)
  }
}

/** As `mkdir -p`. Node's own `recursive` never comes back from a path under which nothing can be made, as in /proc. */
function makeDirectory(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return
  const parent = dirname(resolve(path))
  if (parent !== resolve(path)) makeDirectory(parent)
  mkdirSync(path, 0o700)
}

function usable<T>(dataDir: string, open: () => T): T {
  try {
    return open()
  } catch (cause) {
    throw cause instanceof StoreUnusableError ? cause : unusable(dataDir, DATABASE_FILE, cause)
  }
}

function isBusy(thrown: unknown): boolean {
  return thrown instanceof Error && 'errcode' in thrown && thrown.errcode === 5
}
