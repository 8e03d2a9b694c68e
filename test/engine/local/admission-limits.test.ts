import { describe, expect, it } from 'vitest'
import { Admission, type Release } from '../../../src/engine/local/admission.ts'
import { Tenants } from '../../../src/engine/local/tenants.ts'
import { BatchTooLargeError, QueueFullError, StorageFullError } from '../../../src/errors.ts'
import { FakeClock, turn } from '../../support/fake-clock.ts'

const LIMITS = { maxConcurrency: 1, maxQueuedJobs: 10, maxBatchJobs: 10, weight: 1, maxStoredBytes: 1_000 }

/** An admission for tenant `acme`, which keeps `stored.bytes`. */
function start() {
  const stored = { bytes: 0 }
  const clock = new FakeClock()
  const tenants = new Tenants({ defaults: LIMITS, storedBytes: (id) => (id === 'acme' ? stored.bytes : 0) })
  const tenant = tenants.get('acme')
  const admission = new Admission({ tenants, clock, canWrite: () => true })
  const hold = { timeoutMs: 60_000, bytes: 1 }
  /** Fill the queue; returns what makes room in it for `count` jobs. */
  const fill = () => {
    const release: Release = admission.reserve(tenant, 10, 0)
    tenant.queued = 10
    release()
    return (count: number) => {
      tenant.queued -= count
      admission.left(tenant, count, clock.now())
    }
  }
  return { stored, clock, tenants, tenant, admission, hold, fill }
}

describe('a tenant that keeps as many bytes as it may', () => {
  it('is refused, and not one that keeps a byte less, however much it brings', () => {
    const { stored, tenant, admission } = start()

    stored.bytes = 999
    admission.reserve(tenant, 5, 0)()
    stored.bytes = 1_000

    expect(() => admission.reserve(tenant, 1, 0)).toThrow(StorageFullError)
    expect(() => admission.reserve(tenant, 1, 4)).toThrow('keeps 1000 bytes, and may keep 1000')
    expect(tenant.reserved).toBe(0)
  })

  it('counts what is being written as kept', () => {
    const { stored, tenant, admission } = start()
    stored.bytes = 600

    tenant.entering = 399
    admission.reserve(tenant, 1, 0)()
    tenant.entering = 400

    expect(() => admission.reserve(tenant, 1, 0)).toThrow('keeps 1000 bytes')
  })

  it('is told when the next look at old batches is over, and a dry run as well', () => {
    const { stored, tenant, admission } = start()
    expect(admission.wouldWait(tenant, 1, 1)).toBeNull()

    stored.bytes = 5_000

    expect(() => admission.reserve(tenant, 1, 0)).toThrow(
      expect.objectContaining({ code: 'queue_full', retryAfterS: 60 }),
    )
    expect(admission.wouldWait(tenant, 1, 1)).toBe(60)
  })

  it('may have any number where its bound is 0', () => {
    const { stored, tenants, tenant, admission } = start()
    stored.bytes = 5_000

    tenants.apply('acme', { maxStoredBytes: 0 })
    admission.reserve(tenant, 1, 0)()
    expect(tenants.limits(tenant).maxStoredBytes).toBeNull()
    tenants.apply('acme', { maxStoredBytes: 5_000 })

    expect(() => admission.reserve(tenant, 1, 0)).toThrow(StorageFullError)
  })

  it('does not hold up another', () => {
    const { stored, tenants, admission } = start()
    stored.bytes = 5_000

    expect(() => admission.reserve(tenants.get('other'), 1, 0)()).not.toThrow()
  })

  it('does not wait for room that no start of a job makes', async () => {
    const { stored, tenant, admission, hold } = start()
    stored.bytes = 1_000

    await expect(admission.enter(tenant, { count: 1, headerChars: 1, hold })).rejects.toThrow(StorageFullError)
  })

  it('is told so when it waited for the queue meanwhile', async () => {
    const { stored, tenant, admission, hold, fill } = start()
    const leave = fill()
    const held = admission.enter(tenant, { count: 1, headerChars: 1, hold })
    await turn()

    stored.bytes = 1_000
    leave(1)

    await expect(held).rejects.toThrow(StorageFullError)
    expect(tenant.reserved).toBe(0)
  })

  it('is told first what no time would mend', async () => {
    const { stored, tenant, admission, fill } = start()
    stored.bytes = 0
    fill()
    expect(() => admission.reserve(tenant, 1, 0)).toThrow(QueueFullError)

    stored.bytes = 1_000

    expect(() => admission.reserve(tenant, 11, 0)).toThrow(BatchTooLargeError)
  })
})

describe('a submission that waits for room', () => {
  it.each([
    ['maxBatchJobs', 'the limit of jobs in a batch is 2'],
    ['maxQueuedJobs', "the tenant's limit of queued jobs is 2"],
  ])('is refused for good when %s is lowered below it, before anything leaves the queue', async (limit, words) => {
    const { tenants, tenant, admission, hold, fill } = start()
    fill()
    const held = admission.enter(tenant, { count: 3, headerChars: 1, hold })
    await turn()

    tenants.apply('acme', { [limit]: 2 })
    admission.serve(tenant)

    await expect(held).rejects.toThrow(words)
    expect(tenant.reserved).toBe(0)
  })

  it('enters when maxBatchJobs is lowered to what it has', async () => {
    const { tenants, tenant, admission, hold, fill } = start()
    const leave = fill()
    const held = admission.enter(tenant, { count: 3, headerChars: 1, hold })
    await turn()

    tenants.apply('acme', { maxBatchJobs: 3 })
    leave(3)

    ;(await held)()
  })

  it('is no longer in the way of a smaller one once it is refused', async () => {
    const { tenants, tenant, admission, hold, fill } = start()
    const leave = fill()
    const [large, small] = [
      admission.enter(tenant, { count: 3, headerChars: 1, hold }),
      admission.enter(tenant, { count: 1, headerChars: 1, hold }),
    ]
    large.catch(() => undefined)
    await turn()
    leave(1)

    tenants.apply('acme', { maxBatchJobs: 2 })
    admission.serve(tenant)

    await expect(large).rejects.toThrow(BatchTooLargeError)
    ;(await small)()
  })
})
