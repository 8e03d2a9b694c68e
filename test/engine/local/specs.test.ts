import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { SpecBudget, SpecWindow } from '../../../src/engine/local/specs.ts'
import type { CommonSpec } from '../../../src/jobs/kind.ts'
import type { Store } from '../../../src/store/store.ts'
import { turn } from '../../support/fake-clock.ts'
import { sealerOf } from './live.ts'

const spec = (index: number): CommonSpec => ({ kind: 'sleep', name: `n${index}` })

/** A store of `total` specs that gives at most `page` at once. */
function storeOf(total: number, page = 10_000) {
  const reads: { from: number; limit: number }[] = []
  const store = {
    async specs(no: number, { from, limit }: { from: number; limit: number }) {
      if (no !== 7) throw new Error('another batch')
      reads.push({ from, limit })
      await turn()
      const count = Math.max(0, Math.min(limit, page, total - from))
      return Array.from({ length: count }, (_, i) => JSON.stringify(spec(from + i)))
    },
  }
  // A window does nothing but read specs.
  return { store: store as unknown as Store, reads }
}

function windowOf(total: number, fresh: number, page?: number) {
  const { store, reads } = storeOf(total, page)
  const window = new SpecWindow({ store, no: 7, budget: new SpecBudget(), sealer: sealerOf().batch('b') })
  const kept = Array.from({ length: fresh }, (_, i) => spec(i))
  window.keep(
    kept,
    kept.map((each) => JSON.stringify(each)),
  )
  return { window, reads, take: async (index: number) => await window.take(index, total) }
}

describe('SpecWindow', () => {
  it('gives the specs of a small batch without reading', async () => {
    const { window, reads, take } = windowOf(1_000, 1_000)

    for (let i = 0; i < 1_000; i++) expect(await take(i)).toEqual(spec(i))

    expect([reads.length, window.size]).toEqual([0, 0])
  })

  it('gives a spec of memory at once, not in a promise', () => {
    const { window } = windowOf(10, 10)

    expect(window.take(3, 10)).toEqual(spec(3))
  })

  it('reads a large batch ahead, each part once, and holds little of it', async () => {
    const { window, reads, take } = windowOf(20_000, 20_000)
    let largest = 0

    for (let i = 0; i < 20_000; i++) {
      expect(await take(i)).toEqual(spec(i))
      largest = Math.max(largest, window.size)
      if (i % 16 === 0) await turn()
    }

    expect(largest).toBeLessThanOrEqual(1_024 + 256)
    expect(reads.length).toBeLessThan(20_000 / 100)
    expect(new Set(reads.filter(({ limit }) => limit > 1).map(({ from }) => from)).size).toBe(
      reads.filter(({ limit }) => limit > 1).length,
    )
  })

  it('gives every job its own spec in any order, whatever page the store has', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 400 }),
        fc.integer({ min: 0, max: 400 }),
        fc.integer({ min: 1, max: 300 }),
        fc.infiniteStream(fc.nat()),
        async (total, fresh, page, picks) => {
          const { take } = windowOf(total, Math.min(fresh, total), page)
          const rest = Array.from({ length: total }, (_, i) => i)
          while (rest.length > 0) {
            const width = 1 + ((picks.next().value ?? 0) % 8)
            const indexes = Array.from(
              { length: Math.min(width, rest.length) },
              () => rest.splice((picks.next().value ?? 0) % rest.length, 1)[0],
            )
            expect(await Promise.all(indexes.map(take))).toEqual(indexes.map(spec))
          }
        },
      ),
      { numRuns: 25 },
    )
  })

  it('stays small when most of what it read is never taken', async () => {
    const { window, take } = windowOf(100_000, 1_024)

    for (let i = 0; i < 100_000; i += 97) await take(i)

    expect(window.size).toBeLessThanOrEqual(1_024 + 2 * 256)
  })

  it.each<[string, (take: (index: number) => unknown) => unknown]>([
    ['most of what it holds was cancelled', () => null],
    ['a job far ahead went first', (take) => take(9_999)],
  ])('still reads ahead when %s', async (_why, before) => {
    const { window, reads, take } = windowOf(10_000, 1_024)
    await before(take)

    for (let i = 1_024; i < 9_999; i++) {
      expect(await take(i)).toEqual(spec(i))
      if (i % 16 === 0) await turn()
    }

    expect(reads.length).toBeLessThan(100)
    expect(window.size).toBeLessThanOrEqual(1_024 + 2 * 256)
  })

  it('reads one by one what is taken far apart', async () => {
    const { reads, take } = windowOf(100_000, 0)

    for (let i = 90_000; i > 0; i -= 1_000) await take(i)

    expect(reads.filter(({ limit }) => limit > 1).length).toBeLessThan(5)
  })

  it('fails the job whose spec cannot be read, and no other', async () => {
    let broken = true
    const store = {
      async specs(_no: number, { from }: { from: number }) {
        if (broken) throw new Error('the disk is gone')
        return [JSON.stringify(spec(from))]
      },
    }
    // A window does nothing but read specs.
    const window = new SpecWindow({
      store: store as unknown as Store,
      no: 7,
      budget: new SpecBudget(),
      sealer: sealerOf().batch('b'),
    })

    await expect(window.take(0, 9)).rejects.toThrow('the disk is gone')
    broken = false
    expect(await window.take(1, 9)).toEqual(spec(1))
  })

  it('says so when the store has no spec for an accepted job', async () => {
    const { take } = windowOf(5, 0)

    await expect(take(9)).rejects.toThrow('no spec')
  })

  it('keeps no fresh specs of a batch that is large, nor more than all batches may, and gives back what it kept', () => {
    const budget = new SpecBudget()
    const text = JSON.stringify({ ...spec(0), note: 'x'.repeat(200_000) })
    const keep = (count: number) => {
      const window = new SpecWindow({ store: storeOf(count).store, no: 7, budget, sealer: sealerOf().batch('b') })
      window.keep(Array(count).fill(spec(0)), Array(count).fill(text))
      return window
    }

    expect(keep(2).size).toBe(0)
    const windows = Array.from({ length: 100 }, () => keep(1))
    const held = windows.filter(({ size }) => size === 1)
    expect(held.length).toBe(Math.floor(4_194_304 / text.length))
    for (const window of held) {
      window.close()
      window.close()
    }
    expect(Array.from({ length: 100 }, () => keep(1)).filter(({ size }) => size === 1)).toHaveLength(held.length)
  })
})
