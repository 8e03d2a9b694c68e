// Finds redis-server, or installs it where that is allowed; prints its path. The tests over Redis use it, and so does CI.
import { spawnSync } from 'node:child_process'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

const NAMES = ['redis-server', 'valkey-server']

/** What to do where there is none. */
export const HINT = 'there is no redis-server: install one, or name it in GATHERD_TEST_REDIS'

/** The path of a redis-server: `GATHERD_TEST_REDIS`, or what is on the PATH or in /usr/bin; null: there is none. */
export function findRedisServer(env: Record<string, string | undefined> = process.env): string | null {
  const named = env.GATHERD_TEST_REDIS
  if (named !== undefined && named !== '') return isProgram(named) ? named : null
  const directories = [...(env.PATH ?? '').split(delimiter).filter((path) => path !== ''), '/usr/bin']
  const paths = directories.flatMap((directory) => NAMES.map((name) => join(directory, name)))
  return paths.find(isProgram) ?? null
}

/** As {@link findRedisServer}, but root has Debian's package installed first, should that be needed. */
export function needRedisServer(): string | null {
  const found = findRedisServer()
  // Who has named one wants that one.
  if (found !== null || process.env.GATHERD_TEST_REDIS || process.getuid?.() !== 0) return found
  const install = ['-o', 'DPkg::Lock::Timeout=120', 'install', '-y', '--no-install-recommends', 'redis-server']
  const apt = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }, timeout: 300_000 }
  if (spawnSync('apt-get', ['update'], apt).status !== 0) return null
  spawnSync('apt-get', install, apt)
  return findRedisServer()
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

if (import.meta.main) {
  const path = needRedisServer()
  if (path === null) console.error(HINT)
  else console.log(path)
  process.exitCode = path === null ? 1 : 0
}
