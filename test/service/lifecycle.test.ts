import { describe, expect, it } from 'vitest'
import { type Caller, forever, sleepFor, startService } from '../support/service.ts'

const append = (me: Caller, id: string, jobs: unknown[]) => me.http.post(`/v1/batches/${id}/jobs`).send({ jobs })
const post = (me: Caller, id: string, what: string) => me.http.post(`/v1/batches/${id}/${what}`)

describe('an open batch', () => {
  it('runs on without live jobs until it is closed', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ open: true, jobs: [sleepFor(0)] })
    await service.me.seen(id, 'job.succeeded', 0)

    const idle = await service.me.batch(id)
    const [added] = await service.me.append(id, [sleepFor(0, { result: 'late' })])
    await service.me.seen(id, 'job.succeeded', 1)
    const closed = await post(service.me, id, 'close')
    const { batch, jobs } = await service.me.drained(id)

    expect(idle).toMatchObject({ state: 'running', open: true, settledAt: null })
    expect(added).toMatchObject({ id: `${id}-1`, index: 1, name: 'job-1' })
    expect([closed.status, closed.body.batch]).toMatchObject([200, { id, open: false }])
    expect([batch.state, batch.open, jobs[1]?.result]).toEqual(['succeeded', false, 'late'])
  })

  it('without any job can be closed, and closed again', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ open: true, jobs: [] })

    const first = await post(service.me, id, 'close')
    const second = await post(service.me, id, 'close')

    expect([first.status, first.body.batch.state]).toEqual([200, 'succeeded'])
    expect([second.status, second.body.batch.state]).toEqual([200, 'succeeded'])
  })

  it('of a closed sort goes on until its jobs have ended', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ open: true, jobs: [service.fetch('/hold/a')] })

    await post(service.me, id, 'close').expect(200)
    expect(await service.me.batch(id)).toMatchObject({ state: 'running', open: false })
    await service.me.append(id, [sleepFor(0)])
    service.origin.release('/hold/a')

    expect((await service.me.drained(id)).batch.counts).toMatchObject({ total: 2, succeeded: 2 })
  })

  it('of policy any waits for a success that may still come', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ policy: 'any', open: true, jobs: [service.fetch('/fail')] })
    await service.me.seen(id, 'job.failed', 0)
    expect((await service.me.batch(id)).state).toBe('running')

    await service.me.append(id, [sleepFor(0)])

    expect((await service.me.drained(id)).batch).toMatchObject({ state: 'succeeded', winner: { index: 1 } })
  })

  it('of policy any that nothing can save any more fails when it is closed', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ policy: 'any', open: true, jobs: [service.fetch('/fail')] })
    await service.me.seen(id, 'job.failed', 0)

    await post(service.me, id, 'close').expect(200)

    expect((await service.me.drained(id)).batch).toMatchObject({ state: 'failed', error: { errors: [{ index: 0 }] } })
  })

  it('of policy task_group is closed by its abort', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ policy: 'task_group', open: true, jobs: [service.fetch('/fail')] })

    const { batch } = await service.me.drained(id)

    expect(batch).toMatchObject({ state: 'failed', open: false })
  })
})

