import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { sleepFor } from '../support/service.ts'
import { type Reopenable, startReopenable } from './reopen.ts'

const WAL = 'gatherd.db-wal'
const WAL_HEADER = 32
const FRAME = 24 + 4096

describe('a write-ahead log that breaks off', () => {
  it('anywhere leaves a clean prefix of history', async () => {
    await using world = await withHistory()
    const { ids, base, size } = await history(world)
    const frames = Math.floor((size - WAL_HEADER) / FRAME)
    const cuts = [0, 7, WAL_HEADER, WAL_HEADER + FRAME, size - 1, size - FRAME + 24]
    for (const share of [0.2, 0.45, 0.7, 0.9]) cuts.push(WAL_HEADER + Math.floor(frames * share) * FRAME + 1_313)

    const survivors: number[] = []
    for (const cut of cuts.toSorted((a, b) => a - b)) {
      const dir = world.image(base)
      truncateSync(join(dir, WAL), cut)
      await world.moveTo(dir)
      survivors.push(await checkPrefix(world, ids, `cut at ${cut} of ${size}`))
    }

    expect(survivors).toEqual(survivors.toSorted((a, b) => a - b))
    expect([survivors[0], survivors.at(-1)]).toEqual([0, ids.length])
    expect(new Set(survivors).size).toBeGreaterThan(3)
  }, 30_000)

  it('with garbage in the middle or zeroes at the end leaves one as well', async () => {
    await using world = await withHistory()
    const { ids, base, size } = await history(world)
    const bytes = readFileSync(join(base, WAL))
    const middle = Math.floor(size / 2)
    const garbled = Buffer.from(bytes)
    garbled[middle] ^= 0xff
    const zeroed = Buffer.from(bytes).fill(0, Math.floor(size * 0.8))

    for (const broken of [garbled, zeroed]) {
      const dir = world.image(base)
      writeFileSync(join(dir, WAL), broken)
      await world.moveTo(dir)
      const survivors = await checkPrefix(world, ids, 'garbled')
      expect(survivors).toBeGreaterThan(0)
      expect(survivors).toBeLessThan(ids.length + 1)
    }
  }, 30_000)
})

/** A service whose tenants are safe in the database file. */
async function withHistory(): Promise<Reopenable> {
  const world = await startReopenable()
  await world.stopAndStart()
  return world
}

/** Twelve batches of several sorts, one after the other, and what a crash then leaves. */
async function history(world: Reopenable): Promise<{ ids: string[]; base: string; size: number }> {
  const ids: string[] = []
  for (let nth = 0; nth < 12; nth++) {
    const jobs = Array.from({ length: 8 }, (_, i) =>
      sleepFor(i === 7 && nth % 4 === 0 ? 60_000 : i, { result: 'x'.repeat(900) }),
    )
    const { id } = await world.me.submit({ policy: nth % 3 === 0 ? 'all_settled' : 'race', jobs, open: nth === 5 })
    ids.push(id)
    await world.me.seen(id, 'job.succeeded', 0)
    if (nth === 8) await world.me.cancel(id, { reason: 'enough' })
    if (nth % 3 === 0 && nth % 4 !== 0) await world.me.seen(id, 'batch.drained')
  }
  const base = world.image()
  return { ids, base, size: statSync(join(base, WAL)).size }
}

/** Every batch that is left is whole, and they are the first ones; resolves with how many. */
async function checkPrefix(world: Reopenable, ids: string[], what: string): Promise<number> {
  const { body } = await world.me.http.get('/v1/batches?limit=100').expect(200)
  const left: string[] = body.data.map(({ id }: { id: string }) => id).reverse()
  expect(left, what).toEqual(ids.slice(0, left.length))
  for (const id of left) {
    await world.me.cancel(id)
    const { jobs } = await world.drained(id)
    expect(jobs).toHaveLength(8)
  }
  // What was lost can be submitted again, and new batches never meet the remains of old ones.
  const { id } = await world.me.submit({ jobs: [sleepFor(0)] })
  expect((await world.drained(id)).jobs).toHaveLength(1)
  return left.length
}
