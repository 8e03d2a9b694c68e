import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { DATABASE_FILE, IN_MEMORY } from '../../../src/store/sqlite/open.ts'
import type { Store } from '../../../src/store/store.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { group, headRow, recordRow, submission } from '../rows.ts'
import { directStore } from './direct-store.ts'

const LABELS = { env: 'prod' }
const STEP = { now: 1_000, drainedBefore: 0, keysBefore: 0, tombstonesBefore: 0 }
const KEY = { name: null, scopes: ['jobs'], createdAt: 1, expiresAt: null, revokedAt: null }
const TABLES = [
  'batches',
  'specs',
  'records',
  'log',
  'labels',
  'idempotency',
  'tombstones',
  'graves',
  'keys',
  'tenants',
]

/** A batch of `count` jobs with everything that a batch can leave in a table. */
async function add(store: Store, no: number, tenantId: string, { count = 3, drainedAt = null as number | null } = {}) {
  const idempotency = { key: `k${no}`, hash: `h${no}`, answer: '{}' }
  const entering = submission(no, count, {
    tenantId,
    labels: LABELS,
    header: JSON.stringify({ labels: LABELS }),
    idempotency,
  })
  await store.commit(entering)
  await store.commit(group({ records: [recordRow(no, 0, { count })], heads: [headRow(no, { drainedAt })] }))
  return entering.batches[0].id
}

async function addTenant(store: Store, id: string) {
  await store.putTenant({ id, settings: {}, createdAt: 1 })
  await store.putKey({ ...KEY, id: `key-of-${id}`, tenantId: id, hash: 'h' })
}

const list = async (store: Store, tenantId: string, labels: Record<string, string> = {}) =>
  (await store.batches({ tenantId, labels, before: 99, limit: 99 })).map(({ no }) => no)

/** Delete step by step until nothing is left; returns the number of steps. */
async function dig(store: Store): Promise<number> {
  let steps = 1
  while ((await store.expire(STEP)) > 0) if (++steps > 1_000) throw new Error('It does not come to an end.')
  return steps
}

function counts(path: string): Record<string, number> {
  using database = new DatabaseSync(path, { readOnly: true })
  return Object.fromEntries(
    TABLES.map((name) => [name, Number(database.prepare(`SELECT count(*) AS n FROM ${name}`).get()?.n)]),
  )
}

describe('a deleted tenant', () => {
  it('is out of sight with everything at once, before a row of its batches is deleted', async () => {
    const store = directStore(IN_MEMORY)
    for (const id of ['acme', 'other']) await addTenant(store, id)
    const [mine, theirs] = [await add(store, 1, 'acme'), await add(store, 2, 'other')]

    await store.deleteTenant('acme', 2)

    expect([await store.batch('acme', mine), await store.wasDeleted('acme', mine)]).toEqual([null, false])
    expect([await list(store, 'acme'), await list(store, 'acme', LABELS)]).toEqual([[], []])
    expect(await store.idempotent('acme', 'k1')).toBeNull()
    expect((await store.unfinished()).map(({ no }) => no)).toEqual([2])
    expect((await store.tenants()).map(({ id }) => id)).toEqual(['other'])
    expect((await store.keys()).map(({ id }) => id)).toEqual(['key-of-other'])
    expect([(await store.batch('other', theirs))?.no, await list(store, 'other', LABELS)]).toEqual([2, [2]])
    expect(await store.idempotent('other', 'k2')).toMatchObject({ hash: 'h2' })
  })

  it('leaves nothing in any table in the end, and takes nothing of others along', async () => {
    using dir = tempDir()
    const store = directStore(dir.path)
    for (const id of ['acme', 'other']) await addTenant(store, id)
    for (const no of [1, 3, 4]) await add(store, no, 'acme', { drainedAt: no === 3 ? 5 : null })
    await add(store, 2, 'other')
    const path = join(dir.path, DATABASE_FILE)
    const one = { batches: 1, specs: 3, records: 3, log: 1, labels: 1, idempotency: 1, tombstones: 0 }

    await store.deleteTenant('acme', 4)
    await dig(store)

    expect(counts(path)).toEqual({ ...one, graves: 0, keys: 1, tenants: 1 })
    await store.close()
  })

  it('goes in small steps, and takes along what its retention had begun with', async () => {
    using dir = tempDir()
    const store = directStore(dir.path)
    await addTenant(store, 'acme')
    const old = await add(store, 1, 'acme', { drainedAt: 5 })
    await store.expire({ ...STEP, drainedBefore: 500 })
    expect(await store.wasDeleted('acme', old)).toBe(true)
    await add(store, 2, 'acme', { count: 9_000 })
    for (let no = 3; no < 123; no++) await add(store, no, 'acme', { count: 0 })

    await store.deleteTenant('acme', 200)

    expect(await store.wasDeleted('acme', old)).toBe(false)
    expect(await dig(store)).toBeGreaterThan(6)
    expect(Object.values(counts(join(dir.path, DATABASE_FILE))).reduce((sum, count) => sum + count)).toBe(0)
    await store.close()
  })

  it('can be followed by one of the same name at once, which sees its own alone and keeps it', async () => {
    using dir = tempDir()
    const store = directStore(dir.path)
    await addTenant(store, 'acme')
    await add(store, 1, 'acme')
    await store.deleteTenant('acme', 1)

    await addTenant(store, 'acme')
    const fresh = submission(2, 1, { tenantId: 'acme', idempotency: { key: 'k1', hash: 'new', answer: '{}' } })
    await store.commit(fresh)

    for (const when of ['before', 'after'] as const) {
      if (when === 'after') await dig(store)
      expect(await list(store, 'acme')).toEqual([2])
      expect(await store.idempotent('acme', 'k1')).toMatchObject({ hash: 'new' })
      expect((await store.batch('acme', fresh.batches[0].id))?.no).toBe(2)
    }
    expect(counts(join(dir.path, DATABASE_FILE))).toMatchObject({ batches: 1, specs: 1, records: 0, graves: 0 })
    await store.close()
  })

  it('of a name that was deleted before is deleted as well, with what the first had left', async () => {
    const store = directStore(IN_MEMORY)
    await addTenant(store, 'acme')
    await add(store, 1, 'acme')
    await store.deleteTenant('acme', 1)
    await addTenant(store, 'acme')
    await add(store, 2, 'acme')

    await store.deleteTenant('acme', 2)

    expect([await list(store, 'acme'), (await store.unfinished()).length]).toEqual([[], 0])
    await dig(store)
    expect([await store.specs(1, { from: 0, limit: 9 }), await store.specs(2, { from: 0, limit: 9 })]).toEqual([[], []])
  })

  it('stays deleted when the process ends in the middle, and its numbers are not given again before it is gone', async () => {
    using dir = tempDir()
    const first = directStore(dir.path)
    await addTenant(first, 'acme')
    const id = await add(first, 1, 'acme', { count: 9_000 })
    await first.deleteTenant('acme', 7)
    await first.expire(STEP)
    await first.close()

    const second = directStore(dir.path)

    expect([second.lastBatchNo, await second.batch('acme', id), await second.unfinished()]).toEqual([7, null, []])
    expect(await dig(second)).toBeGreaterThan(3)
    expect(Object.values(counts(join(dir.path, DATABASE_FILE))).reduce((sum, count) => sum + count)).toBe(0)
    await second.close()
  })
})
