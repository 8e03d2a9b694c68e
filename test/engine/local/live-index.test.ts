import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { LiveBatch } from '../../../src/engine/local/live-batch.ts'
import { LiveIndex } from '../../../src/engine/local/live-index.ts'
import { liveBatch } from './live.ts'

describe('LiveIndex', () => {
  it('finds a batch by id, by queue and by tenant, until it is deleted', () => {
    const index = new LiveIndex()
    const one = liveBatch()
    index.add(one)

    expect([index.get(one.id), index.ofQueue(one.queue), ...index.ofTenant(one.tenant)]).toEqual([one, one, one])
    expect([index.delete(one), index.delete(one)]).toEqual([true, false])
    expect([index.get(one.id), index.ofQueue(one.queue), ...index.ofTenant(one.tenant)]).toEqual([undefined, undefined])
    expect([...index.values()]).toEqual([])
  })

  it('has the batch of a tenant that is back beside the one of before, and keeps it when that leaves', () => {
    const index = new LiveIndex()
    const [before, back] = [liveBatch(), liveBatch()]
    index.add(before)
    index.add(back)

    expect(index.get(before.id)).toBe(back)
    expect([[...index.ofTenant(before.tenant)], [...index.ofTenant(back.tenant)]]).toEqual([[before], [back]])
    expect(index.delete(before)).toBe(true)
    expect([index.get(back.id), ...index.ofTenant(back.tenant)]).toEqual([back, back])
    expect([...index.ofTenant(before.tenant)]).toEqual([])
  })

  it('says of each tenant what a search through all would', () => {
    const batches = Array.from({ length: 12 }, (_, i) => liveBatch({ no: i }))
    // Three tenants with four batches each.
    const tenants = batches.slice(0, 3).map(({ tenant }) => tenant)
    for (const [i, live] of batches.entries()) Object.defineProperty(live, 'tenant', { value: tenants[i % 3] })
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(11)), { maxLength: 60 }), (steps) => {
        const index = new LiveIndex()
        const there = new Set<LiveBatch>()
        for (const [enters, nth] of steps) {
          if (enters) index.add(batches[nth])
          else expect(index.delete(batches[nth])).toBe(there.has(batches[nth]))
          if (enters) there.add(batches[nth])
          else there.delete(batches[nth])
        }
        for (const tenant of tenants)
          expect(new Set(index.ofTenant(tenant))).toEqual(new Set([...there].filter((live) => live.tenant === tenant)))
        expect(new Set(index.values())).toEqual(there)
      }),
    )
  })
})
