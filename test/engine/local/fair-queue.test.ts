import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { TenantSettings } from '../../../src/engine/engine.ts'
import { FairWorld, isHeldBack, type JobPlan } from './fair-model.ts'

type Op =
  | { op: 'submit'; tenant: number; max: number | null; jobs: JobPlan[] }
  | { op: 'append'; batch: number; jobs: JobPlan[] }
  | { op: 'due' | 'cancel' | 'release'; pick: number }
  | { op: 'cancelAll'; batch: number }
  | { op: 'take' }
  | { op: 'advance'; ms: number }
  | { op: 'set'; tenant: number; maxConcurrency: number; weight: number; paused: boolean; perSecond: number | null }
  | { op: 'requeue'; pick: number; priority: number }

/** Rates of starts: in tenths, as the model has them. */
const RATES = [0.1, 0.5, 1, 2.5, 3, 40]
const rateOf = (jobsPerSecond: number | null) => ({ rate: { jobsPerSecond } })
const nat = fc.nat({ max: 10_000 })
const jobPlan: fc.Arbitrary<JobPlan> = fc.record({
  priority: fc.constantFrom(0, 0, 0, 1, -1),
  host: fc.constantFrom(null, 0, 0, 1),
  delayed: fc.constantFrom(false, false, false, true),
})
const jobPlans = fc.array(jobPlan, { minLength: 1, maxLength: 5 })
const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      op: fc.constant('submit' as const),
      tenant: nat,
      max: fc.constantFrom(null, null, 1, 2),
      jobs: jobPlans,
    }),
  },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('append' as const), batch: nat, jobs: jobPlans }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('due' as const), pick: nat }) },
  { weight: 2, arbitrary: fc.record({ op: fc.constant('cancel' as const), pick: nat }) },
  { weight: 1, arbitrary: fc.record({ op: fc.constant('cancelAll' as const), batch: nat }) },
  { weight: 12, arbitrary: fc.constant({ op: 'take' as const }) },
  { weight: 8, arbitrary: fc.record({ op: fc.constant('release' as const), pick: nat }) },
  {
    weight: 2,
    arbitrary: fc.record({
      op: fc.constant('set' as const),
      tenant: nat,
      maxConcurrency: fc.integer({ min: 1, max: 4 }),
      weight: fc.integer({ min: 1, max: 3 }),
      paused: fc.constantFrom(false, false, true),
      perSecond: fc.constantFrom(null, null, ...RATES),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      op: fc.constant('advance' as const),
      ms: fc.constantFrom(0, 1, 99, 250, 333, 1_000, 5_000),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ op: fc.constant('requeue' as const), pick: nat, priority: fc.constantFrom(-1, 0, 1) }),
  },
)
const settings = fc
  .record({
    maxConcurrency: fc.integer({ min: 1, max: 4 }),
    weight: fc.integer({ min: 1, max: 3 }),
    perSecond: fc.constantFrom(null, null, ...RATES),
  })
  .map(({ perSecond, ...rest }): TenantSettings => ({ ...rest, ...rateOf(perSecond) }))
const worldOptions = fc.record({
  tenants: fc.array(settings, { minLength: 1, maxLength: 4 }),
  hostCaps: fc.constantFrom<number[]>([], [1, 1], [1, 2], [2, 3]),
})

function pickOf<T>(items: T[], pick: number): T | undefined {
  return items[pick % Math.max(1, items.length)]
}

function run(world: FairWorld, program: { step: Op; look: boolean }[], bound: number): void {
  for (const { step, look } of program) {
    perform(world, step)
    if (look) world.check()
    world.checkCounters()
    const passedOver = world.longestPassedOver
    if (passedOver > bound) throw new Error(`a tenant with eligible work was passed over for ${passedOver} takes`)
  }
  world.check()
}

function perform(world: FairWorld, step: Op): void {
  switch (step.op) {
    case 'submit': {
      const tenant = pickOf(world.tenants, step.tenant)
      if (tenant) world.submit(tenant, step.max, step.jobs)
      return
    }
    case 'append': {
      const batch = pickOf(world.batches, step.batch)
      if (batch) world.append(batch, step.jobs)
      return
    }
    case 'cancelAll': {
      const batch = pickOf(world.batches, step.batch)
      for (const job of world.queued()) if (job.batch === batch) world.cancel(job)
      return
    }
    case 'take': {
      const could = world.eligible().length > 0
      expect(world.take() !== null, 'take() gives a job exactly when one is eligible').toBe(could)
      return
    }
    case 'set': {
      const tenant = pickOf(world.tenants, step.tenant)
      const { maxConcurrency, weight, paused, perSecond } = step
      if (tenant) world.set(tenant, { maxConcurrency, weight, paused, ...rateOf(perSecond) })
      return
    }
    case 'advance':
      return world.advance(step.ms)
    default:
      return performOnJob(world, step)
  }
}

