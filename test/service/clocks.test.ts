import { describe, expect, it } from 'vitest'
import { forever, sleepFor, startService } from '../support/service.ts'
import type { WireJob } from './check-log.ts'

const ms = (from: string | null | undefined, to: string | null | undefined) =>
  Date.parse(to ?? '') - Date.parse(from ?? '')
const ran = (job: WireJob | undefined) => ms(job?.startedAt, job?.finishedAt)
const lived = (job: WireJob | undefined) => ms(job?.acceptedAt, job?.finishedAt)
const waited = (job: WireJob | undefined) => ms(job?.acceptedAt, job?.startedAt)

describe('timeoutMs', () => {
  it('counts from the start of the attempt, not from acceptance', async () => {
    await using service = await startService()

    const { jobs } = await service.me.run({
      maxConcurrency: 1,
      jobs: [sleepFor(120), service.fetch('/hang', { timeoutMs: 60 })],
    })

    expect(jobs[1]).toMatchObject({ state: 'timed_out', cause: 'timeout', attempts: 1 })
    expect(waited(jobs[1])).toBeGreaterThanOrEqual(120)
    expect(ran(jobs[1])).toBeGreaterThanOrEqual(60)
  })

  it('covers the body, however it drips', async () => {
    await using service = await startService()

    const { jobs } = await service.me.run({
      jobs: [
        service.fetch('/drip?chunks=100000&everyMs=5', { timeoutMs: 80 }),
        service.fetch('/half', { timeoutMs: 80 }),
        service.fetch('/hints?everyMs=5', { timeoutMs: 80 }),
      ],
    })

    await service.origin.whenIdle()
    expect(jobs.map(({ state, cause, result }) => [state, cause, result])).toEqual(
      Array(3).fill(['timed_out', 'timeout', null]),
    )
    expect(jobs.every((job) => ran(job) >= 80)).toBe(true)
  })

  it('of 0 never starts the job: no byte reaches the origin', async () => {
    await using service = await startService()

    const { jobs } = await service.me.run({
      jobs: [service.fetch('/ok', { timeoutMs: 0 }), sleepFor(0, { timeoutMs: 0 })],
    })

    expect(jobs.map(({ state, cause, startedAt, attempts }) => [state, cause, startedAt, attempts])).toEqual(
      Array(2).fill(['timed_out', 'timeout', null, 0]),
    )
    expect(service.origin.sockets).toEqual([])
  })

  it('of null is none, also over a default', async () => {
    await using service = await startService()

    const { jobs } = await service.me.run({
      defaults: { timeoutMs: 0 },
      jobs: [sleepFor(5, { timeoutMs: null }), sleepFor(0)],
    })

    expect(jobs.map(({ state }) => state)).toEqual(['succeeded', 'timed_out'])
  })
})

describe('deadlineMs', () => {
  it('counts from acceptance, for a queued job and for a running one', async () => {
    await using service = await startService()

    const { jobs } = await service.me.run({
      maxConcurrency: 1,
      jobs: [service.fetch('/hang', { deadlineMs: 80 }), forever({ deadlineMs: 40 })],
    })

    expect(jobs.map(({ state, cause, startedAt }) => [state, cause, startedAt !== null])).toEqual([
      ['timed_out', 'deadline', true],
      ['timed_out', 'deadline', false],
    ])
    expect([lived(jobs[0]) >= 80, lived(jobs[1]) >= 40]).toEqual([true, true])
    expect(jobs[0]?.error).toMatchObject({ type: 'TimeoutError', code: 'deadline' })
  })

  it('of 0 never starts the job', async () => {
    await using service = await startService()

    const { jobs } = await service.me.run({ jobs: [service.fetch('/ok', { deadlineMs: 0 })] })

    expect(jobs[0]).toMatchObject({ state: 'timed_out', cause: 'deadline', startedAt: null })
    expect(service.origin.sockets).toEqual([])
  })
})

describe('queueTimeoutMs', () => {
  it('ends a job that waits too long, and leaves one alone that has started', async () => {
    await using service = await startService()

    const { jobs } = await service.me.run({
      maxConcurrency: 1,
      defaults: { queueTimeoutMs: 400 },
      jobs: [sleepFor(450, { result: 'started in time' }), service.fetch('/ok')],
    })

    expect(jobs[0]).toMatchObject({ state: 'succeeded', result: 'started in time' })
    expect(jobs[1]).toMatchObject({ state: 'timed_out', cause: 'queue_timeout', startedAt: null })
    expect(lived(jobs[1])).toBeGreaterThanOrEqual(400)
    expect(service.origin.sockets).toEqual([])
  })

  it('of 0 never starts the job', async () => {
    await using service = await startService()

    const { jobs } = await service.me.run({ jobs: [sleepFor(0, { queueTimeoutMs: 0 })] })

    expect(jobs[0]).toMatchObject({ state: 'timed_out', cause: 'queue_timeout', startedAt: null })
  })
})

