import { describe, expect, it } from 'vitest'
import { type BatchQueue, newBatchQueue, newTenantQueue } from '../../../src/engine/local/queues.ts'
import { Shortage } from '../../../src/engine/local/shortage.ts'

const tenant = (cap: number, running = 0) =>
  Object.assign(newTenantQueue('acme', { cap, weight: 1, paused: false }), { running })
const batch = (of: ReturnType<typeof tenant>, max: number | null = null): BatchQueue =>
  newBatchQueue(of, {} as never, max) // Of the core nothing is asked.
const host = (cap: number, running = 0) => ({ key: 'a', cap, running, parked: new Map() })

describe('Shortage', () => {
  it('has at most as many of a tenant as it may run beside what runs', () => {
    const shortage = new Shortage()
    const one = tenant(4, 3)
    shortage.wait(batch(one), null, 500)
    shortage.wait(batch(one), null, 497)

    expect(shortage.jobs).toBe(1)
  })

  it('adds up tenants, and the batches of one', () => {
    const shortage = new Shortage()
    const one = tenant(10)
    shortage.wait(batch(one), null, 3)
    shortage.wait(batch(one), null, 4)
    shortage.wait(batch(tenant(2)), null, 9)

    expect(shortage.jobs).toBe(9)
  })

  it('has at most as many of a batch as its maxConcurrency lets run', () => {
    const shortage = new Shortage()
    const limited = Object.assign(batch(tenant(100), 5), { running: 2 })
    shortage.wait(limited, null, 50)

    expect(shortage.jobs).toBe(3)
  })

  it('shares the places at a host among tenants', () => {
    const shortage = new Shortage()
    const target = host(3, 1)
    for (let job = 0; job < 2; job++)
      for (const of of [batch(tenant(9)), batch(tenant(9))]) shortage.wait(of, target, 1)

    expect(shortage.jobs).toBe(2)
  })

  it('takes nothing from a tenant for what its host has no room for', () => {
    const shortage = new Shortage()
    const one = tenant(2)
    shortage.wait(batch(one), host(1, 1), 1)
    shortage.wait(batch(one), null, 5)

    expect(shortage.jobs).toBe(2)
  })

  it('counts nothing of a tenant whose cap was lowered below what runs', () => {
    const shortage = new Shortage()
    shortage.wait(batch(tenant(1, 3)), null, 5)
    shortage.wait(batch(tenant(1)), null, 5)

    expect(shortage.jobs).toBe(1)
  })
})
