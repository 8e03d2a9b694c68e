import { describe, expect, it } from 'vitest'
import type { StartRate } from '../../../src/engine/local/rate.ts'
import { Tenants } from '../../../src/engine/local/tenants.ts'
import { DEFAULTS } from './live.ts'

describe('Tenants', () => {
  it('enters a tenant with the defaults, once', () => {
    const tenants = new Tenants({ defaults: DEFAULTS })

    const tenant = tenants.get('a')

    expect(tenants.get('a')).toBe(tenant)
    expect([...tenants.values()]).toEqual([tenant])
    expect(tenant.queue).toMatchObject({ id: 'a', cap: 4, weight: 2, credit: 2, paused: false, running: 0 })
    expect(tenants.view(tenant)).toEqual({
      id: 'a',
      limits: DEFAULTS,
      paused: false,
      usage: { queued: 0, running: 0, cancelling: 0, stuck: 0, batches: 0, storedBytes: 0 },
    })
  })

  it('lets a setting go before its default, and the default come back without it', () => {
    const tenants = new Tenants({ defaults: DEFAULTS })

    const tenant = tenants.apply('a', { maxConcurrency: 9, maxBatchJobs: 1, paused: true })
    expect(tenants.limits(tenant)).toEqual({ ...DEFAULTS, maxConcurrency: 9, maxBatchJobs: 1 })
    expect(tenant.queue).toMatchObject({ cap: 9, weight: 2, paused: true })
    expect(tenants.view(tenant).paused).toBe(true)

    expect(tenants.apply('a', { weight: 7, maxQueuedJobs: 0 })).toBe(tenant)
    expect(tenants.limits(tenant)).toEqual({ ...DEFAULTS, weight: 7, maxQueuedJobs: 0 })
    expect(tenant.queue).toMatchObject({ cap: 4, weight: 7, paused: false })
  })

  it('cuts the starts left in a turn to the new weight, and gives none on top', () => {
    const tenants = new Tenants({ defaults: DEFAULTS })

    expect(tenants.apply('a', { weight: 9 }).queue.credit).toBe(2)
    expect(tenants.apply('a', { weight: 1 }).queue.credit).toBe(1)
  })

  it('shows what a tenant uses', () => {
    const tenants = new Tenants({ defaults: DEFAULTS })
    const tenant = tenants.get('a')
    Object.assign(tenant, { queued: 3, cancelling: 1, stuck: 1, reserved: 5 })
    tenant.queue.running = 2

    expect(tenants.view(tenant).usage).toEqual({
      queued: 3,
      running: 2,
      cancelling: 1,
      stuck: 1,
      batches: 0,
      storedBytes: 0,
    })
  })

  it('shows a tenant that is not there as one that has nothing, and enters it not', () => {
    let closed = 0
    // Only what is called of it.
    const rate = { close: () => closed++ } as unknown as StartRate
    const tenants = new Tenants({
      defaults: { ...DEFAULTS, rate: { jobsPerSecond: 5, requestsPerMinute: 7 } },
      startRate: () => rate,
    })

    expect(tenants.view(tenants.look('a'))).toEqual({
      id: 'a',
      limits: { ...DEFAULTS, rate: { jobsPerSecond: 5, requestsPerMinute: 7 } },
      paused: false,
      usage: { queued: 0, running: 0, cancelling: 0, stuck: 0, batches: 0, storedBytes: 0 },
    })
    // Nobody wakes whom nobody knows.
    expect(closed).toBe(1)
    expect([...tenants.values()]).toEqual([])
  })

  it('shows one that is there as it is', () => {
    const tenants = new Tenants({ defaults: DEFAULTS })
    const tenant = tenants.apply('a', { maxConcurrency: 9 })
    tenant.queued = 3

    expect(tenants.look('a')).toBe(tenant)
    tenants.forget(tenant)
    expect(tenants.look('a').settings).toEqual({})
  })

  it('has reached its bytes with those that are being written', () => {
    const tenants = new Tenants({ defaults: DEFAULTS, storedBytes: () => 90 })
    const tenant = tenants.apply('a', { maxStoredBytes: 100 })

    tenant.entering = 9
    expect(tenants.overBound(tenant)).toBeNull()
    tenant.entering = 10
    expect(tenants.overBound(tenant)).toEqual({ stored: 100, limit: 100 })
  })
})
