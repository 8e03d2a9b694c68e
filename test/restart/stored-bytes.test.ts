import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { checkStore } from '../../src/store/sqlite/check.ts'
import { DATABASE_FILE } from '../../src/store/sqlite/open.ts'
import { busyWorld } from '../store/sqlite/check-store.ts'
import { sleepFor } from '../support/service.ts'
import { type Reopenable, startReopenable } from './reopen.ts'

const usage = async (world: Reopenable) => (await world.me.http.get('/v1/tenant').expect(200)).body.usage.storedBytes

const problems = (dir: string) => checkStore(join(dir, DATABASE_FILE)).problems

describe('what a tenant keeps', () => {
  it('is right after a crash at any moment of its work, by gatherd check', async () => {
    await using world = await startReopenable()
    const found: unknown[] = []
    for (let round = 0; round < 8; round++) {
      const jobs = [...Array(40).keys()].map((i) => sleepFor(i % 7, { result: 'é'.repeat(i) }))
      await world.me.submit({ jobs, labels: { round: `${round}` } })
      found.push(...problems(world.image()))
    }

    await world.crash()

    expect(found).toEqual([])
    expect(problems(world.image())).toEqual([])
  })

  it('is the same before and after a restart, and is added to from there', async () => {
    await using world = await startReopenable()
    const { id } = await world.me.submit({ jobs: [sleepFor(0, { result: 'x'.repeat(1_000) })] })
    await world.drained(id)
    const before = await usage(world)

    await world.crash()
    const after = await usage(world)
    const next = await world.me.submit({ jobs: [sleepFor(0)] })
    await world.drained(next.id)

    // The spec has the result as well.
    expect(before).toBeGreaterThan(2_000)
    expect(after).toBe(before)
    expect(await usage(world)).toBeGreaterThan(before)
    expect(problems(world.image())).toEqual([])
  })

  it('holds a tenant back after a restart as before it, and lets it have the first answer again', async () => {
    await using world = await startReopenable({ maxTenantBytes: 1_500 })
    const send = (key: string) =>
      world.me.http
        .post('/v1/batches')
        .set('idempotency-key', key)
        .send({ jobs: [sleepFor(0, { result: 'x'.repeat(1_000) })] })
    const first = await send('a').expect(202)
    await world.drained(first.body.id)

    await world.crash()
    const [again, other] = [await send('a'), await send('b')]

    expect([again.status, again.body.id]).toEqual([202, first.body.id])
    expect([other.status, other.body.code]).toEqual([429, 'queue_full'])
  })

  it('adds up whatever ends a batch and its jobs can have', async () => {
    await using world = await busyWorld()

    expect(problems(world.image())).toEqual([])
    expect(await usage(world)).toBeGreaterThan(0)
  })
})
