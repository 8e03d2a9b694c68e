import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { addJobs, newBatch } from '../../../src/core/batch.ts'
import { Job } from '../../../src/core/states.ts'
import { FairQueue } from '../../../src/engine/local/fair-queue.ts'
import { Heap } from '../../../src/engine/local/heap.ts'
import {
  type BatchQueue,
  type HostQueue,
  newBatchQueue,
  newTenantQueue,
  type TenantQueue,
} from '../../../src/engine/local/queues.ts'

/** Operations on heaps since the test began: what the queue's time goes into, without a clock. */
let operations = 0

beforeEach(() => {
  operations = 0
  for (const name of ['push', 'remove', 'update'] as const) {
    // The method that the spy stands in front of.
    const real: (...args: never[]) => unknown = Heap.prototype[name]
    vi.spyOn(Heap.prototype, name).mockImplementation(function (this: unknown, ...args) {
      operations++
      Reflect.apply(real, this, args)
    })
  }
})

afterEach(() => vi.restoreAllMocks())

function tenantOf(id: string, cap = 1e6): TenantQueue {
  return newTenantQueue(id, { cap, weight: 1, paused: false })
}

function submit(
  fair: FairQueue,
  tenant: TenantQueue,
  count: number,
  own: { max?: number; host?: HostQueue } = {},
): BatchQueue {
  const core = newBatch({ policy: 'all_settled' })
  const batch = newBatchQueue(tenant, core, own.max ?? null)
  addJobs(
    core,
    Array.from({ length: count }, () => ({})),
    0,
  )
  batch.priorities.extend(count, 0)
  if (own.host !== undefined) for (let i = 0; i < count; i++) batch.hosts[i] = own.host
  fair.enqueue(batch, 0, count, fair.nextOrder())
  return batch
}

/** Start and end jobs, at most `slots` at once, until none is eligible; returns how many. */
function runAll(fair: FairQueue, slots: number): number {
  const running: { batch: BatchQueue; index: number }[] = []
  let count = 0
  for (;;) {
    while (running.length < slots) {
      const grant = fair.take()
      if (grant === null) break
      grant.batch.core.states[grant.index] = Job.running
      running.push(grant)
      count++
    }
    const ended = running.shift()
    if (ended === undefined) return count
    ended.batch.core.states[ended.index] = Job.succeeded
    fair.release(ended.batch, ended.index)
  }
}

describe('the cost of the fair queue', () => {
  it('of a batch of 100,000 is a handful of heap operations a job', () => {
    const fair = new FairQueue()
    submit(fair, tenantOf('a'), 100_000)

    expect(runAll(fair, 64)).toBe(100_000)
    expect(operations / 100_000).toBeLessThan(3)
  })

  it('of passing over 100,000 cancelled jobs is none at all, and they are passed over once', () => {
    const fair = new FairQueue()
    const batch = submit(fair, tenantOf('a'), 100_001)
    batch.core.states.fill(Job.cancelled, 0, 100_000)

    const reads = vi.fn()
    const states = batch.core.states
    batch.core.states = new Proxy(states, {
      get(target, key) {
        if (typeof key === 'string' && /^\d+$/.test(key)) reads()
        return Reflect.get(target, key)
      },
    })
    for (let i = 0; i < 1_000; i++) expect(fair.next()?.index).toBe(100_000)

    expect(operations).toBeLessThan(10)
    expect(reads.mock.calls.length).toBeLessThan(100_000 + 10_000)
  })

  it('of 1,000 tenants is that of one', () => {
    const fair = new FairQueue()
    for (let i = 0; i < 1_000; i++) submit(fair, tenantOf(`t${i}`), 20)

    expect(runAll(fair, 64)).toBe(20_000)
    expect(operations / 20_000).toBeLessThan(4)
  })

  it('of 1,000 batches that are all full is a handful of heap operations a job', () => {
    const fair = new FairQueue()
    const tenant = tenantOf('a')
    for (let i = 0; i < 1_000; i++) submit(fair, tenant, 20, { max: 1 })

    expect(runAll(fair, 64)).toBe(20_000)
    expect(operations / 20_000).toBeLessThan(8)
  })

  it.each([
    ['one tenant', 1],
    ['1,000 tenants', 1_000],
  ])('of 1,000 batches for one full host, of %s, is a handful of heap operations a job', (_what, tenants) => {
    const fair = new FairQueue()
    const host: HostQueue = { key: 'h', cap: 4, running: 0, parked: new Map() }
    const queues = Array.from({ length: tenants }, (_, i) => tenantOf(`t${i}`))
    for (let i = 0; i < 1_000; i++) submit(fair, queues[i % tenants], 20, { host })

    expect(runAll(fair, 64)).toBe(20_000)
    expect(operations / 20_000).toBeLessThan(16)
  })
})
