import { describe, expect, it } from 'vitest'
import { forever, shortLog, sleepFor, startService, type TestService } from '../support/service.ts'
import { KINDS } from './kinds.ts'

type End = 'value' | 'error' | 'abort'

/** A job that is deaf to its abort until `origin.release('/hold/<name>')`, and then ends so. */
const stubborn = (service: TestService, name: string, end: End, more: object = {}) => ({
  kind: 'stubborn',
  url: service.origin.url(`/hold/${name}`),
  end,
  ...more,
})

describe('a job that is cancelling', () => {
  it.each([
    ['value', 'succeeded', null, null],
    ['error', 'failed', null, 'kind_error'],
    ['abort', 'cancelled', 'user', 'cancelled'],
  ] as const)('and then ends with %s is %s', async (end, state, cause, code) => {
    await using service = await startService({ kinds: KINDS })
    const { id } = await service.me.submit({ jobs: [stubborn(service, 'a', end)] })
    await service.origin.whenHit('/hold/a')

    const { status } = await service.me.cancelJob(`${id}-0`)
    const unwinding = await service.me.job(`${id}-0`)
    service.origin.release('/hold/a')
    const { jobs, events } = await service.me.drained(id)

    expect([status, unwinding.state, unwinding.finishedAt]).toEqual([202, 'cancelling', null])
    expect(jobs[0]).toMatchObject({ state, cause, result: end === 'value' ? 'a value all the same' : null })
    expect([jobs[0]?.error?.code ?? null, jobs[0]?.error?.type ?? null]).toEqual([
      code,
      { value: null, error: 'RangeError', abort: 'CancelledError' }[end],
    ])
    expect(events.filter(({ type }) => type === 'job.cancelling').length).toBe(1)
  })

  it.each([
    ['its own timeout first', true],
    ['the cancel first', false],
  ])(
    'for its own timeout and for a caller, %s, is cancelled, and a further cause has no event',
    async (_title, timeoutFirst) => {
      await using service = await startService({ kinds: KINDS })
      const { id } = await service.me.submit({
        jobs: [stubborn(service, 'a', 'abort', timeoutFirst ? { timeoutMs: 30 } : { deadlineMs: 600 }), sleepFor(650)],
      })
      await service.origin.whenHit('/hold/a')
      if (timeoutFirst) await service.me.seen(id, 'job.cancelling', 0)

      const { cancelled } = await service.me.cancelJob(`${id}-0`, { reason: 'mine' })
      if (!timeoutFirst) await service.me.seen(id, 'job.succeeded', 1)
      service.origin.release('/hold/a')
      const { jobs, events } = await service.me.drained(id)

      expect(cancelled).toBe(true)
      expect(jobs[0]).toMatchObject({ state: 'cancelled', cause: 'user', reason: 'mine', cancelRequests: 1 })
      expect(shortLog(events).filter((line) => line.includes('cancelling 0'))).toEqual([
        timeoutFirst ? 'job.cancelling 0 timeout' : 'job.cancelling 0 user',
      ])
    },
  )

  it('for its own timeout only is timed out, or succeeds with a value all the same', async () => {
    await using service = await startService({ kinds: KINDS })
    const { id } = await service.me.submit({
      jobs: [stubborn(service, 'a', 'abort'), stubborn(service, 'a', 'value'), stubborn(service, 'a', 'error')],
    })
    // Wherever they run, all of them do before their time is over.
    await service.origin.whenHit('/hold/a', 3)
    for (const index of [0, 1, 2]) {
      await service.me.http.patch(`/v1/jobs/${id}-${index}`).send({ timeoutMs: 1 }).expect(200)
      await service.me.seen(id, 'job.cancelling', index)
    }

    service.origin.release('/hold/a')
    const { jobs } = await service.me.drained(id)

    expect(jobs.map(({ state }) => state)).toEqual(['timed_out', 'succeeded', 'failed'])
  })

  it('is counted each time it is cancelled, and keeps the first reason', async () => {
    await using service = await startService({ kinds: KINDS })
    const { id } = await service.me.submit({ jobs: [stubborn(service, 'a', 'abort')] })
    await service.origin.whenHit('/hold/a')

    const answers = []
    for (const reason of ['first', 'second', 'third']) answers.push(await service.me.cancelJob(`${id}-0`, { reason }))
    const unwinding = await service.me.job(`${id}-0`)
    service.origin.release('/hold/a')
    const { jobs } = await service.me.drained(id)

    expect(answers).toEqual(Array(3).fill({ status: 202, cancelled: true }))
    expect(unwinding).toMatchObject({ state: 'cancelling', cancelRequests: 3, reason: 'first' })
    expect(jobs[0]).toMatchObject({ state: 'cancelled', cancelRequests: 3, reason: 'first' })
  })

  it('is not rescheduled any more: the expiry was first', async () => {
    await using service = await startService({ kinds: KINDS })
    const { id } = await service.me.submit({ jobs: [stubborn(service, 'a', 'abort', { timeoutMs: 10 })] })
    await service.me.seen(id, 'job.cancelling', 0)

    const { status, body } = await service.me.http.patch(`/v1/jobs/${id}-0`).send({ timeoutMs: 60_000 })
    service.origin.release('/hold/a')

    expect([status, body.code]).toEqual([409, 'job_finished'])
    expect((await service.me.drained(id)).jobs[0]?.state).toBe('timed_out')
  })

  it('holds its slot until its work has stopped', async () => {
    await using service = await startService({ kinds: KINDS, tenants: { one: { maxConcurrency: 1 } } })
    const one = service.as('one')
    const { id } = await one.submit({ jobs: [stubborn(service, 'a', 'abort'), sleepFor(0)] })
    await service.origin.whenHit('/hold/a')

    await one.cancelJob(`${id}-0`)
    await service.me.run({ jobs: [sleepFor(30)] })
    const held = await one.http.get('/v1/tenant')
    const waiting = await one.job(`${id}-1`)
    service.origin.release('/hold/a')
    const { events } = await one.drained(id)

    expect(held.body.usage).toMatchObject({ queued: 1, running: 1, cancelling: 1 })
    expect([waiting.state, waiting.waitingOn]).toEqual(['queued', 'tenant-cap'])
    const log = shortLog(events)
    expect(log.indexOf('job.started 1')).toBeGreaterThan(log.indexOf('job.cancelled 0 user'))
  })
})

