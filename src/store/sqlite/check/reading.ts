import { existsSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { StoreUnusableError } from '../../../errors.ts'

/** How often a file that changes while nobody should be writing it is read anew. */
const ATTEMPTS = 3

/**
 * Read a database that another process may be writing, and write nothing: no `-wal`, no lock. What `use` reads in one
 * transaction is of one moment. It is called again when the file changed under it, as when a service starts just then.
 *
 * @throws {StoreUnusableError} in words, when there is nothing that can be read. What `use` throws comes through.
 */
export function reading<T>(file: string, use: (database: DatabaseSync) => T): T {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const before = stateAtRest(file)
    const unchanged = () => before === null || before === stateAtRest(file)
    using database = open(file, before !== null)
    try {
      const value = use(database)
      if (unchanged()) return value
    } catch (error) {
      if (unchanged()) throw error
    }
  }
  throw new StoreUnusableError(`${file} changes while it is read: a service is starting on it. Try again.`)
}

/** SQLite's words for an error of its own, null for any other. `code` as in sqlite.org/rescode.html, without its details. */
export function sqliteError(thrown: unknown): { code: number; message: string } | null {
  if (!(thrown instanceof Error) || !('errcode' in thrown)) return null
  return { code: Number(thrown.errcode) & 255, message: thrown.message }
}

/** Says whether a database that nobody has open was written since; null: somebody has, or had and did not end well. */
function stateAtRest(file: string): string | null {
  // The log of a writer, and what a rollback would need: both belong to the database.
  if (existsSync(`${file}-wal`) || existsSync(`${file}-journal`)) return null
  const { ino, size, mtimeNs } = statOf(file)
  return `${ino} ${size} ${mtimeNs}`
}

function statOf(file: string) {
  try {
    const stat = statSync(file, { bigint: true })
    if (!stat.isFile()) throw new StoreUnusableError(`${file} is not a file.`)
    if (stat.size === 0n) throw new StoreUnusableError(`${file} is empty: no gatherd has written to it yet.`)
    return stat
  } catch (error) {
    if (error instanceof StoreUnusableError) throw error
    throw unreadable(file, error)
  }
}

/**
 * In WAL mode SQLite makes `-wal` and `-shm` even to read, where there are none; a database at rest is opened as one that
 * cannot change, which needs neither, nor write permission. It then sees no writer: hence `stateAtRest` before and after.
 */
function open(file: string, atRest: boolean): DatabaseSync {
  statOf(file)
  const url = pathToFileURL(resolve(file))
  if (atRest) url.searchParams.set('immutable', '1')
  try {
    const database = new DatabaseSync(url, { readOnly: true, timeout: 5_000 })
    try {
      // The first read says whether it is a database at all.
      database.prepare('SELECT count(*) FROM sqlite_schema').get()
      database.exec('PRAGMA cache_size = -32000')
      return database
    } catch (error) {
      database.close()
      throw error
    }
  } catch (error) {
    throw unreadable(file, error)
  }
}

function unreadable(file: string, thrown: unknown): StoreUnusableError {
  const code = thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
  if (code === 'ENOENT') return new StoreUnusableError(`There is no database ${file}.`, { cause: thrown })
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  const words = WORDS[sqliteError(thrown)?.code ?? 0] ?? message
  return new StoreUnusableError(`${file} cannot be read: ${words}.`, { cause: thrown })
}

/** What SQLite's codes mean for a database whose first page is not to be read. */
const WORDS: Record<number, string> = {
  11: 'its beginning or its end is damaged or missing',
  26: 'it is no SQLite database',
}
