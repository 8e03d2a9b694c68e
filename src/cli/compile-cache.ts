import { lstatSync, mkdirSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import { join } from 'node:path'

/**
 * Let Node keep what it compiles and strips of types in the data directory: half of a start is that. What lies there is
 * run, so it must be a directory of this user that nobody else can write to. Without one, and in a data directory that
 * is not there yet, a start is slower and nothing else.
 */
export function useCompileCache(dataDir: string, user: number | undefined): void {
  const directory = join(dataDir, 'compile-cache')
  try {
    mkdirSync(directory, { mode: 0o700 })
  } catch {
    // It is there already, or there will be none: the next look tells.
  }
  if (isOurs(directory, user)) enableCompileCache(directory)
}

/** Not a link either: that leads to wherever whoever made it wants. */
function isOurs(directory: string, user: number | undefined): boolean {
  try {
    const seen = lstatSync(directory)
    return seen.isDirectory() && seen.uid === user && (seen.mode & 0o022) === 0
  } catch {
    // There is none, or the data directory is no directory: whoever opens the store says so, in words.
    return false
  }
}