function performOnJob(world: FairWorld, step: Extract<Op, { pick: number }>): void {
  const among = {
    due: world.queued().filter(isHeldBack),
    release: world.running(),
    cancel: world.queued(),
    requeue: world.queued(),
  }
  const job = pickOf(among[step.op], step.pick)
  if (job === undefined) return
  if (step.op === 'requeue') world.requeue(job, step.priority)
  else world[step.op](job)
}

const program = fc.array(fc.record({ step: op, look: fc.boolean() }), { minLength: 1, maxLength: 80, size: 'max' })

/** `GATHERD_FUZZ=100` looks a hundred times as hard. */
const RUNS = 3_000 * Number(process.env.GATHERD_FUZZ ?? 1)

describe('FairQueue, against a model that looks at every job', () => {
  it('loses no wake-up, starts nothing that may not start, and keeps the order, with host caps', () => {
    fc.assert(
      fc.property(worldOptions, program, (options, steps) => {
        const rounds = options.tenants.length + 1
        run(new FairWorld(options), steps, rounds * 3 * options.tenants.length)
      }),
      { numRuns: RUNS },
    )
  })

  it('serves every tenant with eligible work within one round when hosts have no cap', () => {
    fc.assert(
      fc.property(worldOptions, program, ({ tenants }, steps) => {
        run(new FairWorld({ tenants }), steps, 3 * (tenants.length - 1))
      }),
      { numRuns: 1_000 },
    )
  })

  it('runs every job exactly once when slots come back until nothing is left', () => {
    fc.assert(
      fc.property(
        worldOptions,
        fc.array(fc.record({ tenant: nat, max: fc.constantFrom(null, 1, 2), jobs: jobPlans }), {
          minLength: 1,
          maxLength: 12,
        }),
        fc.infiniteStream(nat),
        (options, batches, picks) => {
          const world = new FairWorld(options)
          for (const { tenant, max, jobs } of batches)
            perform(world, { op: 'submit', tenant, max, jobs: jobs.map((job) => ({ ...job, delayed: false })) })
          const started: unknown[] = []
          while (world.queued().length > 0 || world.running().length > 0) {
            for (let job = world.take(); job !== null; job = world.take()) started.push(job)
            const ending = pickOf(world.running(), picks.next().value ?? 0)
            if (ending !== undefined) world.release(ending)
            else if (world.timers.size > 0) world.advance(world.clock.nextAt - world.clock.now())
            else break
          }

          expect(world.queued()).toEqual([])
          expect(new Set(started).size).toBe(world.jobs.length)
          expect(started).toHaveLength(world.jobs.length)
        },
      ),
      { numRuns: 500 },
    )
  })
})

const ONE = [{}]
const AT_HOST = [{ host: 0 }]