describe('a batch that aborts', () => {
  it('refuses appends, takes a further cancel and keeps the first reason', async () => {
    await using service = await startService({ kinds: KINDS })
    const { id } = await service.me.submit({ open: true, jobs: [stubborn(service, 'a', 'abort')] })
    await service.origin.whenHit('/hold/a')

    const first = await service.me.cancel(id, { reason: 'first' })
    const second = await service.me.cancel(id, { reason: 'second' })
    const aborting = await service.me.batch(id)
    const append = await service.me.http.post(`/v1/batches/${id}/jobs`).send({ jobs: [sleepFor(0)] })
    const closed = await service.me.http.post(`/v1/batches/${id}/close`)
    service.origin.release('/hold/a')
    const { batch, jobs } = await service.me.drained(id)
    const third = await service.me.cancel(id, { reason: 'third' })

    expect([first, second, third]).toEqual([
      { status: 202, cancelled: true },
      { status: 202, cancelled: true },
      { status: 200, cancelled: false },
    ])
    expect(aborting).toMatchObject({ state: 'aborting', open: false, settledAt: null, cancel: { reason: 'first' } })
    expect([append.status, append.body.code]).toEqual([409, 'batch_shutting_down'])
    expect([closed.status, closed.body.batch.state]).toEqual([200, 'aborting'])
    expect(batch).toMatchObject({ state: 'cancelled', cancel: { reason: 'first' } })
    expect(jobs[0]).toMatchObject({ reason: 'first', cause: 'batch_cancel' })
  })

  it('keeps a result that still arrives, and an error that still arrives joins the group', async () => {
    await using service = await startService({ kinds: KINDS })
    const { id } = await service.me.submit({
      policy: 'task_group',
      jobs: [
        stubborn(service, 'value', 'value'),
        stubborn(service, 'error', 'error'),
        service.fetch('/half?status=500'),
        stubborn(service, 'abort', 'abort'),
      ],
    })
    for (const name of ['value', 'error', 'abort']) await service.origin.whenHit(`/hold/${name}`)
    service.origin.release('/half')
    await service.me.seen(id, 'batch.aborting')

    for (const [i, name] of ['abort', 'value', 'error'].entries()) {
      service.origin.release(`/hold/${name}`)
      await service.me.seen(id, ['job.cancelled', 'job.succeeded', 'job.failed'][i] ?? '', [3, 0, 1][i])
    }
    const { batch, jobs } = await service.me.drained(id)

    expect(jobs.map(({ state }) => state)).toEqual(['succeeded', 'failed', 'failed', 'cancelled'])
    expect(batch.error?.errors?.map(({ index, code }) => [index, code])).toEqual([
      [2, 'http_status'],
      [1, 'kind_error'],
    ])
  })

  it('for a cancel or a timeout is failed when a real error still arrives', async () => {
    await using service = await startService({ kinds: KINDS })
    for (const how of ['cancel', 'timeout']) {
      const { id } = await service.me.submit({
        policy: 'task_group',
        ...(how === 'timeout' && { timeoutMs: 150 }),
        jobs: [stubborn(service, how, 'error')],
      })
      await service.origin.whenHit(`/hold/${how}`)
      if (how === 'cancel') await service.me.cancel(id)
      await service.me.seen(id, 'batch.aborting')

      service.origin.release(`/hold/${how}`)
      const { batch } = await service.me.drained(id)

      expect([how, batch.state, batch.error?.errors?.length]).toEqual([how, 'failed', 1])
    }
  })

  it('for its timeout is timed out though every job then succeeds', async () => {
    await using service = await startService({ kinds: KINDS })
    for (const policy of ['all_settled', 'gather', 'task_group']) {
      const { id } = await service.me.submit({ policy, timeoutMs: 150, jobs: [stubborn(service, policy, 'value')] })
      await service.me.seen(id, 'batch.aborting')

      service.origin.release(`/hold/${policy}`)
      const { batch, jobs } = await service.me.drained(id)

      expect([policy, batch.state, jobs[0]?.state]).toEqual([policy, 'timed_out', 'succeeded'])
    }
  })

  it.each([
    ['the timeout first', true],
    ['the cancel first', false],
  ])('for its timeout and for a cancel, %s, is cancelled', async (_title, timeoutFirst) => {
    await using service = await startService({ kinds: KINDS })
    const { id } = await service.me.submit({ timeoutMs: 200, jobs: [stubborn(service, 'a', 'abort')] })
    await service.origin.whenHit('/hold/a')
    if (timeoutFirst) await service.me.seen(id, 'batch.aborting')

    const { cancelled } = await service.me.cancel(id, { reason: 'enough' })
    if (!timeoutFirst) await service.me.run({ jobs: [sleepFor(220)] })
    service.origin.release('/hold/a')
    const { batch, events } = await service.me.drained(id)

    expect([cancelled, batch.state, batch.cancel?.reason]).toEqual([true, 'cancelled', 'enough'])
    expect(shortLog(events).filter((line) => line.startsWith('batch.aborting'))).toEqual([
      timeoutFirst ? 'batch.aborting batch_timeout' : 'batch.aborting batch_cancel',
    ])
  })

  it('for a stop succeeds, and taken again while it unwinds is stopped all the same', async () => {
    await using service = await startService({ kinds: KINDS })
    const { id } = await service.me.submit({ jobs: [stubborn(service, 'a', 'abort'), forever()] })
    await service.origin.whenHit('/hold/a')

    const first = await service.me.http.post(`/v1/batches/${id}/stop`)
    const second = await service.me.http.post(`/v1/batches/${id}/stop`)
    service.origin.release('/hold/a')
    const { batch } = await service.me.drained(id)

    expect([first.status, second.status, batch.state]).toEqual([202, 202, 'succeeded'])
  })

  it('for a decision settles only after its last unshielded job', async () => {
    await using service = await startService({ kinds: KINDS })
    for (const policy of ['any', 'race']) {
      const { id } = await service.me.submit({
        policy,
        jobs: [stubborn(service, policy, 'value'), service.fetch('/hold/b')],
      })
      await service.origin.whenHit(`/hold/${policy}`)
      service.origin.release('/hold/b')
      await service.me.seen(id, 'batch.aborting')
      const aborting = await service.me.batch(id)

      service.origin.release(`/hold/${policy}`)
      const { batch, jobs } = await service.me.drained(id)

      expect([policy, aborting.state, aborting.settledAt]).toEqual([policy, 'aborting', null])
      expect(batch).toMatchObject({ state: 'succeeded', winner: { index: 1 } })
      expect(jobs.map(({ state }) => state)).toEqual(['succeeded', 'succeeded'])
    }
  })

  it('is a gather that was cancelled in time: it settles when its jobs have ended', async () => {
    await using service = await startService({ kinds: KINDS })
    const { id } = await service.me.submit({ policy: 'gather', jobs: [stubborn(service, 'a', 'error'), forever()] })
    await service.origin.whenHit('/hold/a')
    await service.me.cancel(id)
    await service.me.seen(id, 'job.cancelled', 1)
    const aborting = await service.me.batch(id)

    service.origin.release('/hold/a')
    const { batch } = await service.me.drained(id)

    expect([aborting.state, aborting.settledAt]).toEqual(['aborting', null])
    expect([batch.state, batch.error?.index]).toEqual(['failed', 0])
  })
})
