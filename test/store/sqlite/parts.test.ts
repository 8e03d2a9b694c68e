import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { JsonPieces } from '../../../src/json/raw.ts'
import { checkStore } from '../../../src/store/sqlite/check.ts'
import { DATABASE_FILE } from '../../../src/store/sqlite/open.ts'
import { PART_BYTES, type PartCalls, partsOf, writeParts } from '../../../src/store/sqlite/parts.ts'
import { JOBS_PER_BATCH, type JobRecord, type Store } from '../../../src/store/store.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { group, recordRow, submission } from '../rows.ts'
import { directStore } from './direct-store.ts'
import { openSqlite } from './under-test.ts'

const never = new AbortController().signal

/** A JSON text of so many bytes, of characters of two: the border of two parts is within one. */
function long(bytes: number): JsonPieces {
  return ['"', Buffer.from('é'.repeat(bytes / 2 - 1)), '"']
}

const textOf = (pieces: JsonPieces) => Buffer.concat(pieces.map((piece) => Buffer.from(piece))).toString()

/** The result of a job as a caller reads it. */
async function resultOf(store: Store, index = 0): Promise<unknown> {
  return JSON.parse(String(await store.job(1, index))).result
}

/** Rows of table parts, of each job: how many bytes. */
function partsIn(dir: { path: string }): Record<string, number[]> {
  const database = new DatabaseSync(`${dir.path}/${DATABASE_FILE}`, { readOnly: true })
  const rows = database.prepare('SELECT id, octet_length(bytes) AS bytes FROM parts ORDER BY id, part').all()
  database.close()
  const of: Record<string, number[]> = {}
  for (const { id, bytes } of rows) {
    const job = `job ${Number(id) % JOBS_PER_BATCH}`
    of[job] = [...(of[job] ?? []), Number(bytes)]
  }
  return of
}

/** A store in a directory, with a batch of three jobs. */
async function storeOfThree(dir: { path: string }): Promise<Store> {
  const store = directStore(dir.path)
  await store.commit(submission(store.nextBatchNo(), 3))
  return store
}

async function end(store: Store, index: number, result: JobRecord['result']): Promise<void> {
  await store.commit(group({ records: [recordRow(1, index, { result })] }))
}

describe('partsOf', () => {
  it('gives all bytes in order, in parts that are full but for the last', () => {
    const piece = fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 20 }),
      fc.integer({ min: 0, max: 3 * PART_BYTES }).map((length) => Buffer.alloc(length, 'é')),
    )
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 6 }), (pieces) => {
        const parts = [...partsOf(pieces)]
        expect(Buffer.concat(parts).equals(Buffer.concat(pieces.map((each) => Buffer.from(each))))).toBe(true)
        for (const part of parts.slice(0, -1)) expect(part.length).toBe(PART_BYTES)
        const last = parts.at(-1)?.length ?? 1
        expect(last > 0 && last <= PART_BYTES).toBe(true)
      }),
      { numRuns: 40 },
    )
  })

  it('copies no part that is within one piece', () => {
    const bytes = Buffer.alloc(2 * PART_BYTES)

    expect([...partsOf([bytes])].map((part) => part.buffer === bytes.buffer)).toEqual([true, true])
  })
})

describe('a result that is put ahead', () => {
  it('is read as one text, as one that came with its record is', async () => {
    using dir = tempDir()
    const store = await storeOfThree(dir)
    const pieces = long(2 * PART_BYTES + 11_000)

    const ahead = await store.putAhead?.(1, 0, pieces, never)
    await end(store, 0, ahead ?? null)
    await end(store, 1, pieces)

    expect(ahead).toEqual({ bytes: 2 * PART_BYTES + 11_000 })
    expect(await resultOf(store, 0)).toBe(JSON.parse(textOf(pieces)))
    expect(await resultOf(store, 0)).toBe(await resultOf(store, 1))
    const { data } = await store.jobs(1, { from: 0, limit: 1 })
    expect(JSON.parse(String(data[0])).result).toBe(JSON.parse(textOf(pieces)))
    expect(partsIn(dir)).toEqual({ 'job 0': [PART_BYTES, PART_BYTES, 11_000] })
    await store.close()
  })

  it('crosses to the threads of a real store', async () => {
    using dir = tempDir()
    const store = await openSqlite(dir.path)
    await store.commit(submission(store.nextBatchNo(), 1))
    const shared = Buffer.from(new SharedArrayBuffer(PART_BYTES + 2)).fill('x')
    shared[0] = shared[shared.length - 1] = 0x22

    await end(store, 0, await store.putAhead(1, 0, [shared], never))

    expect(await resultOf(store)).toBe('x'.repeat(PART_BYTES))
    await store.close()
  })

  it('is seen by nobody before its record, and counts from then on for what its tenant keeps', async () => {
    using dir = tempDir()
    const store = await storeOfThree(dir)
    const before = store.storedBytes('acme')

    const ahead = await store.putAhead?.(1, 0, long(PART_BYTES + 10), never)
    await store.commit(group({ records: [recordRow(1, 1)] }))
    expect(await resultOf(store)).toBeNull()
    const beside = store.storedBytes('acme') - before
    await end(store, 0, ahead ?? null)

    expect(store.storedBytes('acme') - before).toBe(2 * beside + PART_BYTES + 10)
    await store.close()
  })

  it('lets a commit in between its parts', async () => {
    using dir = tempDir()
    const store = await openSqlite(dir.path)
    await store.commit(submission(store.nextBatchNo(), 2))
    const order: string[] = []

    const writing = store.putAhead(1, 0, long(20 * PART_BYTES), never).then(() => order.push('ahead'))
    await end(store, 1, '"short"').then(() => order.push('commit'))
    await writing

    expect(order).toEqual(['commit', 'ahead'])
    await store.close()
  })

  it('leaves nothing when it is aborted on the way, and says with what', async () => {
    using dir = tempDir()
    const store = await openSqlite(dir.path)
    await store.commit(submission(store.nextBatchNo(), 1))
    const stop = new AbortController()

    const writing = store.putAhead(1, 0, long(20 * PART_BYTES), stop.signal)
    stop.abort(new Error('no longer needed'))

    await expect(writing).rejects.toThrow('no longer needed')
    expect(partsIn(dir)).toEqual({})
    await store.close()
  })

  it('that is aborted while its last part is written is not there either', async () => {
    const stop = new AbortController()
    const calls: string[] = []
    const parts: PartCalls = {
      async putPart(_id, part) {
        calls.push(`put ${part}`)
        if (part === 1) stop.abort(new Error('now'))
      },
      async dropParts() {
        calls.push('drop')
      },
    }

    await expect(writeParts(parts, 7, long(2 * PART_BYTES), stop.signal)).rejects.toThrow('now')
    expect(calls).toEqual(['put 0', 'put 1', 'drop'])
  })

  it('says why it could not be written, though what is there cannot be deleted either', async () => {
    const parts: PartCalls = {
      putPart: () => Promise.reject(new Error('database or disk is full')),
      dropParts: () => Promise.reject(new Error('still full')),
    }

    await expect(writeParts(parts, 7, long(PART_BYTES), never)).rejects.toThrow('database or disk is full')
  })

  it('takes the place of what an attempt before has left', async () => {
    using dir = tempDir()
    const store = await storeOfThree(dir)
    await store.putAhead?.(1, 0, long(3 * PART_BYTES), never)

    await end(store, 0, (await store.putAhead?.(1, 0, long(PART_BYTES + 2), never)) ?? null)

    expect(partsIn(dir)).toEqual({ 'job 0': [PART_BYTES, 2] })
    expect(await resultOf(store)).toHaveLength((PART_BYTES + 2) / 2 - 1)
    await store.close()
  })
})

