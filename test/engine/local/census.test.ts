import { describe, expect, it } from 'vitest'
import { Flag } from '../../../src/core/batch.ts'
import { step } from '../../../src/core/step.ts'
import { type CensusParts, census } from '../../../src/engine/local/census.ts'
import { FairQueue } from '../../../src/engine/local/fair-queue.ts'
import type { LiveBatch } from '../../../src/engine/local/live-batch.ts'
import { Tenants } from '../../../src/engine/local/tenants.ts'
import { EngineCounts } from '../../../src/metrics/engine-counts.ts'
import { DEFAULTS, liveBatch } from './live.ts'

/** A batch of so many queued jobs of kind 0. */
function batch(jobs: number): LiveBatch {
  const live = liveBatch()
  live.kinds.extend(jobs, 0)
  step(live.core, { type: 'accepted', jobs: Array.from({ length: jobs }, () => ({})) }, 0)
  return live
}

/** Looks over these batches, and counts how often the queue is asked what a job waits for. */
function take(lives: LiveBatch[], own: Partial<CensusParts> = {}) {
  const fair = new FairQueue()
  const asked: number[] = []
  const parts = {
    counts: new EngineCounts(['fetch']),
    fair: {
      waitingOn(...[queue, index]: Parameters<FairQueue['waitingOn']>) {
        asked.push(index)
        return fair.waitingOn(queue, index)
      },
    } as FairQueue, // Nothing else of it is asked.
    tenants: new Tenants({ defaults: DEFAULTS, storedBytes: () => 10 }),
    slots: { concurrency: 8, running: 3 },
    admission: { held: { submissions: 2, bytes: 99 } },
    journal: { healthy: false },
    owns: () => true,
    ...own,
    values: lives,
  } as unknown as CensusParts // What is looked at is there.
  return { ...census(parts), asked }
}

const waiting = (result: { waiting: Iterable<[string, number]> }) =>
  Object.fromEntries([...result.waiting].filter(([, jobs]) => jobs > 0))

describe('census', () => {
  it('asks what jobs wait for once a batch, where nothing tells them apart', () => {
    const result = take([batch(1_000), batch(500)])

    expect(waiting(result)).toEqual({ 'server-cap': 1_500 })
    expect(result.queued[0]).toBe(1_500)
    expect(result.asked).toHaveLength(2)
  })

  it('stops at the last queued job', () => {
    const live = batch(3)
    step(live.core, { type: 'granted', index: 0 }, 1)

    expect(take([live]).queued[0]).toBe(2)
    expect(take([live]).running[0]).toBe(0) // Without an attempt it is between two turns.
  })

  it('tells apart what is held back', () => {
    const live = batch(4)
    live.core.flags[0] |= Flag.delayed
    live.core.flags[2] |= Flag.hedged

    expect(waiting(take([live]))).toEqual({ delay: 2, 'server-cap': 2 })
  })

  it('asks for each job where hosts have a cap', () => {
    const live = batch(3)
    const full = { key: 'a', cap: 1, running: 1, parked: new Map() }
    live.queue.hosts.push(full, null, full)

    const result = take([live])

    expect(waiting(result)).toEqual({ 'host-cap': 2, 'server-cap': 1 })
    expect(result.asked).toEqual([0, 1, 2])
  })

  it('shows each reason, also while nobody waits for it', () => {
    const reasons = [...take([]).waiting].map(([reason]) => reason)

    expect(reasons.sort()).toEqual(
      ['batch-limit', 'delay', 'host-cap', 'paused', 'rate', 'server-cap', 'tenant-cap'].sort(),
    )
  })

  it('leaves out what is of a deleted tenant', () => {
    const live = batch(5)
    live.tenant.deleted = true

    const result = take([live])

    expect([result.queued[0], result.batches.size]).toEqual([0, 0])
  })

  it('sums over tenants', () => {
    const tenants = new Tenants({ defaults: DEFAULTS, storedBytes: () => 10 })
    tenants.apply('a', { maxConcurrency: 2 }).queue.running = 2
    tenants.apply('b', { maxConcurrency: 3, paused: true }).queue.running = 1
    tenants.get('c')

    const result = take([], { tenants })

    expect(result.tenants).toEqual({ known: 3, atCap: 1, paused: 1, slots: 9, used: 3, keptBytes: 30 })
  })

  it("leaves out tenants that are another engine's", () => {
    const tenants = new Tenants({ defaults: DEFAULTS, storedBytes: () => 10 })
    tenants.apply('a', { maxConcurrency: 2 }).queue.running = 2
    tenants.apply('b', { maxConcurrency: 3, paused: true })

    const { known, atCap, paused, slots, keptBytes } = take([], { tenants, owns: (id) => id === 'a' }).tenants

    expect({ known, atCap, paused, slots, keptBytes }).toEqual({
      known: 1,
      atCap: 1,
      paused: 0,
      slots: 2,
      keptBytes: 10,
    })
  })

  it('counts stuck jobs whosever they are, as the tenant of one may be gone', () => {
    const counts = new EngineCounts(['fetch'])
    counts.stuck = 4

    expect(take([], { counts }).stuck).toBe(4)
  })

  it('counts as short of slots what would start if there were more, and no job that its tenant has no room for', () => {
    const live = batch(997)
    Object.assign(live.queue.tenant, { cap: 4, running: 3 })

    const result = take([live])

    expect(waiting(result)).toEqual({ 'server-cap': 997 })
    expect(result.shortOfSlots).toBe(1)
  })

  it('counts nothing as short of slots that waits for something else', () => {
    const [paused, delayed] = [batch(5), batch(5)]
    paused.queue.tenant.paused = true
    for (let index = 0; index < 5; index++) delayed.core.flags[index] |= Flag.delayed

    expect(take([paused, delayed]).shortOfSlots).toBe(0)
  })

  it('asks per host where hosts have a cap', () => {
    const live = batch(6)
    const free = { key: 'a', cap: 3, running: 1, parked: new Map() }
    live.queue.hosts.push(free, free, free, free, null, null)
    live.queue.tenant.cap = 100

    expect(waiting(take([live]))).toEqual({ 'server-cap': 6 })
    expect(take([live]).shortOfSlots).toBe(4)
  })

  it('has what slots, admission and journal say', () => {
    const { slots, held, writable } = take([])

    expect([slots, held, writable]).toEqual([{ total: 8, used: 3 }, { submissions: 2, bytes: 99 }, false])
  })
})
