import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'

/** What one statement binds for one row. */
export type Row = readonly SQLInputValue[]

/** Rows of one statement: calling SQLite costs as much as what it does for a row, and more of them gain little. */
export const MANY = 16

/** A statement over many rows, run for sixteen at a time; what is left over goes one by one. */
export class Many {
  readonly #one: StatementSync
  readonly #many: StatementSync

  /** @param sql - The statement over so many rows. */
  constructor(database: DatabaseSync, sql: (rows: number) => string) {
    this.#one = database.prepare(sql(1))
    this.#many = database.prepare(sql(MANY))
  }

  /** Write rows. */
  run(rows: readonly Row[]): void {
    let next = 0
    for (; next + MANY <= rows.length; next += MANY) this.#many.run(...valuesOf(rows, next))
    for (; next < rows.length; next++) this.#one.run(...rows[next])
  }

  /** The sum of what each call gives back as `bytes`. */
  bytes(rows: readonly Row[]): number {
    let [bytes, next] = [0, 0]
    for (; next + MANY <= rows.length; next += MANY) bytes += Number(this.#many.get(...valuesOf(rows, next))?.bytes)
    for (; next < rows.length; next++) bytes += Number(this.#one.get(...rows[next])?.bytes)
    return bytes
  }
}

function valuesOf(rows: readonly Row[], from: number): SQLInputValue[] {
  const values: SQLInputValue[] = []
  for (let i = from; i < from + MANY; i++) values.push(...rows[i])
  return values
}

/** `(?, ?), (?, ?)`: places for the values of rows. */
export function places(rows: number, columns: number): string {
  const row = `(${Array(columns).fill('?').join(', ')})`
  return Array(rows).fill(row).join(', ')
}
