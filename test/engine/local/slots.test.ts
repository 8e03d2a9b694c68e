import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Grant } from '../../../src/engine/local/fair-queue.ts'
import { Slots } from '../../../src/engine/local/slots.ts'
import { turn } from '../../support/fake-clock.ts'
import { FairWorld, type ModelJob } from './fair-model.ts'

/** Slots over a fair queue; jobs end when the test says so. */
function start(concurrency: number, world = new FairWorld({ tenants: [{ maxConcurrency: 1e6 }] })) {
  const started: ModelJob[] = []
  const ends = new Map<ModelJob, () => void>()
  let highest = 0
  const slots: Slots = new Slots({
    concurrency,
    fair: world.fair,
    run: (grant) => {
      const job = world.granted(grant)
      started.push(job)
      highest = Math.max(highest, ends.size + 1)
      return new Promise((resolve) => ends.set(job, resolve))
    },
  })
  /** The job's work stops, as in the engine: the state changes, the slot in the fair queue goes, then the promise settles. */
  const end = (job: ModelJob) => {
    world.release(job)
    ends.get(job)?.()
    ends.delete(job)
  }
  return { world, slots, started, ends, end, highest: () => highest }
}

function many(count: number) {
  return Array.from({ length: count }, () => ({}))
}

describe('Slots', () => {
  it('starts as many as there are slots, at once, and no more', async () => {
    const { world, slots, started } = start(3)
    world.submit(world.tenants[0], null, many(10))

    slots.kick()
    await turn()

    expect(started.map(({ index }) => index)).toEqual([0, 1, 2])
    expect([slots.running, slots.concurrency]).toEqual([3, 3])
  })

  it('gives a slot on only when the promise of run has settled', async () => {
    const { world, slots, started, ends } = start(1)
    world.submit(world.tenants[0], null, many(2))
    slots.kick()
    await turn()
    world.release(started[0])
    slots.kick()
    await turn()
    expect(started).toHaveLength(1)

    ends.get(started[0])?.()
    await turn()

    expect(started).toHaveLength(2)
  })

  it('starts what a kick finds eligible, without a slot coming back', async () => {
    const { world, slots, started } = start(4)
    const [tenant] = world.tenants
    world.submit(tenant, null, many(1))
    slots.kick()
    await turn()
    world.set(tenant, { paused: true })
    world.submit(tenant, null, many(2))
    slots.kick()
    await turn()
    expect(started).toHaveLength(1)

    world.set(tenant, { maxConcurrency: 9 })
    slots.kick()
    await turn()

    expect(started).toHaveLength(3)
  })

  it('does nothing when kicked with nothing to start', async () => {
    const { slots, started } = start(4)

    for (let i = 0; i < 10; i++) slots.kick()
    await turn()

    expect([started.length, slots.running]).toEqual([0, 0])
  })

  it('takes the order of the fair queue', async () => {
    const { world, slots, started, end } = start(1)
    const [tenant] = world.tenants
    world.submit(tenant, null, [{ priority: 0 }, { priority: 2 }])
    world.submit(tenant, null, [{ priority: 1 }, { priority: 2 }])
    slots.kick()
    await turn()

    while (started.length < 4) {
      end(started[started.length - 1])
      slots.kick()
      await turn()
    }

    expect(started.map(({ order, priority }) => [order, priority])).toEqual([
      [1, 2],
      [2, 2],
      [2, 1],
      [1, 0],
    ])
  })

  it('runs 10,000 jobs through 8 slots, each once, never more than 8 at once, without tickets left over', async () => {
    const { world, slots, started, ends, highest } = start(8, new FairWorld({ tenants: [{ maxConcurrency: 1e6 }] }))
    const batch = world.submit(world.tenants[0], null, many(10_000))
    slots.kick()
    await turn()

    while (ends.size > 0) {
      for (const [job, resolve] of [...ends]) {
        ends.delete(job)
        batch.core.states[job.index] = 3
        world.fair.release(batch, job.index)
        slots.kick()
        resolve()
      }
      await turn()
    }

    expect(new Set(started).size).toBe(10_000)
    expect(started).toHaveLength(10_000)
    expect(highest()).toBe(8)
    expect(slots.running).toBe(0)
    expect(slots.tickets).toBeLessThanOrEqual(1)
  })

  it('does not nest starts, however many are free and whatever run does', async () => {
    const world = new FairWorld({ tenants: [{ maxConcurrency: 1e6 }] })
    const batch = world.submit(world.tenants[0], null, many(5_000))
    let depth = 0
    let deepest = 0
    let started = 0
    const slots: Slots = new Slots({
      concurrency: 5_000,
      fair: world.fair,
      run: ({ index }: Grant) => {
        started++
        deepest = Math.max(deepest, ++depth)
        batch.core.states[index] = 1
        // As the engine does: every turn ends with a kick.
        slots.kick()
        depth--
        return new Promise(() => {
          // Never ends.
        })
      },
    })

    slots.kick()
    await turn()

    expect([started, deepest]).toEqual([5_000, 1])
  })

  it('starts nothing more after stop, and lets what runs go on', async () => {
    const { world, slots, started, end } = start(2)
    world.submit(world.tenants[0], null, many(5))
    slots.kick()
    await turn()

    slots.stop()
    slots.stop()
    end(started[0])
    slots.kick()
    await turn()

    expect([started.length, slots.running]).toEqual([2, 1])
  })

  it('leaves no slot idle that an eligible job could use, under any program', async () => {
    const op = fc.oneof(
      fc.record({
        op: fc.constant('submit' as const),
        tenant: fc.nat(2),
        count: fc.integer({ min: 1, max: 4 }),
        max: fc.constantFrom(null, 1),
      }),
      fc.record({ op: fc.constantFrom('end' as const, 'cancel' as const), pick: fc.nat(99) }),
      fc.record({
        op: fc.constant('set' as const),
        tenant: fc.nat(2),
        cap: fc.integer({ min: 1, max: 3 }),
        paused: fc.boolean(),
      }),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(op, { maxLength: 30 }),
        fc.integer({ min: 1, max: 4 }),
        async (program, concurrency) => {
          const { world, slots, started, ends, end } = start(concurrency, new FairWorld({ tenants: [{}, {}, {}] }))
          for (const step of program) {
            if (step.op === 'submit') world.submit(world.tenants[step.tenant], step.max, many(step.count))
            else if (step.op === 'set')
              world.set(world.tenants[step.tenant], { maxConcurrency: step.cap, paused: step.paused })
            else if (step.op === 'end') {
              const running = [...ends.keys()]
              if (running.length > 0) end(running[step.pick % running.length])
            } else {
              const queued = world.queued()
              if (queued.length > 0) world.cancel(queued[step.pick % queued.length])
            }
            slots.kick()
            await turn()
            if (slots.running > concurrency) throw new Error('above its concurrency')
            if (slots.running !== ends.size) throw new Error('a slot is lost')
            if (slots.running < concurrency && world.eligible().length > 0) throw new Error('a slot is idle')
          }
          expect(new Set(started).size).toBe(started.length)
        },
      ),
      { numRuns: 100 },
    )
  })
})
