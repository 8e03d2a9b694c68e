import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { BatchSubmission, TenantSettings } from '../../../src/engine/engine.ts'
import { LocalEngine } from '../../../src/engine/local/engine.ts'
import { BatchTooLargeError, OverloadedError, ShuttingDownError } from '../../../src/errors.ts'
import { defineKind } from '../../../src/jobs/custom.ts'
import type { CommonSpec } from '../../../src/jobs/kind.ts'
import { Vault } from '../../../src/secrets/vault.ts'
import { directStore } from '../../store/sqlite/direct-store.ts'
import { FakeClock, turn } from '../../support/fake-clock.ts'
import { DEFAULTS } from './live.ts'

/** Never ends by itself, at a host if it names one. */
const work = defineKind({
  name: 'work',
  spec: z.strictObject({ host: z.string().optional() }),
  hostOf: ({ host }) => host,
  run: (_, { signal }) =>
    new Promise((_resolve, reject) => {
      if (signal.aborted) reject(signal.reason)
      signal.addEventListener('abort', () => reject(signal.reason))
    }),
})

type Job = Partial<CommonSpec> & { host?: string }

function batchOf(jobs: Job[], more: Partial<BatchSubmission> = {}): BatchSubmission {
  const none = { name: null, labels: {}, timeoutMs: null, maxConcurrency: null, open: false, context: {} }
  const specs = jobs.map((job) => ({ kind: 'work', ...job }))
  return { policy: 'all_settled', ...none, n: null, hedgeDelayMs: null, ...more, jobs: specs }
}

function startEngine({ maxConcurrency = 100, hostConcurrency = 0, settings = {} as TenantSettings } = {}) {
  const store = directStore(':memory:')
  const clock = new FakeClock()
  const engine = new LocalEngine({
    vault: new Vault([Buffer.alloc(32, 'key')]),
    store,
    clock,
    kinds: new Map([['work', work]]),
    maxConcurrency,
    hostConcurrency,
    tenantDefaults: DEFAULTS,
    retentionMs: 1_000,
    durable: true,
    events: { stuck: refuse, commitFailed: refuse, retentionFailed: refuse, secretUnreadable: refuse },
  })
  engine.applyTenant('acme', settings)
  const close = async () => {
    await engine.shutdown()
    await store.close()
  }
  return { engine, clock, store, [Symbol.asyncDispose]: close }
}

function refuse(): never {
  throw new Error('Nothing is to go wrong here.')
}

/** What the jobs of a batch wait for just after it was accepted. */
async function waitingAfter(engine: LocalEngine, batch: BatchSubmission): Promise<unknown[]> {
  const { id } = await engine.submit('acme', batch)
  const { data } = await engine.jobs('acme', id, { order: 'input', limit: 1_000 })
  return data.map((text) => JSON.parse(text).waitingOn)
}

async function waiting(engine: LocalEngine, jobs: Job[], more: Partial<BatchSubmission> = {}) {
  return (await engine.forecast('acme', batchOf(jobs, more))).waitingOn
}

