import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { FORGET_TOMBSTONES } from '../../../src/store/sqlite/expire.ts'
import { MIGRATIONS } from '../../../src/store/sqlite/migrations.ts'
import { DATABASE_FILE, IN_MEMORY, openWriter } from '../../../src/store/sqlite/open.ts'
import type { Store } from '../../../src/store/store.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { group, headRow, recordRow, submission } from '../rows.ts'
import { directStore } from './direct-store.ts'

const STEP = { now: 1_000, drainedBefore: 500, keysBefore: 0, tombstonesBefore: 0 }

async function drained(store: Store, no: number, jobs: number): Promise<void> {
  await store.commit(submission(no, jobs))
  await store.commit(group({ heads: [headRow(no, { drainedAt: 1 })], records: [recordRow(no, 0, { count: jobs })] }))
}

/** What each step deleted, until nothing is left. */
async function stepsOf(store: Store): Promise<number[]> {
  const steps: number[] = []
  while (steps.at(-1) !== 0) steps.push(await store.expire(STEP))
  return steps
}

describe('deleting what is too old', () => {
  it('takes many small batches in one step', async () => {
    const store = directStore(IN_MEMORY)
    for (let no = 1; no <= 20; no++) await drained(store, no, 3)

    // Out of sight, and of each batch three specs, three records and a row of its log, and the tombstone.
    expect(await stepsOf(store)).toEqual([20 + 20 * 8, 0])
    await store.close()
  })

  it('takes no more than so many rows in one step, and goes on where it stopped', async () => {
    const store = directStore(IN_MEMORY)
    for (let no = 1; no <= 3; no++) await drained(store, no, 1_500)

    const steps = await stepsOf(store)

    expect(steps.slice(0, -1).length).toBeGreaterThan(2)
    for (const rows of steps) expect(rows).toBeLessThanOrEqual(3 + 2 * 2_000 + 3)
    expect(await store.batch('acme', 'nobody')).toBeNull()
    expect(store.storedBytes('acme')).toBe(3 * (64 + 'bat_'.length + 32))
    await store.close()
  })

  it('finds old tombstones without a look at the others', () => {
    using database = openWriter(IN_MEMORY)

    const plan = database.prepare(`EXPLAIN QUERY PLAN ${FORGET_TOMBSTONES}`).all(0)

    const details = plan.map(({ detail }) => String(detail))
    expect(details.join('\n')).toContain('INDEX tombstones_age (deleted_at<?)')
    expect(details.filter((detail) => /^SCAN tombstones\b/.test(detail))).toEqual([])
  })
})

it('a store of the version before that index has it after a start, with all that it kept', async () => {
  using dir = tempDir()
  const store = directStore(dir.path)
  await drained(store, 1, 2)
  await store.close()
  const database = new DatabaseSync(`${dir.path}/${DATABASE_FILE}`)
  database.exec('DROP INDEX tombstones_age; PRAGMA user_version = 2')
  database.close()

  const migrated = directStore(dir.path)
  expect((await stepsOf(migrated)).length).toBeGreaterThan(1)
  await migrated.close()

  using after = new DatabaseSync(`${dir.path}/${DATABASE_FILE}`, { readOnly: true })
  expect(after.prepare('PRAGMA user_version').get()).toEqual({ user_version: MIGRATIONS.length })
  expect(after.prepare(`SELECT 1 AS there FROM sqlite_schema WHERE name = 'tombstones_age'`).get()).toEqual({
    there: 1,
  })
})
