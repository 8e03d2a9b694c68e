import { describe, expect, it } from 'vitest'
import { forever, shortLog, sleepFor, startService } from '../support/service.ts'

describe('the log of a batch', () => {
  it('has every step of a job that succeeds', async () => {
    await using service = await startService()

    const { events, jobs } = await service.me.run({ jobs: [sleepFor(0, { result: { a: 1 } })] })

    expect(shortLog(events)).toEqual([
      'batch.accepted',
      'job.queued 0',
      'job.started 0',
      'job.succeeded 0',
      'batch.settled',
      'batch.drained',
    ])
    expect(events[2]).toMatchObject({ seq: 3, attempt: 1, jobId: jobs[0]?.id })
    expect(events[3]?.job).toEqual(jobs[0])
    expect(events[4]).toMatchObject({ state: 'succeeded', error: null })
    expect(jobs[0]).toMatchObject({ name: 'job-0', cause: null, reason: null, error: null, result: { a: 1 } })
  })

  it('aborts in one step: the decision, then every live job in input order, then the ends', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({
      policy: 'task_group',
      maxConcurrency: 3,
      jobs: [service.fetch('/hang'), service.fetch('/half?status=500'), service.fetch('/hang'), forever(), forever()],
    })
    await service.origin.whenHit('/hang', 2)
    await service.origin.whenHit('/half')

    service.origin.release('/half')
    const { events } = await service.me.drained(id)

    const log = shortLog(events)
    const abort = log.indexOf('batch.aborting sibling_failed')
    expect(log.slice(abort - 1, abort + 5)).toEqual([
      'job.failed 1',
      'batch.aborting sibling_failed',
      'job.cancelling 0 sibling_failed',
      'job.cancelling 2 sibling_failed',
      'job.cancelled 3 sibling_failed',
      'job.cancelled 4 sibling_failed',
    ])
    expect(log.slice(abort + 5, -2).toSorted()).toEqual([
      'job.cancelled 0 sibling_failed',
      'job.cancelled 2 sibling_failed',
    ])
    expect(log.slice(-2)).toEqual(['batch.settled', 'batch.drained'])
    expect(events[abort]?.decidedBy).toEqual({ jobId: `${id}-1`, index: 1 })
  })

  it('settles a failed gather at once and drains it later', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({
      policy: 'gather',
      jobs: [service.fetch('/hold/a'), service.fetch('/fail')],
    })
    await service.me.seen(id, 'batch.settled')

    service.origin.release('/hold/a')
    const { events } = await service.me.drained(id)

    expect(shortLog(events).slice(-4)).toEqual(['job.failed 1', 'batch.settled', 'job.succeeded 0', 'batch.drained'])
  })
})

