import { accessSync, constants, existsSync, mkdtempSync, rmdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { StoreUnusableError } from '../../errors.ts'

const ADVICE =
  "the service's user must be able to write the directory and every gatherd.db file in it, on a disk mounted for writing"

/**
 * That a data directory cannot be used: what is in the way, where that can be seen, with advice, else what SQLite said.
 *
 * @param file - The name of the database in it. SQLite keeps a `-wal` and a `-shm` beside it while it is open.
 */
export function unusable(dataDir: string, file: string, cause: unknown): StoreUnusableError {
  const said = cause instanceof Error ? cause.message : String(cause)
  const obstacle = obstacleIn(dataDir, [file, `${file}-wal`, `${file}-shm`])
  const why = obstacle === null ? said : `${obstacle} (${said}): ${ADVICE}`
  return new StoreUnusableError(`The data directory ${dataDir} cannot be used: ${why}.`, { cause })
}

/** SQLite says of all of these that it is "unable to open database file", or that it is "readonly". */
function obstacleIn(dataDir: string, files: readonly string[]): string | null {
  if (!existsSync(dataDir) || !statSync(dataDir).isDirectory()) return null
  for (const name of files) {
    const path = join(dataDir, name)
    if (!existsSync(path)) continue
    if (!statSync(path).isFile()) return `${name} is no file`
    if (!isWritable(path)) return `${name} cannot be read and written`
  }
  const missing = files.filter((name) => !existsSync(join(dataDir, name)))
  return canMakeIn(dataDir) || missing.length === 0 ? null : `${missing.join(' and ')} cannot be made in it`
}

/** Tries it: a directory can be closed to its owner as well. */
function canMakeIn(dataDir: string): boolean {
  try {
    rmdirSync(mkdtempSync(join(dataDir, 'gatherd-')))
    return true
  } catch {
    return false
  }
}

/** Asks without opening it: whoever closes a file of SQLite lets go of the locks that the whole process has on it. */
function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
    return true
  } catch {
    // Whatever the reason: that is what was asked.
    return false
  }
}
