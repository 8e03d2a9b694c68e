import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { StoreUnusableError } from '../../../src/errors.ts'
import { MIGRATIONS } from '../../../src/store/sqlite/migrations.ts'
import { DATABASE_FILE, IN_MEMORY, openWriter } from '../../../src/store/sqlite/open.ts'
import { SqliteService } from '../../../src/store/sqlite/service.ts'
import { SqliteStore } from '../../../src/store/sqlite/store.ts'
import { StoreThread } from '../../../src/store/sqlite/thread.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { group, headRow, recordRow, submission } from '../rows.ts'
import { directStore } from './direct-store.ts'
import { onDeath, openSqlite } from './under-test.ts'

describe('SqliteStore.open', () => {
  it('makes the directory and what it needs above it', async () => {
    using dir = tempDir()
    const dataDir = join(dir.path, 'a/b/c')

    const store = await openSqlite(dataDir)
    await store.close()

    expect(readdirSync(dataDir)).toContain(DATABASE_FILE)
  })

  it('refuses a directory that is in use, and takes it once that is over', async () => {
    using dir = tempDir()
    const first = await openSqlite(dir.path)

    const second = await openSqlite(dir.path).catch((error: unknown) => error)
    expect(second).toBeInstanceOf(StoreUnusableError)
    expect(String(second)).toContain(`${dir.path} cannot be used: another gatherd process is using it`)

    await first.commit(submission(1, 1))
    await first.close()
    const third = await openSqlite(dir.path)
    expect(third.lastBatchNo).toBe(1)
    await third.close()
  })

  it.each<[string, (dir: string) => string]>([
    ['a file stands in its place', (dir) => fileIn(dir, 'file')],
    ['it would be below a file', (dir) => join(fileIn(dir, 'file'), 'data')],
    ['nothing can be made there', () => '/proc/self/data'],
    ['the database is no database', (dir) => garbageIn(dir)],
  ])('says what is wrong when %s', async (_why, prepare) => {
    using dir = tempDir()
    const dataDir = prepare(dir.path)

    const refused = await openSqlite(dataDir).catch((error: unknown) => error)

    expect(refused).toBeInstanceOf(StoreUnusableError)
    expect(String(refused)).toContain(`The data directory ${dataDir} cannot be used: `)
  })

  it('refuses a database that a newer version wrote, and leaves it alone', async () => {
    using dir = tempDir()
    await (await openSqlite(dir.path)).close()
    withDatabase(dir.path, (database) => database.exec(`PRAGMA user_version = ${MIGRATIONS.length + 1}`))

    const refused = await openSqlite(dir.path).catch((error: unknown) => error)

    expect(refused).toBeInstanceOf(StoreUnusableError)
    expect(String(refused)).toContain(`is of version ${MIGRATIONS.length + 1}`)
    expect(withDatabase(dir.path, (database) => database.prepare('PRAGMA user_version').get())).toEqual({
      user_version: MIGRATIONS.length + 1,
    })
  })

  it('leaves nothing locked when it is refused', async () => {
    using dir = tempDir()
    garbageIn(dir.path)
    await expect(openSqlite(dir.path)).rejects.toThrow(StoreUnusableError)

    expect(() => new SqliteService({ role: 'writer', dataDir: dir.path })).toThrow('not a database')
    expect(() => new SqliteService({ role: 'writer', dataDir: dir.path })).toThrow('not a database')
  })

  it('leaves one file to copy after it is closed', async () => {
    using dir = tempDir()
    const store = await openSqlite(dir.path)
    await store.commit(submission(1, 10))

    await store.close()

    expect(readdirSync(dir.path).filter((name) => name !== 'gatherd.lock')).toEqual([DATABASE_FILE])
  })

  it('in memory keeps two stores apart', async () => {
    const [one, two] = await Promise.all([openSqlite(IN_MEMORY), openSqlite(IN_MEMORY)])
    const entering = submission(1, 1)
    await one.commit(entering)

    expect(await two.batch('acme', entering.batches[0].id)).toBeNull()
    expect(Buffer.from(one.secret)).not.toEqual(Buffer.from(two.secret))
    await Promise.all([one.close(), two.close()])
  })
})

describe('a store thread', () => {
  it('that ends by itself rejects what was asked, tells once, and lets the store close', async () => {
    using dir = tempDir()
    const workers: Worker[] = []
    const collect = (worker: Worker) => workers.push(worker)
    process.on('worker', collect)
    const deaths: Error[] = []
    const store = await SqliteStore.open({ dataDir: dir.path, onDeath: (error) => deaths.push(error) })
    process.off('worker', collect)

    const asked = store.tenants()
    const reader = workers[1]
    const gone = reader.terminate()

    await expect(asked).rejects.toThrow('A store thread ended by itself.')
    await gone
    expect(deaths).toHaveLength(1)
    await expect(store.tenants()).rejects.toThrow('A store thread ended by itself.')
    await store.commit(submission(1, 1))
    await store.close()
    expect(deaths).toHaveLength(1)
  })

  it('that throws is gone with what it threw', async () => {
    const death = Promise.withResolvers<Error>()
    const thread = await StoreThread.start(death.resolve).open({ role: 'both', dataDir: IN_MEMORY })

    // Answers with a function, which cannot cross threads: the one way to make the thread throw from here.
    const asked = thread.call('__lookupGetter__', '__proto__')

    const error = await asked.catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(Error)
    expect(await death.promise).toBe(error)
    await thread.close()
  })

  it('gives an error that the call asked for back to the caller, and goes on', async () => {
    const thread = await StoreThread.start(onDeath).open({ role: 'both', dataDir: IN_MEMORY })

    await expect(thread.call('frobnicate')).rejects.toThrow('The store has no frobnicate.')
    await expect(thread.call('commit', Symbol('a value that cannot be cloned'))).rejects.toThrow('could not be cloned')
    await expect(thread.call('tenants')).resolves.toEqual([])
    await thread.close()
    await expect(thread.call('tenants')).rejects.toThrow('The store is closed.')
  })
})

