import { copyFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { backup } from '../../src/cli/backup.ts'
import { checkStore } from '../../src/store/sqlite/check.ts'
import { DATABASE_FILE } from '../../src/store/sqlite/open.ts'
import { withDatabase } from '../store/sqlite/check-store.ts'
import { openSqlite } from '../store/sqlite/under-test.ts'
import { Installation } from '../support/process.ts'
import { Caller, sleepFor } from '../support/service.ts'
import { tempDir } from '../support/temp-dir.ts'
import { FakeIo, outcome } from './fake-io.ts'

/** Run `gatherd backup` with these arguments; what it printed and how it ended. */
async function backedUp(dataDir: string, ...args: string[]) {
  const io = new FakeIo(args, { env: { GATHERD_DATA_DIR: dataDir } })
  return { io, ...(await outcome(backup, io)), out: io.stdout.text, err: io.stderr.text }
}

/** A store without batches, and a name for a backup in a folder of its own. */
async function scratch() {
  const [data, backups] = [tempDir(), tempDir()]
  await (await openSqlite(data.path)).close()
  return {
    dataDir: data.path,
    database: join(data.path, DATABASE_FILE),
    backups: backups.path,
    file: join(backups.path, 'copy.db'),
    [Symbol.dispose]() {
      data[Symbol.dispose]()
      backups[Symbol.dispose]()
    },
  }
}

describe('gatherd backup', () => {
  it('says how large the copy is, what is in it, and that it was checked', async () => {
    using place = await scratch()

    const { status, out } = await backedUp(place.dataDir, place.file)

    expect(status).toBe(0)
    expect(out).toMatch(/copy\.db: \d+ kB, 0 batches; 0 batches, 0 jobs, 0 events checked: ok\n$/)
  })

  it('says that it was not checked when it was not', async () => {
    using place = await scratch()
    withDatabase(place.database, (database) => database.exec(`INSERT INTO log VALUES (4, 1, '[]')`))

    const { status, out } = await backedUp(place.dataDir, place.file, '--no-check')

    expect([status, readdirSync(place.backups)]).toEqual([0, ['copy.db']])
    expect(out).toMatch(/copy\.db: \d+ kB, 0 batches; not checked\n$/)
  })

  it('names what the check found, ends with 1 and keeps no copy', async () => {
    using place = await scratch()
    withDatabase(place.database, (database) => database.exec(`INSERT INTO log VALUES (4, 1, '[]')`))

    const { status, out, err } = await backedUp(place.dataDir, place.file)

    expect(status).toBe(1)
    expect(out).toMatch(/^batch #4: 1 rows of table log belong to no batch\n.*checked: 1 problem\n$/)
    expect(err).toContain('is not kept')
    expect(readdirSync(place.backups)).toEqual([])
  })

  it('replaces a file with --force only', async () => {
    using place = await scratch()
    writeFileSync(place.file, 'mine')

    const refused = await backedUp(place.dataDir, place.file)
    const forced = await backedUp(place.dataDir, place.file, '--force')

    expect([refused.status, forced.status]).toEqual([2, 0])
    expect(refused.message).toContain('copy.db is there already')
  })

  it.each<[string, string, string, string[]]>([
    ['no file is named', '/nowhere', 'Name one file', []],
    ['two files are named', '/nowhere', 'Name one file', ['a', 'b']],
    ['the store is in memory', ':memory:', 'is :memory:: such a store is in no file', ['a']],
    ['there is no store', '/nowhere', 'There is no database', ['a']],
  ])('ends with 2 and words when %s', async (_why, dataDir, words, files) => {
    using place = await scratch()

    const { status, message, out } = await backedUp(dataDir, ...files.map((file) => join(place.backups, file)))

    expect([status, out, readdirSync(place.backups)]).toEqual([2, '', []])
    expect(message).toContain(words)
  })

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('ends at %s with %i and leaves nothing', async (signal, status) => {
    using place = await scratch()
    const io = new FakeIo([place.file], { env: { GATHERD_DATA_DIR: place.dataDir } })

    const ended = backup(io)
    io.signal(signal)
    await ended

    expect(io.exits).toEqual([status])
    expect(io.listening).toBe(0)
    expect(io.stderr.text).toBe('gatherd: interrupted, there is no backup.\n')
    expect(readdirSync(place.backups)).toEqual([])
  })

  it('has a help', async () => {
    expect((await backedUp('/nowhere', '--help')).out).toContain('gatherd backup <file> [--force] [--no-check]')
  })
})

describe('a backup of a service at work', () => {
  it('restored, has what had finished and goes on with what had not', { timeout: 60_000 }, async () => {
    using backups = tempDir()
    await using installation = new Installation()
    await installation.start()
    const key = installation.process.firstKey
    const me = new Caller({ name: 'default', key, url: installation.url })
    const finished = await me.run({ jobs: [sleepFor(0, { result: { kept: true } })] })
    const gate = await me.submit({ name: 'unfinished', open: true, jobs: [sleepFor(2_000), sleepFor(0)] })
    await me.seen(gate.id, 'job.succeeded', 1)
    let done = false
    const writing = (async () => {
      while (!done) await me.submit({ jobs: Array.from({ length: 100 }, (_, i) => sleepFor(i % 5)) })
    })()

    const files = [1, 2, 3].map((number) => join(backups.path, `${number}.db`))
    const results = []
    for (const file of files) results.push(await backedUp(installation.dataDir, file))
    done = true
    await writing

    for (const { status, out } of results) expect([status, out]).toEqual([0, expect.stringMatching(/checked: ok\n$/)])
    for (const file of files) expect(statSync(file).mode & 0o777).toBe(0o600)
    await using restored = new Installation()
    copyFileSync(files[0], join(restored.dataDir, DATABASE_FILE))
    await restored.start()
    const there = new Caller({ name: 'default', key, url: restored.url })
    expect(await there.drained(finished.batch.id)).toEqual(finished)
    await there.http.post(`/v1/batches/${gate.id}/close`).expect(200)
    const { batch, jobs } = await there.drained(gate.id)
    expect([batch.state, ...jobs.map(({ state }) => state)]).toEqual(['succeeded', 'succeeded', 'succeeded'])
    expect(checkStore(join(restored.dataDir, DATABASE_FILE)).found).toBe(0)
  })
})
