import { randomBytes } from 'node:crypto'
import { closeSync, fstatSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ConfigError } from '../errors.ts'
import { KEY_BYTES } from './vault.ts'

/** The name of the file with the key inside the data directory. */
export const KEY_FILE = 'gatherd.key'

/** What a line of the file is: a key in hex. */
const LINE = new RegExp(`^[0-9a-f]{${2 * KEY_BYTES}}$`, 'i')

/**
 * The keys in the key file of a data directory, a line each, the newest first; null when there is no such file.
 * @throws {ConfigError} when others can read it, or it holds something else.
 */
export function readKeyFile(dataDir: string): Uint8Array[] | null {
  const path = join(dataDir, KEY_FILE)
  const text = usable(path, () => readPrivate(path))
  if (text === null) return null
  const lines = text.split('\n').filter((line) => line !== '')
  if (lines.length === 0 || !lines.every((line) => LINE.test(line)))
    throw new ConfigError(
      `The key file ${path} is damaged: it must hold a key of ${2 * KEY_BYTES} hexadecimal digits on each line. Put it back from where you keep it; without it, or with another key, secret headers in the database cannot be read any more.`,
    )
  return lines.map((line) => Buffer.from(line, 'hex'))
}

/**
 * Make the key file of a data directory, which must not have one, and which no other process may be using. It is whole
 * and on disk, or not there.
 * @throws {ConfigError} when it cannot be written, or others can read it all the same.
 */
export function makeKeyFile(dataDir: string): Uint8Array[] {
  const path = join(dataDir, KEY_FILE)
  usable(path, () => writeWhole(path, `${randomBytes(KEY_BYTES).toString('hex')}\n`, dataDir))
  const keys = readKeyFile(dataDir)
  if (keys === null) throw new ConfigError(`The key file ${path} was taken away as it was made.`)
  return keys
}

/** What only the owner of a file can read; null when there is no file. */
function readPrivate(path: string): string | null {
  const file = openOrNull(path)
  if (file === null) return null
  try {
    const mode = fstatSync(file).mode & 0o777
    if ((mode & 0o077) !== 0)
      throw new ConfigError(
        `The key file ${path} can be used by others than its owner (its mode is ${mode.toString(8)}): chmod 600 it. Where files have no such modes, set GATHERD_SECRET_KEY and remove it.`,
      )
    return readFileSync(file, 'utf8')
  } finally {
    closeSync(file)
  }
}

function openOrNull(path: string): number | null {
  try {
    return openSync(path, 'r')
  } catch (thrown) {
    if (thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT') return null
    throw thrown
  }
}

function writeWhole(path: string, text: string, dataDir: string): void {
  const draft = `${path}.new`
  // Left by a start that was cut off here, maybe with another mode.
  rmSync(draft, { force: true })
  writeFileSync(draft, text, { mode: 0o600, flag: 'wx', flush: true })
  renameSync(draft, path)
  const directory = openSync(dataDir, 'r')
  fsyncSync(directory)
  closeSync(directory)
}

function usable<T>(path: string, use: () => T): T {
  try {
    return use()
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new ConfigError(`The key file ${path} cannot be used: ${why}.`, { cause })
  }
}
