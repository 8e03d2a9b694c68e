import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Findings } from '../../../src/store/sqlite/check/findings.ts'
import { checkStored } from '../../../src/store/sqlite/check/stored.ts'
import { DATABASE_FILE } from '../../../src/store/sqlite/open.ts'
import type { CommitGroup, Store } from '../../../src/store/store.ts'
import { tempDir } from '../../support/temp-dir.ts'
import { group, headRow, jobRows, numbered, recordRow, submission } from '../rows.ts'
import { directStore } from './direct-store.ts'

const NEVER = { drainedBefore: 0, keysBefore: 0, tombstonesBefore: 0 }
const ALL = { drainedBefore: 1e15, keysBefore: 1e15, tombstonesBefore: 1e15 }

/** A store on disk, and what a check of its count finds. */
function open() {
  const dir = tempDir()
  const store = directStore(dir.path)
  const check = () => {
    using database = new DatabaseSync(join(dir.path, DATABASE_FILE), { readOnly: true })
    const findings = new Findings(10)
    checkStored(database, findings)
    return findings.problems.map(({ message }) => message)
  }
  const change = (sql: string) => {
    using database = new DatabaseSync(join(dir.path, DATABASE_FILE))
    database.exec(sql)
  }
  const again = async () => {
    await store.close()
    return directStore(dir.path)
  }
  return {
    store,
    check,
    change,
    again,
    async [Symbol.asyncDispose]() {
      await store.close()
      dir[Symbol.dispose]()
    },
  }
}

async function expire(store: Store, step = ALL): Promise<void> {
  while ((await store.expire({ now: 1_000, ...step })) > 0);
}

const drained = (no: number) => group({ heads: [headRow(no, { drainedAt: 5 })] })

describe('what a tenant keeps', () => {
  it('is the bytes of its texts in UTF-8, and 64 for each row', async () => {
    await using opened = open()
    const { store } = opened
    const entering: CommitGroup = { ...submission(1, 0, { id: 'b', header: '{"é":1}' }), logs: [] }
    entering.heads[0].facts = '{}'
    await store.commit(entering)

    expect(store.storedBytes('acme')).toBe(64 + 1 + 8 + 2)
    await store.commit(group({ jobs: [{ no: 1, from: 0, kinds: ['k'], names: ['€'], specs: ['"😀"'] }] }))
    expect(store.storedBytes('acme')).toBe(75 + 64 + 1 + 3 + 6)
    await store.commit(group({ records: [recordRow(1, 0, { result: '"\0"', error: '12', reason: 'why' })] }))
    expect(store.storedBytes('acme')).toBe(149 + 64 + 3 + 2 + 3)
    expect(store.storedBytes('other')).toBe(0)
    expect(opened.check()).toEqual([])
  })

  it('changes by the difference when a row is replaced', async () => {
    await using opened = open()
    const { store } = opened
    await store.commit(submission(1, 3))
    const before = store.storedBytes('acme')
    const records = (result: string | null) => group({ records: [recordRow(1, 0, { count: 3, result })] })
    await store.commit(records('"x"'))

    await store.commit(records('"xyz"'))
    expect(store.storedBytes('acme')).toBe(before + 3 * (64 + 5))
    await store.commit(records(null))
    expect(store.storedBytes('acme')).toBe(before + 3 * 64)
    await store.commit(
      group({ jobs: [{ ...jobRows(1, 1, 1), specs: ['{"kind":"sleep","durationMs":1,"priority":9}'] }] }),
    )
    expect(store.storedBytes('acme')).toBe(before + 3 * 64 + ',"priority":9'.length)
    expect(opened.check()).toEqual([])
  })

  it('is as it was when a commit is rolled back, and what comes after it is right', async () => {
    await using opened = open()
    const { store } = opened
    await store.commit(submission(1, 1))
    const before = store.storedBytes('acme')

    await expect(store.commit({ ...submission(2, 5), logs: submission(1, 0).logs })).rejects.toThrow('UNIQUE')
    await store.commit(group({ records: [recordRow(1, 0)] }))

    expect(store.storedBytes('acme')).toBe(before + 64)
    expect(opened.check()).toEqual([])
  })

  it('is known to the next process', async () => {
    await using opened = open()
    await opened.store.commit(submission(1, 3))
    await opened.store.commit(submission(2, 2, { tenantId: 'other' }))
    const kept = ['acme', 'other', 'third'].map((id) => opened.store.storedBytes(id))

    const store = await opened.again()

    expect(['acme', 'other', 'third'].map((id) => store.storedBytes(id))).toEqual(kept)
    expect(kept.map((bytes) => bytes > 0)).toEqual([true, true, false])
    await store.close()
  })

  it('becomes less as rows are deleted, step by step, and nothing when all are', async () => {
    await using opened = open()
    const { store } = opened
    const idempotency = { key: 'k', hash: 'h', answer: '{"id":1}' }
    await store.commit(submission(1, 5_000, { idempotency }))
    await store.commit(group({ records: [recordRow(1, 0, { count: 5_000, result: '"xyz"' })] }))
    await store.commit(drained(1))
    const sizes = [store.storedBytes('acme')]
    const problems: string[] = []

    while ((await store.expire({ now: 1_000, ...ALL, tombstonesBefore: 0, keysBefore: 0 })) > 0) {
      sizes.push(store.storedBytes('acme'))
      problems.push(...opened.check())
    }

    expect(problems).toEqual([])
    expect(sizes.length).toBeGreaterThan(3)
    expect(sizes).toEqual(sizes.toSorted((a, b) => b - a))
    // The tombstone and the Idempotency-Key are left.
    expect(sizes.at(-1)).toBe(64 + 36 + 64 + 1 + 1 + 8)
    await expire(store)
    expect([store.storedBytes('acme'), opened.check()]).toEqual([0, []])
  })

  it('is nothing of what a deleted tenant kept, while its rows go and when one of its name comes', async () => {
    await using opened = open()
    const { store } = opened
    const idempotency = { key: 'k', hash: 'h', answer: '{}' }
    await store.commit(submission(1, 3_000, { idempotency }))
    await store.commit(drained(1))
    await expire(store, { ...NEVER, drainedBefore: 10 })
    await store.commit(submission(2, 3_000))

    await store.deleteTenant('acme', 2)
    expect([store.storedBytes('acme'), opened.check()]).toEqual([0, []])
    // What was under way when it was deleted.
    await store.commit(group({ records: [recordRow(2, 0, { result: '"late"' })] }))
    expect([store.storedBytes('acme'), opened.check()]).toEqual([0, []])

    await store.commit(submission(3, 1, { idempotency }))
    const own = store.storedBytes('acme')
    while ((await store.expire({ now: 1_000, ...NEVER })) > 0)
      expect([store.storedBytes('acme'), opened.check()]).toEqual([own, []])
    expect(own).toBeGreaterThan(0)
  })

  it('is the sum over its rows whatever is written, replaced and deleted', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(operation, { maxLength: 25 }), async (operations) => {
        await using opened = open()
        const world = { store: opened.store, lastNo: 0, live: new Map<number, number>() }
        for (const run of operations) await run(world)

        const store = await opened.again()
        expect(opened.check()).toEqual([])
        for (const tenant of TENANTS) expect(store.storedBytes(tenant)).toBe(opened.store.storedBytes(tenant))
        await store.close()
      }),
      { numRuns: 60 },
    )
  })
})