describe("a batch's timeoutMs", () => {
  it('counts from acceptance, and cancels what has not ended', async () => {
    await using service = await startService()

    const { batch, jobs, events } = await service.me.run({
      policy: 'task_group',
      timeoutMs: 60,
      maxConcurrency: 2,
      jobs: [sleepFor(0), service.fetch('/hang'), forever()],
    })

    await service.origin.whenIdle()
    expect(batch).toMatchObject({ state: 'timed_out', error: { type: 'TimeoutError', code: 'timeout' } })
    expect(ms(batch.acceptedAt, batch.settledAt)).toBeGreaterThanOrEqual(60)
    expect(jobs[1]).toMatchObject({ state: 'cancelled', cause: 'batch_timeout' })
    expect(events.find(({ type }) => type === 'batch.aborting')?.cause).toBe('batch_timeout')
  })

  it('of 0 starts nothing', async () => {
    await using service = await startService()

    const { batch, jobs } = await service.me.run({ timeoutMs: 0, jobs: [service.fetch('/ok')] })

    expect([batch.state, jobs[0]?.state, jobs[0]?.startedAt]).toEqual(['timed_out', 'cancelled', null])
    expect(service.origin.sockets).toEqual([])
  })

  it('ends an open batch that waits for jobs', async () => {
    await using service = await startService()

    const { batch } = await service.me.run({ timeoutMs: 20, open: true, jobs: [] })

    expect(batch.state).toBe('timed_out')
  })

  it('that is not reached changes nothing', async () => {
    await using service = await startService()

    expect((await service.me.run({ timeoutMs: 60_000, jobs: [sleepFor(1)] })).batch.state).toBe('succeeded')
  })
})

describe('delayMs', () => {
  it('starts the job no earlier, and lets others go first in the meantime', async () => {
    await using service = await startService({ tenants: { one: { maxConcurrency: 1 } } })

    const { jobs } = await service.as('one').run({ jobs: [sleepFor(0, { delayMs: 80 }), sleepFor(0), sleepFor(0)] })

    expect(waited(jobs[0])).toBeGreaterThanOrEqual(80)
    expect(jobs.toSorted((a, b) => ((a.startedAt ?? '') < (b.startedAt ?? '') ? -1 : 1)).at(-1)?.index).toBe(0)
  })

  it('is cut short by a deadline and by a cancel', async () => {
    await using service = await startService()
    const delayed = { delayMs: 3_600_000 }
    const { id } = await service.me.submit({
      jobs: [sleepFor(0, { ...delayed, deadlineMs: 10 }), sleepFor(0, delayed)],
    })

    await service.me.cancelJob(`${id}-1`)
    const { jobs } = await service.me.drained(id)

    expect(jobs.map(({ state, startedAt }) => [state, startedAt])).toEqual([
      ['timed_out', null],
      ['cancelled', null],
    ])
  })
})

describe('a sleep', () => {
  it('lasts at least its duration, and gives the result it was given', async () => {
    await using service = await startService({ tenants: { wide: { maxConcurrency: 100 } } })
    const values = [null, true, 0, -1.5, 'text', [], {}, { deep: [{ a: 1 }] }]

    const { jobs } = await service
      .as('wide')
      .run({ jobs: Array.from({ length: 64 }, (_, i) => sleepFor(i, { result: values[i % 8] })) })

    for (const [i, job] of jobs.entries()) {
      expect(ran(job)).toBeGreaterThanOrEqual(i)
      expect(job.result).toEqual(values[i % 8])
    }
  })

  it('of 2^31 ms and of 30 days neither ends at once nor resists a cancel', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [sleepFor(2 ** 31), sleepFor(2_592_000_000), sleepFor(30)] })

    await service.me.seen(id, 'job.succeeded', 2)
    const { counts } = await service.me.batch(id)
    await service.me.cancel(id)
    const { jobs } = await service.me.drained(id)

    expect(counts).toMatchObject({ running: 2, succeeded: 1 })
    expect(jobs.map(({ state }) => state)).toEqual(['cancelled', 'cancelled', 'succeeded'])
  })
})

