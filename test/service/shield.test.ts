import { describe, expect, it } from 'vitest'
import { forever, sleepFor, startService } from '../support/service.ts'

describe('a shielded job', () => {
  it('is deaf to the abort of its batch, which settles without it and drains after it', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({
      policy: 'task_group',
      jobs: [service.fetch('/hold/a', { shield: true }), service.fetch('/half?status=500'), forever()],
    })
    await service.origin.whenHit('/hold/a')
    service.origin.release('/half')
    await service.me.seen(id, 'batch.settled')
    const settled = await service.me.batch(id)

    service.origin.release('/hold/a')
    const { batch, jobs } = await service.me.drained(id)

    expect(settled).toMatchObject({ state: 'failed', drainedAt: null, counts: { running: 1, cancelled: 1, failed: 1 } })
    expect(jobs.map(({ state }) => state)).toEqual(['succeeded', 'failed', 'cancelled'])
    expect([batch.settledAt, batch.error]).toEqual([settled.settledAt, settled.error])
  })

  it('is deaf to the cancel of its batch', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [service.fetch('/hold/a', { shield: true })] })
    await service.origin.whenHit('/hold/a')

    const { cancelled } = await service.me.cancel(id)
    service.origin.release('/hold/a')
    const { batch, jobs } = await service.me.drained(id)

    expect([cancelled, batch.state, jobs[0]?.state, jobs[0]?.result.body]).toEqual([
      true,
      'cancelled',
      'succeeded',
      'ok',
    ])
  })

  it('is deaf to the timeout of its batch', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({
      timeoutMs: 20,
      jobs: [service.fetch('/hold/a', { shield: true }), forever()],
    })
    await service.me.seen(id, 'batch.settled')

    service.origin.release('/hold/a')
    const { batch, jobs } = await service.me.drained(id)

    expect([batch.state, jobs[0]?.state, jobs[1]?.cause]).toEqual(['timed_out', 'succeeded', 'batch_timeout'])
  })

  it('that is queued starts all the same after the abort', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({
      maxConcurrency: 1,
      jobs: [service.fetch('/hang'), sleepFor(0, { shield: true, result: 'ran' }), sleepFor(0)],
    })
    await service.origin.whenHit('/hang')

    await service.me.cancel(id)
    const { jobs, events } = await service.me.drained(id)

    expect(jobs.map(({ state, result }) => [state, result])).toEqual([
      ['cancelled', null],
      ['succeeded', 'ran'],
      ['cancelled', null],
    ])
    const types = events.map(({ type, index }) => `${type} ${index ?? ''}`)
    expect(types.indexOf('job.started 1')).toBeGreaterThan(types.indexOf('batch.aborting '))
  })

  it('can still be cancelled by itself, and its own clocks hold', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({
      jobs: [forever({ shield: true }), forever({ shield: true, timeoutMs: 40 }), forever()],
    })
    await service.me.cancel(id)
    await service.me.seen(id, 'batch.settled')

    const { cancelled } = await service.me.cancelJob(`${id}-0`, { reason: 'by itself' })
    const { jobs, batch } = await service.me.drained(id)

    expect([cancelled, batch.state]).toEqual([true, 'cancelled'])
    expect(jobs.map(({ state, cause, reason }) => [state, cause, reason])).toEqual([
      ['cancelled', 'user', 'by itself'],
      ['timed_out', 'timeout', null],
      ['cancelled', 'batch_cancel', null],
    ])
  })

  it('is waited for like any other when nothing aborts', async () => {
    await using service = await startService()

    const { batch, events } = await service.me.run({ jobs: [sleepFor(20, { shield: true }), sleepFor(0)] })

    expect(batch.state).toBe('succeeded')
    expect(events.slice(-3).map(({ type }) => type)).toEqual(['job.succeeded', 'batch.settled', 'batch.drained'])
  })

  it('that ends after the settling changes nothing but drainedAt', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({
      policy: 'task_group',
      jobs: [service.fetch('/half?status=500', { shield: true }), service.fetch('/fail')],
    })
    await service.me.seen(id, 'batch.settled')
    const settled = await service.me.batch(id)

    service.origin.release('/half')
    const { batch, jobs } = await service.me.drained(id)

    expect(jobs.map(({ state }) => state)).toEqual(['failed', 'failed'])
    expect(batch.error?.errors?.map(({ index }) => index)).toEqual([1])
    expect({ ...batch, seq: 0, drainedAt: null, counts: null }).toEqual({ ...settled, seq: 0, counts: null })
  })
})
