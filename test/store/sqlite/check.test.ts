import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { StoreUnusableError } from '../../../src/errors.ts'
import { checkStore } from '../../../src/store/sqlite/check.ts'
import { MIGRATIONS } from '../../../src/store/sqlite/migrations.ts'
import { DATABASE_FILE } from '../../../src/store/sqlite/open.ts'
import { startReopenable } from '../../restart/reopen.ts'
import { sleepFor } from '../../support/service.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { submission } from '../rows.ts'
import { brokenCopy, crashedStore, problemsOf, withDatabase } from './check-store.ts'
import { openSqlite } from './under-test.ts'

let store: Awaited<ReturnType<typeof crashedStore>>

beforeAll(async () => {
  store = await crashedStore()
})

afterAll(() => store[Symbol.dispose]())

describe('a check of a store', () => {
  it('finds nothing wrong after batches of every policy, cancels, appends and a crash', () => {
    const { batches, jobs, events, found } = checkStore(store.file)

    expect(problemsOf(store.file)).toEqual([])
    expect({ batches, jobs, found }).toEqual({ batches: 15, jobs: 35, found: 0 })
    const counted = withDatabase(store.file, (database) =>
      database.prepare('SELECT sum(seq) AS seq FROM batches').get(),
    )
    expect(events).toBe(counted?.seq)
  })

  it('finds nothing wrong after each step of retention', async () => {
    using copy = brokenCopy(store.file)
    const sqlite = await openSqlite(copy.dir)
    const step = { now: 2e12, drainedBefore: 2e12, keysBefore: 0, tombstonesBefore: 0 }

    const found: string[][] = []
    while ((await sqlite.expire(step)) > 0) found.push(problemsOf(copy.file))
    await sqlite.close()

    expect(found.length).toBeGreaterThan(0)
    expect(found.flat()).toEqual([])
    expect(checkStore(copy.file)).toMatchObject({ batches: 3, found: 0 })
  })

  it('finds nothing wrong in the middle of what is deleted in several steps', async () => {
    using dir = tempDir()
    await using world = await startReopenable()
    for (let i = 0; i < 2; i++)
      await world.me.run({ jobs: Array.from({ length: 3_000 }, (_, job) => sleepFor(0, { name: `job ${job}` })) })
    cpSync(world.image(), dir.path, { recursive: true })
    const sqlite = await openSqlite(dir.path)
    const step = { now: 2e12, drainedBefore: 2e12, keysBefore: 0, tombstonesBefore: 0 }

    const found: string[][] = []
    while ((await sqlite.expire(step)) > 0) found.push(problemsOf(join(dir.path, DATABASE_FILE)))
    await sqlite.close()

    expect(found.length).toBeGreaterThan(3)
    expect(found.flat()).toEqual([])
  }, 30_000)
})

describe('a check', () => {
  it('names a hundred problems and counts the others', () => {
    using copy = brokenCopy(store.file)
    copy.break((database) => {
      const insert = database.prepare(`INSERT INTO log VALUES (?, 1, '[]')`)
      for (let at = 500; at < 750; at++) insert.run(at)
    })

    const { found, problems } = checkStore(copy.file)

    expect([found, problems.length]).toEqual([250, 100])
  })

  it('names pages that do not fit, and ends there', () => {
    using copy = brokenCopy(store.file)
    // The number of free pages, in the database's header.
    withBytes(copy.file, (bytes) => {
      bytes.writeUInt32BE(77, 36)
      return bytes
    })

    const { found, problems, batches } = checkStore(copy.file)

    expect([found, batches]).toEqual([1, 0])
    expect(problems[0].message).toMatch(/^SQLite finds it damaged: .*free/i)
  })

  it('has words for garbage in the middle of the file', () => {
    using copy = brokenCopy(store.file)
    const size = withDatabase(copy.file, (database) => Number(database.prepare('PRAGMA page_count').get()?.page_count))
    withBytes(copy.file, (bytes) => bytes.fill(0xa5, 3 * 4096, (size - 2) * 4096))

    const { found, problems } = checkStore(copy.file)

    expect(found).toBeGreaterThan(0)
    for (const { message } of problems) expect(message).toMatch(/^SQLite (finds it damaged|cannot read on): [^\n]+$/)
  })

  it.each<[string, string, (file: string) => void]>([
    ['there is none', 'There is no database ', () => undefined],
    ['it is a directory', ' is not a file.', (file) => mkdirSync(file)],
    ['it is empty', ' is empty: no gatherd has written to it yet.', (file) => writeFileSync(file, '')],
    [
      'it is no database',
      ' cannot be read: it is no SQLite database.',
      (file) => writeFileSync(file, 'x'.repeat(9_000)),
    ],
    [
      'it was cut short',
      'damaged or missing.',
      (file) => writeFileSync(file, readFileSync(store.file).subarray(0, 9 * 4096)),
    ],
    ['it is of something else', ' is no database of gatherd.', (file) => made(file, 'CREATE TABLE t (a)')],
    [
      'it is of something else with a version',
      ' is no database of gatherd.',
      (file) => made(file, 'CREATE TABLE t (a); PRAGMA user_version = 1'),
    ],
    [
      'it is of a newer version',
      `is of version 99, this program knows up to ${MIGRATIONS.length}: use a newer gatherd.`,
      (file) => made(file, `${MIGRATIONS[0]}; PRAGMA user_version = 99`),
    ],
  ])('refuses in words when %s', (_why, message, prepare) => {
    using dir = tempDir()
    const file = join(dir.path, DATABASE_FILE)
    prepare(file)

    expect(() => checkStore(file)).toThrow(StoreUnusableError)
    expect(() => checkStore(file)).toThrow(message)
  })

  it('makes no file beside a database that nobody has open, and needs no permission to write', () => {
    using copy = brokenCopy(store.file)
    const before = readdirSync(copy.dir)

    checkStore(copy.file)

    expect(readdirSync(copy.dir)).toEqual(before)
    expect(before).toEqual([DATABASE_FILE])
  })

  it('reads what a writer has committed and not yet put into the database, and leaves its files as they are', async () => {
    using dir = tempDir()
    const sqlite = await openSqlite(dir.path)
    await sqlite.commit(submission(1, 3))
    const before = readdirSync(dir.path)

    const { batches, jobs } = checkStore(join(dir.path, DATABASE_FILE))
    await sqlite.commit(submission(2, 3))
    const later = checkStore(join(dir.path, DATABASE_FILE))

    expect([batches, jobs, later.batches]).toEqual([1, 3, 2])
    expect(readdirSync(dir.path)).toEqual(before)
    await sqlite.close()
    expect(readdirSync(dir.path)).not.toContain(`${DATABASE_FILE}-wal`)
  })
})

function withBytes(file: string, change: (bytes: Buffer) => Buffer): void {
  writeFileSync(file, change(readFileSync(file)))
}

function made(file: string, sql: string): void {
  withDatabase(file, (database) => database.exec(sql))
}