describe('a queued job', () => {
  it('that is cancelled ends without having started', async () => {
    await using service = await startService({ tenants: { one: { maxConcurrency: 1 } } })
    const one = service.as('one')
    const { id } = await one.submit({ jobs: [forever(), service.fetch('/ok')] })

    await one.cancelJob(`${id}-1`, { reason: 'changed my mind' })
    const { events, jobs } = await one.ended(id)

    expect(shortLog(events).filter((line) => line.includes(' 1'))).toEqual(['job.queued 1', 'job.cancelled 1 user'])
    expect(jobs[1]).toMatchObject({
      state: 'cancelled',
      attempts: 0,
      startedAt: null,
      cause: 'user',
      reason: 'changed my mind',
      cancelRequests: 1,
      result: null,
      error: { type: 'CancelledError', code: 'cancelled' },
    })
    expect(service.origin.hits).toEqual([])
  })

  it.each([
    ['deadlineMs', 'deadline'],
    ['queueTimeoutMs', 'queue_timeout'],
  ])('whose %s is over ends timed out without having started', async (field, cause) => {
    await using service = await startService({ tenants: { one: { maxConcurrency: 1 } } })
    const one = service.as('one')
    const { id } = await one.submit({ jobs: [forever(), service.fetch('/ok', { [field]: 20 })] })

    await one.seen(id, 'job.timed_out', 1)
    const { events, jobs } = await one.ended(id)

    expect(shortLog(events).filter((line) => line.includes(' 1'))).toEqual(['job.queued 1', `job.timed_out 1 ${cause}`])
    expect(jobs[1]).toMatchObject({ startedAt: null, attempts: 0, cause, error: { type: 'TimeoutError', code: cause } })
    expect(service.origin.hits).toEqual([])
  })

  it('of an aborted batch ends cancelled without having started', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ maxConcurrency: 1, jobs: [forever(), service.fetch('/ok')] })
    await service.me.seen(id, 'job.started', 0)

    await service.me.cancel(id, { reason: 'enough' })
    const { events, jobs } = await service.me.drained(id)

    expect(shortLog(events).slice(4)).toEqual([
      'batch.aborting batch_cancel',
      'job.cancelling 0 batch_cancel',
      'job.cancelled 1 batch_cancel',
      'job.cancelled 0 batch_cancel',
      'batch.settled',
      'batch.drained',
    ])
    expect(jobs.map(({ reason, startedAt }) => [reason, startedAt !== null])).toEqual([
      ['enough', true],
      ['enough', false],
    ])
  })
})

describe('a running job', () => {
  it('that is cancelled goes through cancelling, and its socket closes', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [service.fetch('/hang')] })
    await service.origin.whenHit('/hang')

    const answer = await service.me.cancelJob(`${id}-0`, { reason: 'why not' })
    const { events, jobs, batch } = await service.me.drained(id)

    await service.origin.whenIdle()
    expect(answer).toEqual({ status: 202, cancelled: true })
    expect(shortLog(events)).toEqual([
      'batch.accepted',
      'job.queued 0',
      'job.started 0',
      'job.cancelling 0 user',
      'job.cancelled 0 user',
      'batch.settled',
      'batch.drained',
    ])
    expect(jobs[0]).toMatchObject({
      state: 'cancelled',
      cause: 'user',
      reason: 'why not',
      error: { message: 'why not' },
    })
    expect(batch.state).toBe('succeeded')
  })

  it('whose time is over goes through cancelling, and its socket closes', async () => {
    await using service = await startService()

    const { events, jobs } = await service.me.run({ jobs: [service.fetch('/hang', { timeoutMs: 50 })] })

    await service.origin.whenIdle()
    expect(shortLog(events).slice(3, 5)).toEqual(['job.cancelling 0 timeout', 'job.timed_out 0 timeout'])
    expect(jobs[0]).toMatchObject({ cause: 'timeout', reason: null, error: { type: 'TimeoutError', code: 'timeout' } })
  })

  it('that fails keeps its response beside the error', async () => {
    await using service = await startService()

    const { events, jobs } = await service.me.run({ jobs: [service.fetch('/ok?status=404&body=gone')] })

    expect(shortLog(events).slice(2, 4)).toEqual(['job.started 0', 'job.failed 0'])
    expect(jobs[0]).toMatchObject({
      state: 'failed',
      cause: null,
      error: { type: 'HTTPStatusError', code: 'http_status', status: 404 },
      result: { status: 404, body: 'gone' },
    })
  })

  it('that succeeds shows where its time went', async () => {
    await using service = await startService()

    const { jobs } = await service.me.run({ jobs: [service.fetch('/ok?ms=20')] })

    const { timing } = jobs[0]?.result ?? {}
    expect(timing.totalMs).toBeGreaterThanOrEqual(timing.firstByteMs)
    expect(timing.firstByteMs).toBeGreaterThanOrEqual(19)
    expect(jobs[0]?.result).toMatchObject({ status: 200, body: 'ok', bodyEncoding: 'utf8', bytes: 2, redirects: [] })
  })
})
