import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { tempDir } from '../support/temp-dir.ts'

/** A tmpfs with these mount options; null where none can be mounted. */
export function mountTmpfs(options: string): ({ path: string } & Disposable) | null {
  const dir = tempDir()
  const path = join(dir.path, 'mounted')
  mkdirSync(path)
  const { status } = spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', path])
  if (status !== 0) {
    dir[Symbol.dispose]()
    return null
  }
  return {
    path,
    [Symbol.dispose]() {
      spawnSync('umount', ['--lazy', path])
      dir[Symbol.dispose]()
    },
  }
}