describe('SqliteService', () => {
  it('writes through a WAL, fsyncs every commit, and waits for a busy database', () => {
    using dir = tempDir()
    const database = openWriter(dir.path)
    const pragma = (name: string) => Object.values(database.prepare(`PRAGMA ${name}`).get() ?? {})[0]

    expect([pragma('journal_mode'), pragma('synchronous'), pragma('busy_timeout')]).toEqual(['wal', 2, 5_000])
    expect(pragma('user_version')).toBe(MIGRATIONS.length)
    database.close()
  })

  it('leaves no transaction open after one that failed', () => {
    const service = new SqliteService({ role: 'both', dataDir: IN_MEMORY })
    const entering = submission(1, 1)
    const twice = { ...entering, batches: [...entering.batches, ...entering.batches] }

    const refused = service.answer({ id: 1, method: 'commit', args: [twice] })

    expect(refused).toMatchObject({ id: 1, error: { message: expect.stringContaining('UNIQUE') } })
    expect(service.answer({ id: 2, method: 'commit', args: [entering] })).toEqual({
      id: 2,
      value: [['acme', expect.any(Number)]],
    })
    service.close()
    service.close()
  })

  it('finds names and pages without looking at every job of every batch', () => {
    using dir = tempDir()
    const service = new SqliteService({ role: 'writer', dataDir: dir.path })
    service.answer({ id: 1, method: 'commit', args: [submission(1, 3)] })
    service.close()

    const plan = (sql: string) =>
      withDatabase(dir.path, (database) =>
        database
          .prepare(`EXPLAIN QUERY PLAN ${sql}`)
          .all()
          .map(({ detail }) => String(detail)),
      )

    const names = `SELECT name FROM specs WHERE name IN (SELECT value FROM json_each('["a"]')) AND id >> 20 = 1`
    expect(plan(names).some((detail) => detail.startsWith('SEARCH specs USING'))).toBe(true)
    const pages =
      'SELECT s.id FROM specs s LEFT JOIN records r ON r.id = s.id WHERE s.id >= 1 AND s.id < 2 ORDER BY s.id'
    expect(plan(pages).filter((detail) => detail.startsWith('SCAN'))).toEqual([])
    const latest = 'SELECT max(seq) AS seq FROM log WHERE no = 1 AND seq <= 5'
    expect(plan(latest).filter((detail) => detail.startsWith('SCAN'))).toEqual([])
  })

  it('reads only what is committed', () => {
    using dir = tempDir()
    const writer = new SqliteService({ role: 'writer', dataDir: dir.path })
    const reader = new SqliteService({ role: 'reader', dataDir: dir.path })
    const entering = submission(1, 1)
    const read = () => reader.answer({ id: 1, method: 'batch', args: ['acme', entering.batches[0].id] })

    writer.answer({ id: 1, method: 'commit', args: [group({})] })
    expect(read()).toEqual({ id: 1, value: null })
    writer.answer({ id: 2, method: 'commit', args: [entering] })
    expect(read()).toMatchObject({ value: { no: 1 } })
    reader.close()
    writer.close()
  })

  it('says in one sentence why a directory cannot be used', () => {
    using dir = tempDir()
    const open = (dataDir: string) => new SqliteService({ role: 'writer', dataDir })
    const below = join(fileIn(dir.path, 'file'), 'data')
    const dataDir = join(dir.path, 'new')
    const first = open(dataDir)

    expect(() => open(dataDir)).toThrow('another gatherd process is using it.')
    first.close()
    withDatabase(dataDir, (database) => database.exec(`PRAGMA user_version = ${MIGRATIONS.length + 1}`))
    expect(() => open(dataDir)).toThrow(`is of version ${MIGRATIONS.length + 1}`)
    expect(() => open(below)).toThrow(`The data directory ${below} cannot be used: `)
    expect(() => open('/proc/self/data')).toThrow('ENOENT')
  })

  it('knows no methods but its own', () => {
    const service = new SqliteService({ role: 'both', dataDir: IN_MEMORY })

    expect(service.answer({ id: 4, method: 'frobnicate', args: [] })).toEqual({
      id: 4,
      error: { name: 'Error', message: 'The store has no frobnicate.' },
    })
    service.close()
  })

  it('deletes a large batch in small steps, none of which keeps commits waiting', async () => {
    const store = directStore(IN_MEMORY)
    await store.commit(submission(1, 9_000))
    await store.commit(group({ heads: [headRow(1, { drainedAt: 1 })], records: [recordRow(1, 0, { count: 9_000 })] }))

    const steps: number[] = []
    const step = { now: 1_000, drainedBefore: 500, keysBefore: 0, tombstonesBefore: 0 }
    while (steps.at(-1) !== 0) steps.push(await store.expire(step))

    expect(steps.length).toBeGreaterThan(4)
    expect(Math.max(...steps)).toBeLessThan(7_000)
    await store.close()
  })

  it('needs the database to be there to read it', () => {
    using dir = tempDir()

    expect(() => new SqliteService({ role: 'reader', dataDir: dir.path })).toThrow()
  })
})

function fileIn(dir: string, name: string): string {
  const path = join(dir, name)
  writeFileSync(path, 'in the way')
  return path
}

function garbageIn(dir: string): string {
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, DATABASE_FILE), 'garbage '.repeat(1_000))
  return dir
}

function withDatabase<T>(dataDir: string, use: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(join(dataDir, DATABASE_FILE))
  try {
    return use(database)
  } finally {
    database.close()
  }
}
