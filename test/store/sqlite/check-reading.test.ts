import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { StoreUnusableError } from '../../../src/errors.ts'
import { reading } from '../../../src/store/sqlite/check/reading.ts'
import { checkStore } from '../../../src/store/sqlite/check.ts'
import { DATABASE_FILE } from '../../../src/store/sqlite/open.ts'
import { sumOf } from '../../../src/store/sqlite/stored.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { openSqlite } from './under-test.ts'

/** A store at rest in a directory of its own. */
async function atRest() {
  const dir = tempDir()
  await (await openSqlite(dir.path)).close()
  return { file: join(dir.path, DATABASE_FILE), [Symbol.dispose]: () => dir[Symbol.dispose]() }
}

describe('a database at rest that changes while it is read', () => {
  it('is read again, and only what was read at last counts', async () => {
    using store = await atRest()
    let calls = 0

    const value = reading(store.file, () => {
      if (++calls === 1) appendFileSync(store.file, 'x')
      return calls
    })

    expect(value).toBe(2)
  })

  it('is read again when what was read of it made no sense', async () => {
    using store = await atRest()
    let calls = 0

    const value = reading(store.file, () => {
      if (++calls > 1) return 'read'
      appendFileSync(store.file, 'x')
      throw new Error('torn')
    })

    expect(value).toBe('read')
  })

  it('is given up when it does so again and again', async () => {
    using store = await atRest()

    const read = () => reading(store.file, () => appendFileSync(store.file, 'x'))

    expect(read).toThrow(StoreUnusableError)
    expect(read).toThrow('changes while it is read')
  })

  it('that does not change lets an error through', async () => {
    using store = await atRest()

    const read = () =>
      reading(store.file, () => {
        throw new Error('a mistake')
      })

    expect(read).toThrow('a mistake')
  })
})

/** SQL: count the rows of all tombstones and their logs for what their tenant keeps, or no more. */
const counted = (sign: '+' | '-') => `INSERT INTO stored VALUES ('acme', 0) ON CONFLICT DO NOTHING;
  UPDATE stored SET bytes = bytes ${sign} (SELECT ${sumOf('tombstones')} FROM tombstones)
    ${sign} (SELECT ${sumOf('log')} FROM log) WHERE tenant_id = 'acme';`

/** Puts fifty batches' rows in, with a tombstone each that says they are on their way out, and takes them away, for ever. */
const FLIPPING = `
  const { DatabaseSync } = require('node:sqlite')
  const { parentPort, workerData } = require('node:worker_threads')
  const database = new DatabaseSync(workerData.file, { timeout: 5000 })
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF')
  const numbers = Array.from({ length: 50 }, (_, i) => i + 1)
  const rows = (row) => numbers.map(row).join()
  const put = 'BEGIN; INSERT INTO tombstones VALUES ' + rows((no) => '(' + no + ", 'bat_" + no + "', 'acme', 0, 0)") +
    '; INSERT INTO log VALUES ' + rows((no) => '(' + no + ", 1, '[]')") +
    ';' + workerData.more + 'COMMIT'
  const take = 'BEGIN;' + workerData.less + 'DELETE FROM tombstones; DELETE FROM log; COMMIT'
  database.exec(put)
  parentPort.postMessage('writing')
  for (;;) { database.exec(take); database.exec(put) }
`

describe('a check', () => {
  it('sees one moment of a store that is written all the time', async () => {
    using store = await atRest()
    const writer = new Worker(FLIPPING, {
      eval: true,
      workerData: { file: store.file, more: counted('+'), less: counted('-') },
    })
    await new Promise((resolve) => writer.once('message', resolve))

    const found = Array.from({ length: 40 }, () => checkStore(store.file).found)
    await writer.terminate()

    expect(found).toEqual(found.map(() => 0))
  })
})
