import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { StoreUnusableError } from '../../../src/errors.ts'
import { openReader } from '../../../src/store/sqlite/open.ts'
import { SqliteService } from '../../../src/store/sqlite/service.ts'
import { SqliteStore } from '../../../src/store/sqlite/store.ts'
import { unusable } from '../../../src/store/sqlite/unusable.ts'
import { tempDir } from '../../support/temp-dir.ts'

const ADVICE = "the service's user must be able to write the directory and every gatherd.db file in it"

/** A directory with the store of a service that has ended. */
function kept() {
  const dir = tempDir()
  new SqliteService({ role: 'writer', dataDir: dir.path }).close()
  return dir
}

const open = (dataDir: string) => SqliteStore.open({ dataDir, onDeath: () => undefined })

/** The words for a directory where nobody may write, but for what `file` says. Root is not stopped by modes: then they are asked of another user. */
function wordsFor(path: string, cause = new Error('unable to open database file')): string {
  if (process.getuid?.() !== 0) return unusable(path, 'gatherd.db', cause).message
  const module = new URL('../../../src/store/sqlite/unusable.ts', import.meta.url).href
  const script = `process.setgid(65534); process.setuid(65534);
    console.log(unusable(${JSON.stringify(path)}, 'gatherd.db', new Error(${JSON.stringify(cause.message)})).message)`
  const args = ['--input-type=module', '-e', `import { unusable } from ${JSON.stringify(module)}; ${script}`]
  const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' })
  return stdout.trim() || stderr
}

describe('the words for a data directory that SQLite cannot use', () => {
  it.each(['gatherd.db-wal', 'gatherd.db-shm', 'gatherd.db'])(
    'name %s where it is no file, with advice',
    async (name) => {
      using dir = kept()
      rmSync(join(dir.path, name), { force: true })
      mkdirSync(join(dir.path, name))

      const refused = await open(dir.path).catch((error: unknown) => error)

      expect(refused).toBeInstanceOf(StoreUnusableError)
      expect(String(refused)).toContain(`The data directory ${dir.path} cannot be used: ${name} is no file (`)
      expect(String(refused)).toContain(ADVICE)
      expect(String(refused).split('\n')).toHaveLength(1)
    },
  )

  it('are the same of the connection that reads', () => {
    using dir = kept()
    mkdirSync(join(dir.path, 'gatherd.db-wal'))

    expect(() => openReader(dir.path)).toThrow(StoreUnusableError)
    expect(() => openReader(dir.path)).toThrow('gatherd.db-wal is no file')
  })

  it.each(['gatherd.db-wal', 'gatherd.db-shm', 'gatherd.db'])('name %s where it is not the user’s to write', (name) => {
    using dir = kept()
    chmodSync(dir.path, 0o777)
    for (const each of ['gatherd.db', 'gatherd.db-wal', 'gatherd.db-shm']) {
      writeFileSync(join(dir.path, each), '')
      chmodSync(join(dir.path, each), each === name ? 0o444 : 0o666)
    }

    expect(wordsFor(dir.path)).toBe(
      `The data directory ${dir.path} cannot be used: ${name} cannot be read and written (unable to open database file): ${ADVICE}, on a disk mounted for writing.`,
    )
  })

  it('name what cannot be made in a directory that is not to be written', () => {
    using dir = kept()
    chmodSync(join(dir.path, 'gatherd.db'), 0o666)
    chmodSync(dir.path, 0o555)

    const words = wordsFor(dir.path)
    chmodSync(dir.path, 0o755)

    expect(words).toContain('gatherd.db-wal and gatherd.db-shm cannot be made in it (unable to open')
    expect(words).toContain(ADVICE)
  })

  it('are those of a whole start in such a directory', async ({ skip }) => {
    using dir = kept()
    if (process.getuid?.() === 0 && spawnSync('chattr', ['+i', dir.path]).status !== 0)
      return skip('root writes everywhere here')
    chmodUnlessRoot(dir.path, 0o555)

    const refused = await open(dir.path).catch((error: unknown) => error)
    spawnSync('chattr', ['-i', dir.path])
    chmodUnlessRoot(dir.path, 0o755)

    expect(existsSync(join(dir.path, 'gatherd.db-wal'))).toBe(false)
    expect(String(refused)).toContain('gatherd.db-wal and gatherd.db-shm cannot be made in it')
  })

  it('are SQLite’s own where nothing is in the way', () => {
    using dir = kept()

    expect(unusable(dir.path, 'gatherd.db', new Error('database disk image is malformed')).message).toBe(
      `The data directory ${dir.path} cannot be used: database disk image is malformed.`,
    )
    expect(unusable('/proc/self/none', 'gatherd.db', 'gone').message).toBe(
      'The data directory /proc/self/none cannot be used: gone.',
    )
  })
})

function chmodUnlessRoot(path: string, mode: number): void {
  if (process.getuid?.() !== 0) chmodSync(path, mode)
}
