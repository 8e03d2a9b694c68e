import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { StoreUnusableError } from '../../../src/errors.ts'
import { copyDatabase } from '../../../src/store/sqlite/backup/copy.ts'
import { answerOf } from '../../../src/store/sqlite/backup/thread.ts'
import { type BackupOptions, backUp } from '../../../src/store/sqlite/backup.ts'
import { checkStore } from '../../../src/store/sqlite/check.ts'
import { DATABASE_FILE } from '../../../src/store/sqlite/open.ts'
import { mountTmpfs } from '../../restart/mount.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { submission } from '../rows.ts'
import { withDatabase } from './check-store.ts'
import { openSqlite } from './under-test.ts'

/** A store with some batches, closed again, and a folder for backups of it. */
async function scratch(batches = 3) {
  const dir = tempDir()
  const [dataDir, backups] = [join(dir.path, 'data'), join(dir.path, 'backups')]
  mkdirSync(backups)
  const store = await openSqlite(dataDir)
  await store.putTenant({ id: 'acme', settings: {}, createdAt: 0 })
  for (let no = 1; no <= batches; no++) await store.commit(submission(no, 0))
  await store.close()
  const file = join(backups, 'copy.db')
  const backUpTo = (to: string, own: Partial<BackupOptions> = {}) =>
    backUp({ dataDir, file: to, force: false, check: false, signal: new AbortController().signal, ...own })
  return { dataDir, backups, file, backUpTo, [Symbol.dispose]: () => dir[Symbol.dispose]() }
}

/** Why there is no backup. */
async function refusal(backup: Promise<unknown>): Promise<string> {
  const error = await backup.catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(StoreUnusableError)
  return String(error)
}