describe('an append', () => {
  it('is taken while a job lives, though the batch is not open', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [service.fetch('/hold/a')] })

    await service.me.append(id, [sleepFor(0), sleepFor(0)])
    service.origin.release('/hold/a')

    expect((await service.me.drained(id)).batch.counts.total).toBe(3)
  })

  it('has its clocks from its own acceptance', async () => {
    await using service = await startService()
    const { id, acceptedAt } = await service.me.submit({ open: true, jobs: [sleepFor(30)] })
    await service.me.seen(id, 'job.succeeded', 0)

    const [job] = await service.me.append(id, [sleepFor(0, { deadlineMs: 3_000 })])
    await post(service.me, id, 'close')
    const { jobs } = await service.me.drained(id)

    expect(Date.parse(job?.acceptedAt ?? '') - Date.parse(acceptedAt)).toBeGreaterThanOrEqual(30)
    expect(jobs[1]).toMatchObject({ state: 'succeeded', acceptedAt: job?.acceptedAt })
  })

  it('is all or nothing', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ open: true, jobs: [sleepFor(0, { name: 'a' })] })

    const wrong = await append(service.me, id, [sleepFor(0), sleepFor(-1), { kind: 'nothing' }])
    const taken = await append(service.me, id, [sleepFor(0), sleepFor(0, { name: 'a' })])
    const empty = await append(service.me, id, [])

    expect(wrong.body.errors.map(({ pointer }: { pointer: string }) => pointer)).toEqual([
      '/jobs/1/durationMs',
      '/jobs/2/kind',
    ])
    expect([taken.status, taken.body.errors]).toMatchObject([422, [{ pointer: '/jobs/1/name' }]])
    expect([empty.status, empty.body.errors[0].pointer]).toEqual([422, '/jobs'])
    expect((await service.me.batch(id)).counts.total).toBe(1)
  })

  it('that would make the batch too large is refused whole', async () => {
    await using service = await startService({ tenants: { small: { maxBatchJobs: 3 } } })
    const small = service.as('small')
    const { id } = await small.submit({ open: true, jobs: [sleepFor(0), sleepFor(0)] })

    const answer = await append(small, id, [sleepFor(0), sleepFor(0)])

    expect([answer.status, answer.body.code]).toEqual([413, 'batch_too_large'])
    expect((await small.batch(id)).counts.total).toBe(2)
    await small.append(id, [sleepFor(0)])
  })

  it('is refused once the batch has finished', async () => {
    await using service = await startService()
    const { batch } = await service.me.run({ jobs: [sleepFor(0)] })

    const answer = await append(service.me, batch.id, [sleepFor(0)])

    expect([answer.status, answer.body.code]).toEqual([409, 'batch_finished'])
  })

  it('is refused while a failed gather goes on: its outcome is known', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ policy: 'gather', jobs: [service.fetch('/fail'), forever()] })
    await service.me.seen(id, 'batch.settled')

    const answer = await append(service.me, id, [sleepFor(0)])

    expect([answer.status, answer.body.code]).toEqual([409, 'batch_finished'])
  })

  it('is refused for a batch that nobody knows', async () => {
    await using service = await startService()

    expect((await append(service.me, 'nothing', [sleepFor(0)])).body.code).toBe('not_found')
  })

  it('against the last job to end is either taken and run, or refused', async () => {
    await using service = await startService()
    const answers: number[] = []
    for (let round = 0; round < 20; round++) {
      const path = `/hold/${round}`
      const { id } = await service.me.submit({ policy: 'task_group', jobs: [service.fetch(path)] })
      await service.origin.whenHit(path)

      service.origin.release(path)
      const answer = await append(service.me, id, [sleepFor(0)])
      const { batch } = await service.me.drained(id)

      answers.push(answer.status)
      if (answer.status === 201) expect(batch.counts).toMatchObject({ total: 2, succeeded: 2 })
      else expect([answer.status, answer.body.code, batch.counts.total]).toEqual([409, 'batch_finished', 1])
    }
    expect(answers.every((status) => status === 201 || status === 409)).toBe(true)
  })

  it('of many callers at once gives every job an index of its own', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ open: true, jobs: [] })

    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, i) => service.me.append(id, [sleepFor(0, { result: i }), sleepFor(0)])),
    )
    await post(service.me, id, 'close')
    const { jobs } = await service.me.drained(id)

    const indexes = answers.flatMap((views) => views.map(({ index }) => index))
    expect(indexes.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, i) => i))
    for (const [i, [first, second]] of answers.entries()) {
      expect(second?.index).toBe(Number(first?.index) + 1)
      expect(jobs[Number(first?.index)]?.result).toBe(i)
    }
  })
})

describe('a stop', () => {
  it('ends a batch early without an error', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({
      policy: 'task_group',
      maxConcurrency: 2,
      jobs: [sleepFor(0, { result: 1 }), service.fetch('/hang'), forever()],
    })
    await service.me.seen(id, 'job.succeeded', 0)
    await service.origin.whenHit('/hang')

    const first = await post(service.me, id, 'stop')
    const { batch, jobs } = await service.me.drained(id)
    const second = await post(service.me, id, 'stop')

    expect([first.status, first.body.cancelled]).toEqual([202, true])
    expect([second.status, second.body.cancelled]).toEqual([200, false])
    expect(batch).toMatchObject({ state: 'succeeded', error: null, cancel: null })
    expect(jobs.map(({ state, cause }) => [state, cause])).toEqual([
      ['succeeded', null],
      ['cancelled', 'stop'],
      ['cancelled', 'stop'],
    ])
  })

  it.each(['all_settled', 'gather', 'any', 'race'])('makes a %s batch succeed', async (policy) => {
    await using service = await startService()
    const { id } = await service.me.submit({ policy, jobs: [forever(), forever()] })
    await service.me.seen(id, 'job.started', 1)

    await post(service.me, id, 'stop').expect(202)

    expect((await service.me.drained(id)).batch).toMatchObject({ state: 'succeeded', error: null })
  })

  it('makes an open batch without jobs succeed', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ open: true, jobs: [] })

    const { body } = await post(service.me, id, 'stop').expect(202)

    expect(body.batch).toMatchObject({ state: 'succeeded', open: false })
  })
})

describe('a batch that aborts for long', () => {
  // A shielded job is deaf to the abort, so an unshielded one that has gone leaves the batch settled and not drained.
  it('refuses appends and answers cancelled: false to a late cancel', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [service.fetch('/hold/a', { shield: true }), forever()] })
    await service.origin.whenHit('/hold/a')

    const first = await service.me.cancel(id, { reason: 'first' })
    await service.me.seen(id, 'batch.settled')
    const second = await service.me.cancel(id, { reason: 'second' })
    const late = await append(service.me, id, [sleepFor(0)])
    service.origin.release('/hold/a')
    const { batch, jobs } = await service.me.drained(id)

    expect([first.cancelled, second.cancelled]).toEqual([true, false])
    expect([late.status, late.body.code]).toEqual([409, 'batch_finished'])
    expect(batch).toMatchObject({ state: 'cancelled', cancel: { reason: 'first' } })
    expect(jobs[0]?.state).toBe('succeeded')
  })
})