describe('clocks of 2^31 ms', () => {
  it('do not fire at once', async () => {
    await using service = await startService()
    const long = 2 ** 31

    const { jobs, batch } = await service.me.run({
      timeoutMs: long,
      jobs: [sleepFor(20, { timeoutMs: long, deadlineMs: long, queueTimeoutMs: long })],
    })

    expect([jobs[0]?.state, batch.state]).toEqual(['succeeded', 'succeeded'])
  })
})

describe('a reschedule', () => {
  const patch = (service: Awaited<ReturnType<typeof startService>>, id: string, change: object) =>
    service.me.http.patch(`/v1/jobs/${id}`).send(change)

  it('gives a running job less time, from the start of its attempt', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [service.fetch('/hang')] })
    await service.origin.whenHit('/hang')

    await patch(service, `${id}-0`, { timeoutMs: 1 }).expect(200)
    const { jobs } = await service.me.drained(id)

    expect(jobs[0]).toMatchObject({ state: 'timed_out', cause: 'timeout' })
  })

  it('takes a clock away', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [service.fetch('/hold/a', { timeoutMs: 400, deadlineMs: 400 })] })
    await patch(service, `${id}-0`, { timeoutMs: null, deadlineMs: null }).expect(200)

    await service.me.run({ jobs: [sleepFor(450)] })
    service.origin.release('/hold/a')
    const { jobs } = await service.me.drained(id)

    expect(jobs[0]?.state).toBe('succeeded')
  })

  it('gives a queued job a deadline from its acceptance, and a timeout for later', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({
      maxConcurrency: 1,
      jobs: [service.fetch('/hold/a'), forever(), forever()],
    })

    await patch(service, `${id}-1`, { timeoutMs: 30 }).expect(200)
    await patch(service, `${id}-2`, { deadlineMs: 1 }).expect(200)
    await service.me.seen(id, 'job.timed_out', 2)
    service.origin.release('/hold/a')
    const { jobs } = await service.me.drained(id)

    expect(jobs[1]).toMatchObject({ state: 'timed_out', cause: 'timeout', attempts: 1 })
    expect(ran(jobs[1])).toBeGreaterThanOrEqual(30)
    expect(jobs[2]).toMatchObject({ state: 'timed_out', cause: 'deadline', startedAt: null })
  })

  it('moves a queued job to the front by its priority', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({
      maxConcurrency: 1,
      jobs: [service.fetch('/hold/a'), sleepFor(0), sleepFor(0), sleepFor(0)],
    })

    await patch(service, `${id}-3`, { priority: 5 }).expect(200)
    service.origin.release('/hold/a')
    const { events } = await service.me.drained(id)

    expect(events.filter(({ type }) => type === 'job.started').map(({ index }) => index)).toEqual([0, 3, 1, 2])
  })

  it('to what is past already ends the job now', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ maxConcurrency: 1, jobs: [service.fetch('/hang'), forever()] })
    await service.origin.whenHit('/hang')

    const queued = await patch(service, `${id}-1`, { deadlineMs: 0 }).expect(200)
    await patch(service, `${id}-0`, { timeoutMs: 0 }).expect(200)
    const { jobs } = await service.me.drained(id)

    expect(queued.body).toMatchObject({ state: 'timed_out', cause: 'deadline', startedAt: null })
    expect(jobs[0]).toMatchObject({ state: 'timed_out', cause: 'timeout' })
  })

  it('is refused for a job that has ended', async () => {
    await using service = await startService()
    const { batch } = await service.me.run({ jobs: [forever({ timeoutMs: 1 })] })

    const answer = await patch(service, `${batch.id}-0`, { timeoutMs: 60_000 })

    expect([answer.status, answer.body.code]).toEqual([409, 'job_finished'])
  })

  it('names every wrong field, and changes nothing then', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [forever()] })

    const answer = await patch(service, `${id}-0`, { timeoutMs: -1, deadlineMs: 'x', priority: 1.5, other: 1 })

    expect(answer.status).toBe(422)
    expect(answer.body.errors.map(({ pointer }: { pointer: string }) => pointer).toSorted()).toEqual([
      '/deadlineMs',
      '/other',
      '/priority',
      '/timeoutMs',
    ])
    expect((await service.me.job(`${id}-0`)).state).not.toBe('timed_out')
  })
})