interface World {
  store: Store
  lastNo: number
  /** The jobs of each batch that has not drained. */
  live: Map<number, number>
}

const TENANTS = ['acme', 'other']
const text = fc.string({ unit: 'binary', maxLength: 20 })

const enter = fc
  .tuple(fc.constantFrom(...TENANTS), fc.nat(40), text, fc.boolean())
  .map(([tenantId, count, answer, keyed]) => async (world: World) => {
    const no = ++world.lastNo
    const idempotency = keyed ? { key: `k${no}`, hash: 'h', answer } : undefined
    await world.store.commit(submission(no, count, { tenantId, idempotency }))
    world.live.set(no, count)
  })
/** A change of one of the live batches. */
const changed = (change: (no: number, count: number, text: string) => CommitGroup, ends = false) =>
  fc.tuple(fc.nat(), text).map(([which, words]) => async (world: World) => {
    const no = [...world.live.keys()][which % Math.max(1, world.live.size)]
    if (no === undefined) return
    await world.store.commit(change(no, world.live.get(no) ?? 0, words))
    if (ends) world.live.delete(no)
  })
const record = changed((no, count, result) => group({ records: count ? [recordRow(no, 0, { count, result })] : [] }))
const respec = changed((no, count, spec) =>
  group({ jobs: count ? [{ ...jobRows(no, 0, count), specs: Array(count).fill(spec) }] : [] }),
)
const head = changed((no, _, facts) => group({ heads: [headRow(no, { facts })] }))
const seqs = (function* () {
  for (let seq = 100; ; seq++) yield seq
})()
const log = changed((no, _, reason) =>
  group({ logs: [{ no, entries: numbered(seqs.next().value, [{ type: 'job.cancelling', index: 0, reason }]) }] }),
)
const drain = changed((no) => drained(no), true)
const sweep = fc
  .record({
    drainedBefore: fc.constantFrom(0, 1e15),
    keysBefore: fc.constantFrom(0, 1e15),
    tombstonesBefore: fc.constantFrom(0, 1e15),
  })
  .map(
    (step) =>
      async ({ store }: World) =>
        void (await store.expire({ now: 1_000, ...step })),
  )
const remove = fc.constantFrom(...TENANTS).map((tenantId) => async (world: World) => {
  await world.store.deleteTenant(tenantId, world.lastNo)
  // Nothing is committed for its batches from the first step on that deletes them.
  world.live.clear()
})
const operation = fc.oneof(enter, enter, record, respec, head, log, drain, sweep, remove)

describe('a check of what tenants keep', () => {
  it.each([
    [
      'is too much',
      'UPDATE stored SET bytes = bytes + 1',
      /^what tenant "acme" keeps by table stored is \d+, should be \d+$/,
    ],
    ['is not there', 'DELETE FROM stored', /^what tenant "acme" keeps is not in table stored, should be \d+$/],
    ['is of nobody', `INSERT INTO stored VALUES ('x', 7)`, /^what tenant "x" keeps by table stored is 7, should be 0$/],
    ['misses a result', `UPDATE records SET result = '"longer"'`, /stored is \d+, should be \d+$/],
    ['misses a spec', `UPDATE specs SET spec = spec || ' '`, /stored is \d+, should be \d+$/],
    ['misses an entry', `UPDATE log SET entries = entries || ' '`, /stored is \d+, should be \d+$/],
    ['misses an answer', `UPDATE idempotency SET answer = '{} '`, /stored is \d+, should be \d+$/],
    ['misses facts', `UPDATE batches SET facts = facts || ' '`, /stored is \d+, should be \d+$/],
  ])('says when the count %s', async (_, sql, problem) => {
    await using opened = open()
    await opened.store.commit(submission(1, 2, { idempotency: { key: 'k', hash: 'h', answer: '{}' } }))
    await opened.store.commit(group({ records: [recordRow(1, 0, { result: '1' })] }))
    expect(opened.check()).toEqual([])

    opened.change(sql)

    expect(opened.check()).toEqual([expect.stringMatching(problem)])
  })
})
