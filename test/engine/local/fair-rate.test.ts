import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Tenant } from '../../../src/engine/local/tenants.ts'
import { burstOf, FairWorld, type ModelJob } from './fair-model.ts'

const MANY = Array.from({ length: 500 }, () => ({}))
const rate = (jobsPerSecond: number | null) => ({ maxConcurrency: 1_000, rate: { jobsPerSecond } })

/** Start all that may start now. */
function takeAll(world: FairWorld): ModelJob[] {
  const taken: ModelJob[] = []
  for (let job = world.take(); job !== null; job = world.take()) taken.push(job)
  return taken
}

/** The most that a tenant started above `burst + rate × t` in any stretch of time. */
function excess(starts: readonly number[], perSecond: number): number {
  let most = Number.NEGATIVE_INFINITY
  for (let i = 0; i < starts.length; i++)
    for (let j = i; j < starts.length; j++)
      most = Math.max(most, j - i + 1 - burstOf(perSecond) - ((starts[j] - starts[i]) * perSecond) / 1_000)
  return most
}

describe('FairQueue, with a rate of starts', () => {
  it('never starts more than burst + rate × t of a tenant in any stretch of t, and as many as it may', () => {
    const perSecond = fc.constantFrom(0.1, 0.5, 1, 2.5, 3, 7, 40)
    const gap = fc.oneof(fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 3_000 }))

    fc.assert(
      fc.property(
        fc.array(perSecond, { minLength: 1, maxLength: 3 }),
        fc.array(gap, { maxLength: 60 }),
        (rates, gaps) => {
          const world = new FairWorld({ tenants: rates.map(rate) })
          for (const tenant of world.tenants) world.submit(tenant, null, MANY)

          for (const ms of gaps) {
            world.advance(ms)
            takeAll(world)
            world.check()
          }

          for (const [i, tenant] of world.tenants.entries())
            expect(excess(world.starts.get(tenant) ?? [], rates[i])).toBeLessThanOrEqual(0)
        },
      ),
      { numRuns: 60 },
    )
  })

  it('starts a second’s worth at once after a while, then one at a time', () => {
    const world = new FairWorld({ tenants: [rate(3)] })
    world.submit(world.tenants[0], null, MANY)

    world.advance(60_000)
    const burst = takeAll(world).length
    const perTick = Array.from({ length: 6 }, () => {
      world.advance(167)
      return takeAll(world).length
    })

    expect([burst, perTick]).toEqual([3, [0, 1, 0, 1, 0, 1]])
  })

  it('lets nobody else wait for a tenant that may not start now', () => {
    const world = new FairWorld({ tenants: [rate(0.1), rate(null)] })
    const [slow, free] = world.tenants
    world.submit(slow, null, MANY)
    world.submit(free, null, MANY)

    const taken = takeAll(world)

    expect(new Set(taken.map(({ tenant }) => tenant))).toEqual(new Set([free]))
    expect([taken.length, slow.queue.running]).toEqual([500, 0])
  })

  it('hands a host on when the tenant that it woke may not start now', () => {
    const world = new FairWorld({ tenants: [rate(1), rate(null), rate(null)], hostCaps: [1] })
    const [woken, next, first] = world.tenants
    world.advance(1_000)
    world.submit(first, null, [{ host: 0 }])
    const running = world.take()
    world.submit(woken, null, [{ host: 0 }])
    world.submit(next, null, [{ host: 0 }])
    world.check()
    world.submit(woken, null, [{ priority: 9 }])
    if (running !== null) world.release(running)

    const starts = takeAll(world)

    expect(starts.map(({ tenant, host }) => [tenant, host?.key])).toEqual([
      [woken, undefined],
      [next, 'h0'],
    ])
  })

  it('takes its turn again where others wait for one, once a start is due', () => {
    const world = new FairWorld({ tenants: [rate(1), rate(null)] })
    const [slow, free] = world.tenants
    world.submit(slow, null, MANY)
    world.submit(free, null, MANY)

    world.take()
    world.advance(1_000)
    const next = [world.take(), world.take(), world.take()].map((job) => job?.tenant)

    expect(next.filter((tenant) => tenant === slow)).toHaveLength(1)
  })

  it('acts on a change at once, whichever way', () => {
    const world = new FairWorld({ tenants: [rate(0.1)] })
    const [tenant] = world.tenants
    world.submit(tenant, null, MANY)
    const later = (ms: number) => {
      world.advance(ms)
      return takeAll(world).length
    }

    expect(later(9_999)).toBe(0)
    world.set(tenant, rate(10))
    expect([later(0), later(1), later(99), later(100)]).toEqual([0, 1, 0, 1])
    world.set(tenant, rate(0.1))
    expect([later(100), later(9_000), later(900), later(100)]).toEqual([1, 0, 0, 1])
    world.set(tenant, rate(null))
    expect([later(0), world.timers.size]).toEqual([496, 0])
  })

  it('counts what was running before a restart as a start like any other', () => {
    const world = new FairWorld({ tenants: [rate(1)] })
    const [tenant] = world.tenants
    const batch = world.submit(tenant, null, [{}, {}])
    world.fair.resume(batch, 1)

    expect(takeAll(world)).toEqual([])
    world.advance(1_000)
    expect(takeAll(world).map(({ index }) => index)).toEqual([1])
  })

  it('says of a queued job that it waits for the rate, after the pause and the cap of its tenant and before all others', () => {
    const world = new FairWorld({ tenants: [rate(1)], hostCaps: [1] })
    const [tenant] = world.tenants
    const batch = world.submit(tenant, 1, [{ delayed: true }, { host: 0 }, { host: 0 }])
    const waitsFor = (index: number) => world.fair.waitingOn(batch, index)
    const set = (more: Partial<Parameters<FairWorld['set']>[1]>) => world.set(tenant, { ...rate(1), ...more })

    expect([waitsFor(0), waitsFor(1)]).toEqual(['delay', 'rate'])
    set({ paused: true })
    expect(waitsFor(1)).toBe('paused')
    set({ paused: false })
    world.advance(1_000)
    expect(waitsFor(1)).toBe('server-cap')
    world.take()
    expect(waitsFor(2)).toBe('rate')
    set({ maxConcurrency: 1 })
    expect(waitsFor(2)).toBe('tenant-cap')
    set({})
    world.advance(1_000)
    expect(waitsFor(2)).toBe('batch-limit')
  })
})

describe('the cost of a rate', () => {
  it('is nothing while none is set, and a timer for each start that empties it', () => {
    const timersOf = (tenant: Partial<Tenant['settings']>) => {
      const world = new FairWorld({ tenants: [{ maxConcurrency: 1_000, ...tenant }] })
      world.advance(10_000)
      world.submit(world.tenants[0], null, MANY)
      const before = world.clock.asked
      for (let i = 0; i < 100; i++) world.take()
      return world.clock.asked - before
    }

    expect(timersOf({})).toBe(0)
    expect(timersOf(rate(1_000))).toBe(0)
    expect(timersOf(rate(100))).toBe(1)
  })
})
