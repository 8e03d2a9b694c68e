import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { MANY, Many, places } from '../../../src/store/sqlite/many.ts'

function open() {
  const database = new DatabaseSync(':memory:')
  database.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, bytes INTEGER NOT NULL)')
  const insert = new Many(database, (rows) => `INSERT INTO t VALUES ${places(rows, 2)}`)
  const sum = new Many(
    database,
    (rows) => `SELECT coalesce(sum(bytes), 0) AS bytes FROM t WHERE id IN (${marks(rows)})`,
  )
  const all = () => database.prepare('SELECT id, bytes FROM t ORDER BY id').all()
  return { insert, sum, all, [Symbol.dispose]: () => database.close() }
}

const marks = (count: number) => Array(count).fill('?').join(', ')
const rowsOf = (count: number) => Array.from({ length: count }, (_, id) => [id, id * id])

describe('Many', () => {
  it.each([0, 1, MANY - 1, MANY, MANY + 1, 3 * MANY, 3 * MANY + 5])('writes %d rows, each once', (count) => {
    using opened = open()

    opened.insert.run(rowsOf(count))

    expect(opened.all()).toEqual(rowsOf(count).map(([id, bytes]) => ({ id, bytes })))
  })

  it.each([0, 1, MANY, 2 * MANY + 3])('sums up what %d rows have', (count) => {
    using opened = open()
    opened.insert.run(rowsOf(count))

    const bytes = opened.sum.bytes(rowsOf(count).map(([id]) => [id]))

    expect(bytes).toBe(rowsOf(count).reduce((sum, [, bytes]) => sum + bytes, 0))
  })

  it('counts nothing for rows that are not there', () => {
    using opened = open()
    opened.insert.run(rowsOf(2))

    expect(opened.sum.bytes(rowsOf(MANY + 3).map(([id]) => [id]))).toBe(1)
  })
})

describe('places', () => {
  it('has one for each value of each row', () => {
    expect(places(1, 3)).toBe('(?, ?, ?)')
    expect(places(3, 1)).toBe('(?), (?), (?)')
  })
})
