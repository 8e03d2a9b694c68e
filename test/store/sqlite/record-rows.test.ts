import type { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Job } from '../../../src/core/states.ts'
import { MANY } from '../../../src/store/sqlite/many.ts'
import { openWriter } from '../../../src/store/sqlite/open.ts'
import { RecordRows } from '../../../src/store/sqlite/record-rows.ts'
import { StoredCount, sumOf } from '../../../src/store/sqlite/stored.ts'
import { JOBS_PER_BATCH, type JobRecord } from '../../../src/store/store.ts'
import { recordRow } from '../rows.ts'

/** What was said of bytes, by batch. */
class Told extends StoredCount {
  readonly batches = new Map<number, number>()

  override ofBatch(no: number, bytes: number): void {
    this.batches.set(no, (this.batches.get(no) ?? 0) + bytes)
  }
}

function open() {
  const database: DatabaseSync = openWriter(':memory:')
  const told = new Told(database)
  const records = new RecordRows(database, told)
  return {
    database,
    records,
    told,
    idsOf: (no: number) =>
      database
        .prepare('SELECT id FROM records WHERE id >= ? AND id < ? ORDER BY id')
        .all(no * JOBS_PER_BATCH, (no + 1) * JOBS_PER_BATCH)
        .map(({ id }) => Number(id) - no * JOBS_PER_BATCH),
    row: (no: number, index: number) =>
      database.prepare('SELECT state, attempts, result FROM records WHERE id = ?').get(no * JOBS_PER_BATCH + index),
    bytesOf: (no: number) =>
      Number(
        database
          .prepare(`SELECT ${sumOf('records')} AS bytes FROM records WHERE id >= ? AND id < ?`)
          .get(no * JOBS_PER_BATCH, (no + 1) * JOBS_PER_BATCH)?.bytes,
      ),
    [Symbol.dispose]: () => database.close(),
  }
}

describe('RecordRows', () => {
  it.each([1, MANY - 1, MANY, MANY + 1, 100])('writes a run of %d jobs, and what it counts for', (count) => {
    using opened = open()

    opened.records.set([recordRow(7, 3, { count, result: '"é"' })])

    expect(opened.idsOf(7)).toEqual(Array.from({ length: count }, (_, i) => 3 + i))
    expect(opened.told.batches.get(7)).toBe(opened.bytesOf(7))
  })

  it('takes the last of several records of one job, and counts that alone', () => {
    using opened = open()

    opened.records.set([
      recordRow(1, 0, { state: Job.running, attempts: 1, result: '"a long one that does not stay"' }),
      recordRow(1, 1),
      recordRow(1, 0, { state: Job.succeeded, attempts: 2, result: '"x"' }),
    ])

    expect(opened.row(1, 0)).toEqual({ state: Job.succeeded, attempts: 2, result: '"x"' })
    expect(opened.told.batches.get(1)).toBe(opened.bytesOf(1))
  })

  it('writes a long result between others where it belongs', () => {
    using opened = open()
    const pieces = [Buffer.from('"'), Buffer.from('ü'.repeat(10)), Buffer.from('"')]

    opened.records.set([
      recordRow(1, 0, { result: '"before"' }),
      recordRow(1, 1, { result: pieces }),
      recordRow(1, 1, { result: '"after"' }),
      recordRow(1, 0, { result: pieces }),
    ])

    expect([opened.row(1, 0)?.result, opened.row(1, 1)?.result]).toEqual([`"${'ü'.repeat(10)}"`, '"after"'])
    expect(opened.told.batches.get(1)).toBe(opened.bytesOf(1))
  })

  it('writes nothing later of a commit that failed', () => {
    using opened = open()
    const broken = recordRow(1, MANY + 1, { attempts: Number.NaN })
    opened.database.exec('BEGIN')
    expect(() => opened.records.set([recordRow(1, 0, { count: MANY + 1 }), broken])).toThrow('NOT NULL')
    opened.database.exec('ROLLBACK')
    opened.records.forget()
    opened.told.batches.clear()

    opened.records.set([recordRow(2, 5)])

    expect([opened.idsOf(1), opened.idsOf(2)]).toEqual([[], [5]])
    expect([...opened.told.batches]).toEqual([[2, opened.bytesOf(2)]])
  })

  it('has told of as many bytes as there are, whatever was written over what', () => {
    const result = fc.oneof(
      fc.constant(null),
      fc.string({ unit: 'grapheme', maxLength: 8 }).map((text) => JSON.stringify(text)),
      fc.string({ maxLength: 8 }).map((text) => [Buffer.from(JSON.stringify(text))]),
    )
    const record: fc.Arbitrary<JobRecord> = fc
      .record({
        no: fc.integer({ min: 1, max: 2 }),
        index: fc.integer({ min: 0, max: 20 }),
        count: fc.constantFrom(1, 1, 1, 2, 18),
        result,
        reason: fc.option(fc.string({ maxLength: 4 })),
      })
      .map(({ no, index, count, result, reason }) =>
        // Of many jobs none has started, and so none has a long result.
        recordRow(no, index, { count, reason, result: count > 1 && typeof result !== 'string' ? null : result }),
      )
    fc.assert(
      fc.property(fc.array(fc.array(record, { maxLength: 30 }), { maxLength: 4 }), (commits) => {
        using opened = open()
        for (const records of commits) opened.records.set(records)
        for (const no of [1, 2]) expect(opened.told.batches.get(no) ?? 0).toBe(opened.bytesOf(no))
      }),
      { numRuns: 100 },
    )
  })
})
