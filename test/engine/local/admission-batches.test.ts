import { describe, expect, it } from 'vitest'
import { Admission, LIVE_HEADER_CHARS, type Release } from '../../../src/engine/local/admission.ts'
import { Tenants } from '../../../src/engine/local/tenants.ts'
import { BatchesFullError, QueueFullError } from '../../../src/errors.ts'
import { FakeClock, turn } from '../../support/fake-clock.ts'

/** An admission for tenant `acme`, which may have two batches. */
function start() {
  const clock = new FakeClock()
  const defaults = { maxConcurrency: 1, maxQueuedJobs: 10, maxBatchJobs: 10, maxLiveBatches: 2, weight: 1 }
  const tenants = new Tenants({ defaults })
  const tenant = tenants.get('acme')
  const admission = new Admission({ tenants, clock, canWrite: () => true })
  const enter = (count = 0, headerChars = 10, timeoutMs?: number) =>
    admission.enter(tenant, { count, headerChars, hold: timeoutMs === undefined ? undefined : { timeoutMs, bytes: 1 } })
  /** The batch is on disk, and runs. */
  const written = (release: Release, headerChars = 10) => {
    tenant.live.batches++
    tenant.live.headerChars += headerChars
    release()
  }
  /** A batch has drained. */
  const drained = async (headerChars = 10) => {
    tenant.live.batches--
    tenant.live.headerChars -= headerChars
    admission.serve(tenant)
    await turn()
  }
  return { clock, tenants, tenant, admission, enter, written, drained }
}

describe('the places of batches', () => {
  it('are so many, those that are being written included, whether they have jobs or not', async () => {
    const { tenant, enter, written } = start()
    const first = await enter(0)
    await enter(3)

    await expect(enter(0)).rejects.toThrow(BatchesFullError)
    written(first)
    await expect(enter(0)).rejects.toThrow(
      'The tenant has 2 batches that have not drained, and may have 2. Close, end or cancel some: there is room when they have drained. Nothing was accepted.',
    )

    expect([tenant.live, tenant.promised, tenant.reserved]).toEqual([
      { batches: 1, headerChars: 10 },
      { batches: 1, headerChars: 10 },
      3,
    ])
  })

  it('are given back, once, when a batch could not be written', async () => {
    const { tenant, enter } = start()
    const release = await enter(2)

    release()
    release()

    expect([tenant.promised, tenant.reserved]).toEqual([{ batches: 0, headerChars: 0 }, 0])
  })

  it('have headers of so many characters together, to the last one', async () => {
    const { enter, written, drained } = start()
    written(await enter(0, LIVE_HEADER_CHARS - 5), LIVE_HEADER_CHARS - 5)

    await expect(enter(0, 6)).rejects.toThrow(
      /^The names, labels and contexts .* more than the 16777216 characters of JSON .* Nothing was accepted\.$/,
    )
    const last = await enter(0, 5)
    last()
    await drained(LIVE_HEADER_CHARS - 5)

    ;(await enter(0, LIVE_HEADER_CHARS))()
  })

  it('have the headers of those that are being written among these characters, until they could not be written', async () => {
    const { enter } = start()
    const failed = await enter(0, LIVE_HEADER_CHARS - 5)

    await expect(enter(0, 6)).rejects.toThrow(BatchesFullError)
    failed()

    ;(await enter(0, LIVE_HEADER_CHARS))()
  })

  it('hold a tenant of 10,000 open batches with the largest headers to memory for 16 Mi characters', async () => {
    const { tenants, tenant, enter, written } = start()
    tenants.apply('acme', { maxLiveBatches: 10_000 })
    const header = 45_000
    let accepted = 0

    for (let i = 0; i < 10_000; i++) {
      const release = await enter(0, header).catch(() => null)
      if (release === null) continue
      written(release, header)
      accepted++
    }

    expect(accepted).toBe(Math.floor(LIVE_HEADER_CHARS / header))
    expect(tenant.live.headerChars).toBeLessThanOrEqual(LIVE_HEADER_CHARS)
  })

  it('are not asked for by an append', async () => {
    const { tenant, admission, enter, written } = start()
    for (const _ of [1, 2]) written(await enter(0))

    admission.reserve(tenant, 1, 0)()

    await expect(enter(0)).rejects.toMatchObject({ code: 'queue_full', retryAfterS: 5 })
    expect(admission.wouldWait(tenant, 1, 10)).toBe(5)
  })

  it('are waited for, in line, and given when a batch drains', async () => {
    const { tenant, enter, written, drained } = start()
    for (const _ of [1, 2]) written(await enter(0))
    const came: string[] = []
    void enter(1, 10, 60_000).then(() => came.push('first'))
    void enter(1, 10, 60_000).then(() => came.push('second'))
    await turn()
    expect(came).toEqual([])

    await drained()
    expect(came).toEqual(['first'])
    await drained()

    expect([came, tenant.promised.batches]).toEqual([['first', 'second'], 2])
  })

  it('are refused when none came in time, in words of their own, and to whoever stood behind, as a full queue', async () => {
    const { clock, tenants, tenant, admission, enter, written } = start()
    for (const _ of [1, 2]) written(await enter(0))
    const late = enter(1, 10, 1_000).catch((error: Error) => error)
    await turn()

    clock.advance(1_000)
    expect(await late).toBeInstanceOf(BatchesFullError)
    const ahead = enter(9, 10, 60_000)
    const behind = enter(1, 10, 1_000).catch((error: Error) => error)
    tenant.queued = 2
    tenants.apply('acme', { maxLiveBatches: 3 })
    await turn()
    clock.advance(1_000)

    expect(await behind).toBeInstanceOf(QueueFullError)
    tenant.queued = 0
    admission.serve(tenant)
    ;(await ahead)()
  })

  it('are more at once when the operator says so, and a lowered bound refuses the next one only', async () => {
    const { tenants, tenant, enter, written } = start()
    for (const _ of [1, 2]) written(await enter(0))

    tenants.apply('acme', { maxLiveBatches: 3 })
    written(await enter(0))
    tenants.apply('acme', { maxLiveBatches: 1 })

    await expect(enter(0)).rejects.toThrow('has 3 batches that have not drained, and may have 1')
    expect(tenants.view(tenant)).toMatchObject({ limits: { maxLiveBatches: 1 }, usage: { batches: 3 } })
  })
})
