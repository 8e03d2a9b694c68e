import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it, vi } from 'vitest'
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

const NUMBERS = Array.from({ length: 5 }, (_, i) => i + 1)
const rows = (row: (no: number) => string) => NUMBERS.map(row).join()

/** The rows of five batches that are on their way out, a tombstone each. */
const PUT = `BEGIN;
  INSERT INTO tombstones VALUES ${rows((no) => `(${no}, 'bat_${no}', 'acme', 0, 0)`)};
  INSERT INTO log VALUES ${rows((no) => `(${no}, 1, '[]')`)};
  ${counted('+')} COMMIT`
const TAKE = `BEGIN; ${counted('-')} DELETE FROM tombstones; DELETE FROM log; COMMIT`

/** What a check finds of a store that changes from `before` to `after` as its `nth` statement begins, and how many those are. */
function checkedWhile(file: string, before: string, after: string, nth: number) {
  using writer = new DatabaseSync(file, { timeout: 5_000 })
  writer.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF')
  writer.exec(before)
  let statements = 0
  const { prepare } = DatabaseSync.prototype
  const spy = vi.spyOn(DatabaseSync.prototype, 'prepare').mockImplementation(function (this: DatabaseSync, sql) {
    if (++statements === nth) writer.exec(after)
    return prepare.call(this, sql)
  })
  try {
    return { found: checkStore(file).found, statements }
  } finally {
    spy.mockRestore()
  }
}

describe('a check', () => {
  it.each([
    ['comes', TAKE, PUT],
    ['goes', PUT, TAKE],
  ])('sees one moment of a store, whenever what it reads %s', async (_what, before, after) => {
    using store = await atRest()
    const { statements } = checkedWhile(store.file, PUT, '', 0)

    const found: number[] = []
    for (let nth = 1; nth <= statements; nth++) {
      found.push(checkedWhile(store.file, nth === 1 && before === PUT ? '' : before, after, nth).found)
    }

    expect(statements).toBeGreaterThan(5)
    expect(found).toEqual(found.map(() => 0))
  })
})