describe('forecast', () => {
  it.each<[string, Parameters<typeof startEngine>[0], Job[], Partial<BatchSubmission>, unknown[]]>([
    ['nothing', {}, [{}, {}], {}, [null, null]],
    ['a pause', { settings: { paused: true } }, [{}, { delayMs: 1 }], {}, ['paused', 'delay']],
    ["the tenant's cap", { settings: { maxConcurrency: 1 } }, [{}, {}], {}, [null, 'tenant-cap']],
    ['the rate', { settings: { rate: { jobsPerSecond: 1 } } }, [{}, {}], {}, [null, 'rate']],
    ["the batch's limit", {}, [{}, {}], { maxConcurrency: 1 }, [null, 'batch-limit']],
    [
      "a host's cap",
      { hostConcurrency: 1 },
      [{ host: 'a' }, { host: 'a' }, { host: 'b' }, {}],
      {},
      [null, 'host-cap', null, null],
    ],
    ["the server's", { maxConcurrency: 1 }, [{}, {}], {}, [null, 'server-cap']],
    ['the hedge', {}, [{}, {}], { policy: 'hedge', hedgeDelayMs: 5 }, [null, 'delay']],
    [
      'jobs of a higher priority',
      { settings: { maxConcurrency: 1 } },
      [{}, { priority: 1 }, {}],
      {},
      ['tenant-cap', null, 'tenant-cap'],
    ],
    ['its own end', { settings: { paused: true } }, [{ timeoutMs: 0 }, {}], {}, [null, 'paused']],
    ['the end of its batch', {}, [{ timeoutMs: 0 }, {}], { policy: 'task_group' }, [null, null]],
    [
      'several: the first of them, as a read says it',
      { settings: { maxConcurrency: 2 }, hostConcurrency: 1 },
      [{ host: 'a' }, { host: 'a' }, {}],
      {},
      [null, 'tenant-cap', null],
    ],
  ])('says that a job waits for %s', async (_, options, jobs, more, expected) => {
    await using world = startEngine(options)
    world.clock.advance(1_000)

    expect(await waiting(world.engine, jobs, more)).toEqual(expected)
  })

  it('knows what runs and what waits already', async () => {
    await using world = startEngine({ settings: { maxConcurrency: 3 }, hostConcurrency: 1 })
    const { engine } = world
    await engine.submit('acme', batchOf([{ host: 'a' }, { host: 'a', priority: 9 }]))
    await engine.submit('other', batchOf([{ host: 'b' }]))

    expect(await waiting(engine, [{ host: 'a' }, { host: 'b' }, {}])).toEqual(['host-cap', 'host-cap', null])
  })

  it('says for a tenant that nobody has heard of what its first submission meets, and enters it not', async () => {
    await using world = startEngine()

    const { waitingOn } = await world.engine.forecast('new', batchOf(Array.from({ length: 5 }, () => ({}))))

    expect(waitingOn).toEqual([null, null, null, null, 'tenant-cap'])
  })

  it('says whether the jobs fit into the queue, and when they may', async () => {
    await using world = startEngine({ settings: { maxConcurrency: 1, maxQueuedJobs: 3 } })
    const { engine } = world
    await engine.submit('acme', batchOf([{}, {}, {}]))

    expect((await engine.forecast('acme', batchOf([{}]))).retryAfterS).toBe(null)
    expect((await engine.forecast('acme', batchOf([{}, {}]))).retryAfterS).toBeGreaterThan(0)
    await expect(engine.forecast('acme', batchOf([{}, {}, {}, {}]))).rejects.toThrow(BatchTooLargeError)
  })

  it('changes nothing', async () => {
    await using world = startEngine({ hostConcurrency: 1, settings: { rate: { jobsPerSecond: 3 }, maxQueuedJobs: 9 } })
    const { engine, clock } = world
    clock.advance(1_000)
    await engine.submit('acme', batchOf([{ host: 'a' }, { host: 'a' }]))
    const before = [engine.tenant('acme'), clock.armed, await engine.batches('acme', { labels: {}, limit: 9 })]
    const batch = batchOf([{ host: 'b', delayMs: 5, deadlineMs: 9 }, { host: 'b' }, {}], { timeoutMs: 5 })
    const spec = JSON.stringify(batch)

    const answers = [await engine.forecast('acme', batch), await engine.forecast('acme', batch)]

    expect(answers[1]).toEqual(answers[0])
    expect(JSON.stringify(batch)).toBe(spec)
    expect([engine.tenant('acme'), clock.armed, await engine.batches('acme', { labels: {}, limit: 9 })]).toEqual(before)
  })

  it('is refused where a submission is: by a service that stops, for a tenant that goes', async () => {
    await using world = startEngine()
    const { engine } = world
    const { promise, resolve } = Promise.withResolvers<void>()
    world.store.deleteTenant = () => promise
    const deleted = engine.deleteTenant('acme')

    await expect(engine.forecast('acme', batchOf([{}]))).rejects.toThrow(OverloadedError)
    resolve()
    await deleted
    await engine.drain(0)

    await expect(engine.forecast('acme', batchOf([{}]))).rejects.toThrow(ShuttingDownError)
  })

  it('is what the jobs wait for once they are submitted, whatever is there before', async () => {
    const job = fc.record(
      {
        host: fc.constantFrom('a', 'b'),
        priority: fc.integer({ min: -1, max: 1 }),
        delayMs: fc.constantFrom(0, 1, 50),
        timeoutMs: fc.constantFrom(0, 10),
        deadlineMs: fc.constantFrom(0, 10),
        shield: fc.boolean(),
      },
      { requiredKeys: [] },
    )
    const batch = fc
      .record({
        jobs: fc.array(job, { minLength: 1, maxLength: 6 }),
        policy: fc.constantFrom('all_settled' as const, 'task_group' as const, 'race' as const, 'hedge' as const),
        maxConcurrency: fc.constantFrom(null, 1, 2),
        timeoutMs: fc.constantFrom(null, null, 0, 10),
      })
      .map(({ jobs, ...more }) => batchOf(jobs, { ...more, hedgeDelayMs: more.policy === 'hedge' ? 5 : null }))
    const settings = fc.record(
      {
        maxConcurrency: fc.integer({ min: 1, max: 4 }),
        paused: fc.boolean(),
        rate: fc.record({ jobsPerSecond: fc.constantFrom(0.001, 2, 5) }),
      },
      { requiredKeys: [] },
    )
    const world = { maxConcurrency: fc.integer({ min: 1, max: 5 }), hostConcurrency: fc.integer({ min: 0, max: 2 }) }
    const before = fc.array(fc.tuple(fc.constantFrom('acme', 'other'), batch), { maxLength: 4 })

    await fc.assert(
      fc.asyncProperty(fc.record({ ...world, settings }), before, batch, async (options, others, mine) => {
        await using started = startEngine(options)
        const { engine, clock } = started
        clock.advance(1_000)
        for (const [tenant, other] of others) await engine.submit(tenant, other)
        await turn()

        const { waitingOn } = await engine.forecast('acme', mine)

        expect(waitingOn).toEqual(await waitingAfter(engine, mine))
      }),
      { numRuns: 150 },
    )
  }, 30_000)
})
