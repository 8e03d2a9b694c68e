import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, openSync, realpathSync, renameSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { StoreUnusableError } from '../../errors.ts'
import type { Copied } from './backup/copy.ts'
import { copyOnThread } from './backup/thread.ts'
import { DATABASE_FILE } from './open.ts'

export type { Copied } from './backup/copy.ts'

/** What is to be backed up, and where to. */
export interface BackupOptions {
  dataDir: string
  file: string
  /** Replace a file that is there. */
  force: boolean
  /** Check the copy, and keep it only if it is all right. */
  check: boolean
  /** Give up: nothing is left behind. */
  signal: AbortSignal
}

/**
 * Copy the store of a data directory, which a service may be writing, into one file: whole, on disk and readable by its
 * owner only when this resolves. A copy in which a check found problems is thrown away, `check` in the result says which.
 *
 * @throws {StoreUnusableError} why there is no backup; the signal's reason. Nothing is left behind, and what was there stays.
 */
export async function backUp({ dataDir, file, force, check, signal }: BackupOptions): Promise<Copied> {
  const target = resolve(file)
  refuseTarget(dataDir, target, force)
  const temporary = `${target}.${randomBytes(4).toString('hex')}.partial`
  try {
    // Before SQLite writes to it: it holds what tenants sent.
    closeSync(words(file, () => openSync(temporary, 'wx', 0o600)))
    const copied = await copyOnThread({ source: join(dataDir, DATABASE_FILE), temporary, check }, signal)
    if (copied.check !== null && copied.check.found > 0) return copied
    refuseTarget(dataDir, target, force)
    words(file, () => putInPlace(temporary, target))
    return copied
  } finally {
    for (const end of ['', '-journal']) rmSync(`${temporary}${end}`, { force: true })
  }
}

/** On disk before it has its name, and its name on disk before anyone hears of it. */
function putInPlace(temporary: string, target: string): void {
  sync(temporary)
  renameSync(temporary, target)
  sync(dirname(target))
}

function sync(path: string): void {
  const descriptor = openSync(path, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** @throws {StoreUnusableError} when a backup may not be put there. */
function refuseTarget(dataDir: string, target: string, force: boolean): void {
  const folder = dirname(target)
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory())
    throw new StoreUnusableError(`There is no directory ${folder} to put the backup into.`)
  if (existsSync(dataDir) && realpathSync(folder) === realpathSync(dataDir) && /^gatherd\./.test(basename(target)))
    throw new StoreUnusableError(`${target} is a name of the store itself: name another file.`)
  // SQLite would take what is in them for the newest part of the backup.
  for (const beside of [`${target}-wal`, `${target}-journal`])
    if (existsSync(beside)) throw new StoreUnusableError(`${beside} is there: a database of that name is in use.`)
  const there = statSync(target, { throwIfNoEntry: false })
  if (there === undefined) return
  if (!there.isFile()) throw new StoreUnusableError(`${target} is not a file.`)
  if (!force) throw new StoreUnusableError(`${target} is there already: name another file, or say --force.`)
}

/** The operating system's refusals, as what they mean here. */
function words<T>(file: string, write: () => T): T {
  try {
    return write()
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause)
    throw new StoreUnusableError(`${file} cannot be written: ${message}.`, { cause })
  }
}