describe('FairQueue', () => {
  it('gives nothing while nothing is queued', () => {
    const { fair } = new FairWorld({ tenants: [{}] })

    expect(fair.next()).toBeNull()
    expect(fair.take()).toBeNull()
  })

  it('starts the higher priority first, then the batch accepted first, then input order', () => {
    const world = new FairWorld({ tenants: [{ maxConcurrency: 9 }] })
    const [tenant] = world.tenants
    world.submit(tenant, null, [{ priority: -1 }, {}, { priority: 5 }])
    world.submit(tenant, null, [{ priority: 5 }, {}])

    const order = Array.from({ length: 5 }, () => world.take()).map((job) => [job?.order, job?.index])

    expect(order).toEqual([
      [1, 2],
      [2, 0],
      [1, 1],
      [2, 1],
      [1, 0],
    ])
  })

  it('lets nobody of the same tenant barge in front of a job that waits for the same host', () => {
    const world = new FairWorld({ tenants: [{ maxConcurrency: 9, weight: 3 }, { maxConcurrency: 9 }], hostCaps: [1] })
    const [a, b] = world.tenants
    world.submit(b, null, [{ host: 0 }, { host: 0 }])
    const running = world.take()
    world.check()
    world.submit(a, null, [{ host: 0, priority: 1 }, { priority: 9 }])
    world.take()
    world.check()
    if (running !== null) world.release(running)
    world.submit(a, null, [{ host: 0, priority: 0 }])

    const starts = Array.from({ length: 3 }, () => {
      const job = world.take()
      if (job !== null) world.release(job)
      return job
    })

    expect(starts.filter((job) => job?.tenant === a).map((job) => job?.priority)).toEqual([1, 0])
  })

  it('does not leave a host idle because the tenant it woke has more urgent work of its own', () => {
    const world = new FairWorld({ tenants: [{ maxConcurrency: 99 }, { maxConcurrency: 99 }, {}], hostCaps: [1] })
    const [busy, waiting, first] = world.tenants
    world.submit(first, null, AT_HOST)
    const running = world.take()
    world.submit(busy, null, AT_HOST)
    world.submit(waiting, null, AT_HOST)
    world.check()
    world.submit(
      busy,
      null,
      Array.from({ length: 50 }, () => ({ priority: 9 })),
    )
    if (running !== null) world.release(running)

    const starts = Array.from({ length: 4 }, () => world.take()?.tenant)

    expect(starts).toContain(waiting)
  })

  it.each<TenantSettings>([{ paused: true }, { maxConcurrency: 1 }])(
    'hands a host on when the tenant that it woke %o',
    (settings) => {
      const world = new FairWorld({ tenants: [{ maxConcurrency: 9 }, {}, {}], hostCaps: [1] })
      const [woken, next, first] = world.tenants
      world.submit(woken, null, ONE)
      world.take()
      world.submit(first, null, AT_HOST)
      const running = world.take()
      world.submit(woken, null, AT_HOST)
      world.submit(next, null, AT_HOST)
      world.check()
      if (running !== null) world.release(running)
      world.set(woken, settings)

      expect(world.take()?.tenant).toBe(next)
    },
  )

  it('hands a host on when the job that it woke was cancelled', () => {
    const world = new FairWorld({ tenants: [{}, {}, {}], hostCaps: [1] })
    const [woken, next, first] = world.tenants
    world.submit(first, null, AT_HOST)
    const running = world.take()
    world.submit(woken, null, AT_HOST)
    world.submit(next, null, AT_HOST)
    world.check()
    if (running !== null) world.release(running)
    const [doomed] = world.queued().filter(({ tenant }) => tenant === woken)
    world.cancel(doomed)

    expect(world.take()?.tenant).toBe(next)
  })

  it('shares starts by weight over every whole round', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 6 }), (weights) => {
        const sum = weights.reduce((total, weight) => total + weight, 0)
        const world = new FairWorld({ tenants: weights.map((weight) => ({ weight, maxConcurrency: 1e6 })) })
        const plenty = Array.from({ length: sum * 5 }, () => ({}))
        for (const tenant of world.tenants) world.submit(tenant, null, plenty)
        // The first turn of a tenant whose weight was raised is a short one.
        for (let i = 0; i < sum; i++) world.take()

        for (let round = 0; round < 3; round++) {
          const served = Array.from({ length: sum }, () => world.take()?.tenant)
          expect(world.tenants.map((tenant) => served.filter((each) => each === tenant).length)).toEqual(weights)
        }
      }),
      { numRuns: 50 },
    )
  })

  it('says what a queued job waits for', () => {
    const world = new FairWorld({ tenants: [{ maxConcurrency: 3 }, {}], hostCaps: [1] })
    const [tenant, other] = world.tenants
    const batch = world.submit(tenant, 1, [{ delayed: true }, {}, { host: 0 }, {}])
    const wide = world.submit(tenant, null, [{ host: 0 }, {}])
    const waitsFor = (index: number, of = batch) => world.fair.waitingOn(of, index)

    expect([waitsFor(0), waitsFor(1)]).toEqual(['delay', 'server-cap'])
    world.submit(other, null, AT_HOST)
    world.take()
    world.take()
    expect([waitsFor(2), waitsFor(3), waitsFor(0, wide), waitsFor(1, wide)]).toEqual([
      'batch-limit',
      'batch-limit',
      'host-cap',
      'server-cap',
    ])
    world.set(tenant, { maxConcurrency: 1 })
    expect(waitsFor(1, wide)).toBe('tenant-cap')
    world.set(tenant, { paused: true })
    expect(waitsFor(1, wide)).toBe('paused')
  })

  it('starts what was running before a restart first, whatever its priority, and once', () => {
    const world = new FairWorld({ tenants: [{ maxConcurrency: 9 }], hostCaps: [1] })
    const [tenant] = world.tenants
    const batch = world.submit(tenant, null, [{ priority: 9 }, { priority: -5, host: 0 }, { priority: 3 }])
    world.fair.resume(batch, 1)

    const starts = Array.from({ length: 4 }, () => world.take()?.index ?? null)

    expect(starts).toEqual([1, 0, 2, null])
  })

  it('starts a job once whose priority was changed and changed back', () => {
    const world = new FairWorld({ tenants: [{ maxConcurrency: 9 }] })
    const [tenant] = world.tenants
    world.submit(tenant, null, [{}, {}, {}])
    const [, , last] = world.queued()
    for (const priority of [5, 0, 5, 5]) world.requeue(last, priority)

    const starts = Array.from({ length: 4 }, () => world.take()?.index ?? null)

    expect(starts).toEqual([2, 0, 1, null])
  })
})