describe('a backup', () => {
  it('has every batch, in one file that only its owner can read', async () => {
    using place = await scratch()

    const { bytes, batches, check } = await place.backUpTo(place.file)

    expect({ batches, check }).toEqual({ batches: 3, check: null })
    expect(statSync(place.file)).toMatchObject({ size: bytes })
    expect(statSync(place.file).mode & 0o777).toBe(0o600)
    expect(readdirSync(place.backups)).toEqual(['copy.db'])
  })

  it('leaves a store at rest as it was', async () => {
    using place = await scratch()
    const bytes = readFileSync(join(place.dataDir, DATABASE_FILE))
    const files = readdirSync(place.dataDir)

    await place.backUpTo(place.file)

    expect(readdirSync(place.dataDir)).toEqual(files)
    expect(readFileSync(join(place.dataDir, DATABASE_FILE)).equals(bytes)).toBe(true)
  })

  it('has what is in the log of a writer only', async () => {
    using place = await scratch()
    const store = await openSqlite(place.dataDir)
    await store.commit(submission(4, 0))

    const { batches } = await place.backUpTo(place.file)
    await store.close()

    expect(batches).toBe(4)
  })

  it('has nothing of what was deleted', async () => {
    using place = await scratch()
    const source = join(place.dataDir, DATABASE_FILE)
    withDatabase(source, (database) => {
      database.prepare('INSERT INTO meta VALUES (?, ?)').run('old', Buffer.from('a-secret-of-old '.repeat(2_000)))
      database.exec(`DELETE FROM meta WHERE key = 'old'`)
    })

    await place.backUpTo(place.file)

    expect(readFileSync(source).includes('a-secret-of-old')).toBe(true)
    expect(readFileSync(place.file).includes('a-secret-of-old')).toBe(false)
  })

  it('that does not pass its check is not kept, and what is wrong is told', async () => {
    using place = await scratch()
    withDatabase(join(place.dataDir, DATABASE_FILE), (database) => database.exec(`INSERT INTO log VALUES (9, 1, '')`))
    writeFileSync(place.file, 'the old one')

    const { check } = await place.backUpTo(place.file, { check: true, force: true })

    expect(check?.problems.at(-1)?.message).toBe('1 rows of table log belong to no batch')
    expect(readdirSync(place.backups)).toEqual(['copy.db'])
    expect(readFileSync(place.file, 'utf8')).toBe('the old one')
  })

  it('replaces a file only when it may', async () => {
    using place = await scratch()
    writeFileSync(place.file, 'mine')

    const why = await refusal(place.backUpTo(place.file))
    const kept = readFileSync(place.file, 'utf8')
    await place.backUpTo(place.file, { force: true })

    expect(why).toContain('copy.db is there already: name another file, or say --force.')
    expect(kept).toBe('mine')
    expect(checkStore(place.file).batches).toBe(3)
    expect(statSync(place.file).mode & 0o777).toBe(0o600)
  })

  it.each<[string, string, (place: Awaited<ReturnType<typeof scratch>>) => string]>([
    ['the folder is not there', 'There is no directory ', ({ backups }) => join(backups, 'none/copy.db')],
    ['the name is a directory', ' is not a file.', ({ backups }) => backups],
    ['it is the store itself', ' is a name of the store itself', ({ dataDir }) => join(dataDir, DATABASE_FILE)],
    ['it is the lock of the store', ' is a name of the store itself', ({ dataDir }) => join(dataDir, 'gatherd.lock')],
    [
      'it is the store by another way',
      ' is a name of the store itself',
      ({ dataDir, backups }) => {
        symlinkSync(dataDir, join(backups, 'link'))
        return join(backups, 'link', DATABASE_FILE)
      },
    ],
    [
      'somebody has a database of that name open',
      'copy.db-wal is there: a database of that name is in use.',
      ({ file }) => {
        writeFileSync(`${file}-wal`, '')
        return file
      },
    ],
  ])('is refused when %s, whatever is forced', async (_why, message, prepare) => {
    using place = await scratch()
    const file = prepare(place)
    const files = readdirSync(place.backups)

    expect(await refusal(place.backUpTo(file, { force: true }))).toContain(message)

    expect(readdirSync(place.backups)).toEqual(files)
    expect(checkStore(join(place.dataDir, DATABASE_FILE)).batches).toBe(3)
  })

  it('of nothing leaves nothing', async () => {
    using place = await scratch()

    const why = await refusal(place.backUpTo(place.file, { dataDir: join(place.backups, 'none') }))

    expect(why).toContain('There is no database ')
    expect(readdirSync(place.backups)).toEqual([])
  })

  it('of what a newer version wrote is refused', async () => {
    using place = await scratch()
    withDatabase(join(place.dataDir, DATABASE_FILE), (database) => database.exec('PRAGMA user_version = 99'))

    expect(await refusal(place.backUpTo(place.file))).toContain('is of version 99')
    expect(readdirSync(place.backups)).toEqual([])
  })

  it('for which there is no room leaves nothing', async ({ skip }) => {
    using mounted = mountTmpfs('size=64k')
    if (mounted === null) return skip('nothing can be mounted here')
    using place = await scratch(500)

    const why = await refusal(place.backUpTo(join(mounted.path, 'copy.db')))

    expect(why).toContain('The copy failed: the disk')
    expect(readdirSync(mounted.path)).toEqual([])
  })

  it('in a folder that cannot be written is refused in words', async ({ skip }) => {
    using mounted = mountTmpfs('size=64k,ro')
    if (mounted === null) return skip('nothing can be mounted here')
    using place = await scratch()

    expect(await refusal(place.backUpTo(join(mounted.path, 'copy.db')))).toMatch(/copy\.db cannot be written: EROFS/)
  })

  it('that is given up leaves nothing', async () => {
    using place = await scratch()
    const giveUp = new AbortController()

    const backup = place.backUpTo(place.file, { signal: giveUp.signal })
    giveUp.abort(new Error('enough'))

    await expect(backup).rejects.toThrow('enough')
    expect(readdirSync(place.backups)).toEqual([])
  })
})

describe('the copy on its thread', () => {
  it('counts and checks what it has written', async () => {
    using place = await scratch()
    writeFileSync(place.file, '')

    const task = { source: join(place.dataDir, DATABASE_FILE), temporary: place.file, check: true }

    expect(copyDatabase(task)).toMatchObject({ bytes: statSync(place.file).size, batches: 3, check: { batches: 3 } })
  })

  it('is not made where nothing was prepared', async () => {
    using place = await scratch()

    const task = { source: join(place.dataDir, DATABASE_FILE), temporary: place.file, check: false }

    expect(() => copyDatabase(task)).toThrow('ENOENT')
    expect(existsSync(place.file)).toBe(false)
  })

  it.each([
    [13, 'The copy failed: the disk is full.'],
    [10, 'The copy failed: the disk refuses to be written or read (is it full?).'],
    [266, 'The copy failed: the disk refuses to be written or read (is it full?).'],
    [5, 'The copy failed: as SQLite says.'],
  ])('has words for the code %i of SQLite', (errcode, words) => {
    const fail = () => {
      throw Object.assign(new Error('as SQLite says'), { errcode })
    }

    expect(answerOf(fail)).toEqual({ words })
  })

  it('passes on what nobody foresaw as it is', () => {
    const thrown = new TypeError('a mistake of ours')

    const answer = answerOf(() => {
      throw thrown
    })

    expect(answer).toEqual({ error: thrown })
  })
})