describe('the parts of results', () => {
  it('that no record has are gone after a start, and all others are there', async () => {
    using dir = tempDir()
    const crashed = await storeOfThree(dir)
    await end(crashed, 0, (await crashed.putAhead?.(1, 0, long(PART_BYTES), never)) ?? null)
    await crashed.putAhead?.(1, 1, long(PART_BYTES), never)
    await end(crashed, 2, '"short"')
    await crashed.putAhead?.(1, 2, long(PART_BYTES), never)
    await crashed.close()

    const store = directStore(dir.path)

    expect(Object.keys(partsIn(dir))).toEqual(['job 0'])
    expect(await resultOf(store, 0)).toHaveLength(PART_BYTES / 2 - 1)
    expect(await resultOf(store, 2)).toBe('short')
    await store.close()
  })

  it('go with their batch, some at each step, and count until their record goes', async () => {
    using dir = tempDir()
    const store = await storeOfThree(dir)
    await end(store, 0, (await store.putAhead?.(1, 0, long(40 * PART_BYTES), never)) ?? null)
    await store.commit(group({ heads: [{ ...submission(1, 3).heads[0], drainedAt: 5 }] }))
    const step = () => store.expire({ now: 10, drainedBefore: 10, keysBefore: 0, tombstonesBefore: 20 })

    const left: number[] = []
    for (let deleted = 1; deleted > 0; left.push(partsIn(dir)['job 0']?.length ?? 0)) deleted = await step()

    expect(left.slice(0, 3)).toEqual([8, 0, 0])
    expect(store.storedBytes('acme')).toBe(0)
    await store.close()
  })

  it('are told by a check when they are not what their record says', async () => {
    using dir = tempDir()
    const store = await storeOfThree(dir)
    await end(store, 0, (await store.putAhead?.(1, 0, long(PART_BYTES + 10), never)) ?? null)
    await store.close()
    const file = `${dir.path}/${DATABASE_FILE}`
    const problems = () => checkStore(file).problems.map(({ message }) => message)
    const sound = problems()

    const database = new DatabaseSync(file)
    database.exec("DELETE FROM parts WHERE part = 1; INSERT INTO parts VALUES (5 << 20, 0, x'22')")
    database.close()

    expect(problems().filter((message) => !sound.includes(message))).toEqual([
      `its record is succeeded with ${PART_BYTES + 10} bytes in parts, should be the ${PART_BYTES} that are there`,
      'its record is succeeded with a result or error that is no JSON',
      '1 rows of table parts belong to no batch',
    ])
  })
})

it('a store of the version before parts is taken over as it is', async () => {
  using dir = tempDir()
  const store = await storeOfThree(dir)
  await end(store, 0, '"before"')
  await store.close()
  const database = new DatabaseSync(`${dir.path}/${DATABASE_FILE}`)
  database.exec(
    'DROP TABLE parts; ALTER TABLE records DROP COLUMN parts; DROP INDEX tombstones_age; PRAGMA user_version = 1',
  )
  database.close()

  const migrated = directStore(dir.path)
  await end(migrated, 1, (await migrated.putAhead?.(1, 1, long(PART_BYTES), never)) ?? null)

  expect(await resultOf(migrated, 0)).toBe('before')
  expect(await resultOf(migrated, 1)).toHaveLength(PART_BYTES / 2 - 1)
  await migrated.close()
})
