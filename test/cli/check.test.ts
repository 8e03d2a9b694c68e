import { spawnSync } from 'node:child_process'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { textReport } from '../../src/cli/check/report.ts'
import { check } from '../../src/cli/check.ts'
import { DATABASE_FILE } from '../../src/store/sqlite/open.ts'
import { withDatabase } from '../store/sqlite/check-store.ts'
import { openSqlite } from '../store/sqlite/under-test.ts'
import { Installation } from '../support/process.ts'
import { Caller, sleepFor } from '../support/service.ts'
import { tempDir } from '../support/temp-dir.ts'
import { FakeIo, outcome } from './fake-io.ts'

/** Run `gatherd check` with these arguments; what it printed and how it ended. */
async function checked(env: Record<string, string>, ...args: string[]) {
  const io = new FakeIo(args, { env })
  return { ...(await outcome(check, io)), out: io.stdout.text, json: () => io.stdout.json }
}

/** A store without batches in a directory of its own; `sql` breaks it. */
async function store(sql = '') {
  const dir = tempDir()
  await (await openSqlite(dir.path)).close()
  const file = join(dir.path, DATABASE_FILE)
  withDatabase(file, (database) => database.exec(sql))
  return { path: dir.path, file, [Symbol.dispose]: () => dir[Symbol.dispose]() }
}

/** The key of the first start, out of what the service printed. */
function firstCaller({ process, url }: Installation): Caller {
  return new Caller({ name: 'default', key: process.firstKey, url })
}

describe('gatherd check', () => {
  it('checks GATHERD_DATA_DIR, and ends with 0 when all is well', async () => {
    using dir = await store()

    const { status, out } = await checked({ GATHERD_DATA_DIR: dir.path })

    expect([status, out]).toEqual([0, '0 batches, 0 jobs, 0 events checked: ok\n'])
  })

  it.each(['path', 'file'] as const)('checks what its argument names, by its %s', async (by) => {
    using dir = await store()

    const { status, out } = await checked({ GATHERD_DATA_DIR: '/nowhere' }, dir[by])

    expect([status, out]).toEqual([0, '0 batches, 0 jobs, 0 events checked: ok\n'])
  })

  it('prints a line for each problem, sums up, and ends with 1', async () => {
    using dir = await store(`INSERT INTO log VALUES (4, 1, '[]'); INSERT INTO labels VALUES ('a', 'b', 'c', 5)`)

    const { status, out } = await checked({}, dir.path)

    expect(status).toBe(1)
    expect(out.split('\n')).toEqual([
      'batch #4: 1 rows of table log belong to no batch',
      'batch #5: label "b" belongs to no batch of its tenant',
      '0 batches, 0 jobs, 0 events checked: 2 problems',
      '',
    ])
  })

  it('prints the first hundred problems, and how many there are', async () => {
    const rows = Array.from({ length: 103 }, (_, i) => `(${i + 1}, 1, '[]')`).join()
    using dir = await store(`INSERT INTO log VALUES ${rows}`)

    const lines = (await checked({}, dir.path)).out.trimEnd().split('\n')

    expect(lines.length).toBe(102)
    expect(lines.slice(-2)).toEqual(['… and 3 more', '0 batches, 0 jobs, 0 events checked: 103 problems'])
  })

  it('prints JSON on request', async () => {
    using dir = await store(`INSERT INTO log VALUES (4, 1, '[]')`)

    const { status, json } = await checked({}, dir.file, '--json')

    const problems = [{ batch: '#4', index: null, message: '1 rows of table log belong to no batch' }]
    const counts = { batches: 0, jobs: 0, events: 0, found: 1 }
    expect(json()).toEqual([{ file: dir.file, ok: false, ...counts, problems }])
    expect(status).toBe(1)
  })

  it('lets nothing of a store speak to the terminal', () => {
    const problem = { batch: 'bat_\u001b[2J', index: 3, message: 'two\nlines' }

    const lines = textReport({ batches: 1, jobs: 1, events: 1, found: 1, problems: [problem] })

    expect(lines).toEqual(['batch bat_?[2J, job 3: two?lines', '1 batch, 1 job, 1 event checked: 1 problem'])
  })

  it.each<[string, string, string[]]>([
    ['the directory is not there', 'There is no database', ['/nowhere/data']],
    ['it is given two', 'takes one directory or file, not "b"', ['a', 'b']],
    ['it is told to keep nothing', 'is :memory:', [':memory:']],
    ['it has no such option', 'Unknown option --fix', ['--fix']],
  ])('ends with 2 and words when %s', async (_why, words, args) => {
    const { status, message, out } = await checked({}, ...args)

    expect([status, out]).toEqual([2, ''])
    expect(message).toContain(words)
  })

  it('has a help', async () => {
    expect((await checked({}, '--help')).out).toContain('gatherd check [<data directory> | <backup file>] [--json]')
  })

  it('makes nothing where there is nothing', async () => {
    using dir = tempDir()

    const { status } = await checked({ GATHERD_DATA_DIR: dir.path })

    expect(status).toBe(2)
    expect(readdirSync(dir.path)).toEqual([])
  })

  it('has words and no stack for garbage', () => {
    using dir = tempDir()
    writeFileSync(join(dir.path, DATABASE_FILE), Buffer.alloc(8_192, 0xa5))
    const main = join(import.meta.dirname, '../../src/main.ts')

    const { status, stdout, stderr } = spawnSync(process.execPath, [main, 'check', dir.path], { encoding: 'utf8' })

    expect([status, stdout]).toEqual([2, ''])
    expect(stderr).toMatch(/^gatherd: \S+ cannot be read: it is no SQLite database\.\n$/)
  })
})

describe('gatherd check, beside a service', () => {
  it('finds nothing wrong while it writes, after kill -9, and after the next start and stop', {
    timeout: 60_000,
  }, async () => {
    await using installation = new Installation()
    await installation.start()
    const me = firstCaller(installation)
    const submit = () =>
      me.submit({
        policy: 'task_group',
        jobs: Array.from({ length: 200 }, (_, i) => sleepFor(i % 7)),
        labels: { a: 'b' },
      })
    let done = false
    const writing = (async () => {
      while (!done) await submit()
    })()

    const found: string[] = []
    for (let round = 0; round < 8; round++) found.push((await checked({}, installation.dataDir)).out)
    done = true
    await writing
    await submit()
    await installation.crash()
    const files = readdirSync(installation.dataDir)
    found.push((await checked({}, installation.dataDir)).out)
    const filesAfter = readdirSync(installation.dataDir)
    await installation.start()
    found.push((await checked({}, installation.dataDir)).out)
    await installation.process.end('SIGTERM')
    found.push((await checked({}, installation.dataDir)).out)

    for (const out of found) expect(out).toMatch(/^\d+ batch(es)?, \d+ jobs?, \d+ events? checked: ok\n$/)
    expect(filesAfter).toEqual(files)
  })
})
