import { describe, expect, it } from 'vitest'
import { forever, sleepFor, startService } from '../support/service.ts'

describe('the cancel of a batch', () => {
  it('answers cancelled: true once, false after; the first reason stays, and is that of its jobs', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [service.fetch('/hang'), forever()] })
    await service.origin.whenHit('/hang')

    const first = await service.me.http.post(`/v1/batches/${id}/cancel`).send({ reason: 'first' })
    await service.me.drained(id)
    const second = await service.me.http.post(`/v1/batches/${id}/cancel`).send({ reason: 'second' })
    const { batch, jobs } = await service.me.drained(id)

    expect([first.status, first.body.cancelled, first.body.batch.state]).toEqual([202, true, 'aborting'])
    expect([second.status, second.body.cancelled, second.body.batch]).toEqual([200, false, batch])
    expect(batch).toMatchObject({
      state: 'cancelled',
      cancel: { reason: 'first', at: expect.any(String) },
      error: { type: 'CancelledError', code: 'cancelled', message: 'first' },
    })
    expect(jobs.map(({ reason, cause }) => [reason, cause])).toEqual(Array(2).fill(['first', 'batch_cancel']))
    await service.origin.whenIdle()
  })

  it('asked for many times at once has one reason', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [service.fetch('/hang'), forever()] })
    await service.origin.whenHit('/hang')

    const answers = await Promise.all([1, 2, 3, 4, 5].map((n) => service.me.cancel(id, { reason: `reason ${n}` })))
    const { batch, jobs } = await service.me.drained(id)

    expect(answers.filter(({ cancelled }) => cancelled).length).toBeGreaterThanOrEqual(1)
    expect(batch.cancel?.reason).toMatch(/^reason [1-5]$/)
    expect(jobs.map(({ reason }) => reason)).toEqual(Array(2).fill(batch.cancel?.reason))
  })

  it('needs no body and no reason', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [forever()] })

    await service.me.http.post(`/v1/batches/${id}/cancel`).expect(202)
    const { batch, jobs } = await service.me.drained(id)

    expect([batch.cancel?.reason, jobs[0]?.reason]).toEqual([null, null])
  })

  it('with a wrong body cancels nothing', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [forever()] })

    for (const body of [{ reason: 1 }, { reason: 'x'.repeat(1_001) }, { why: 'x' }, [], '"text"'])
      await service.me.http.post(`/v1/batches/${id}/cancel`).type('json').send(body).expect(422)

    expect((await service.me.batch(id)).state).toBe('running')
  })

  it('of one batch touches no other', async () => {
    await using service = await startService({ tenants: { other: {} } })
    const ids = await Promise.all([1, 2].map(async () => (await service.me.submit({ jobs: [forever()] })).id))
    const foreign = await service.as('other').submit({ jobs: [forever()] })

    await service.me.cancel(ids[0] ?? '')
    await service.me.drained(ids[0] ?? '')

    expect((await service.me.batch(ids[1] ?? '')).state).toBe('running')
    expect((await service.as('other').batch(foreign.id)).state).toBe('running')
  })
})

describe('the cancel of a job', () => {
  it('answers cancelled: true once, false after; the first reason stays', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [service.fetch('/hang'), service.fetch('/hold/a')] })
    await service.origin.whenHit('/hang')

    const first = await service.me.cancelJob(`${id}-0`, { reason: 'first' })
    await service.me.seen(id, 'job.cancelled', 0)
    const second = await service.me.cancelJob(`${id}-0`, { reason: 'second' })

    expect([first, second]).toEqual([
      { status: 202, cancelled: true },
      { status: 200, cancelled: false },
    ])
    expect(await service.me.job(`${id}-0`)).toMatchObject({ state: 'cancelled', reason: 'first', cancelRequests: 1 })
    expect((await service.me.job(`${id}-1`)).state).toBe('running')
  })

  it('goes before a later cancel of its batch: its own cause and reason stay', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [forever(), forever()] })

    await service.me.cancelJob(`${id}-0`, { reason: 'mine' })
    await service.me.cancel(id, { reason: 'all of it' })
    const { jobs } = await service.me.drained(id)

    expect(jobs.map(({ cause, reason }) => [cause, reason])).toEqual([
      ['user', 'mine'],
      ['batch_cancel', 'all of it'],
    ])
  })

  it('asked for many times at once is counted, and has one reason', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [service.fetch('/hang')] })
    await service.origin.whenHit('/hang')

    const answers = await Promise.all([1, 2, 3, 4, 5].map((n) => service.me.cancelJob(`${id}-0`, { reason: `${n}` })))
    const { jobs } = await service.me.drained(id)

    expect(jobs[0]?.cancelRequests).toBe(answers.filter(({ cancelled }) => cancelled).length)
    expect(jobs[0]?.reason).toMatch(/^[1-5]$/)
  })

  it('keeps the reason as it was written, whatever is in it', async () => {
    await using service = await startService()
    const reason = 'line\nbreak, "quotes", 😀, ‮ and a very long one '.padEnd(1_000, 'x')
    const { id } = await service.me.submit({ jobs: [forever()] })

    await service.me.cancelJob(`${id}-0`, { reason })
    const { jobs } = await service.me.drained(id)

    expect(jobs[0]?.reason).toBe(reason)
  })
})

describe('context', () => {
  it('goes out with a fetch as baggage, the job on top of the batch, and reaches no sibling', async () => {
    await using service = await startService()

    await service.me.run({
      context: { tenant: 'acme', run: 'a b' },
      jobs: [
        service.fetch('/ok/0'),
        service.fetch('/ok/1', { context: { run: 'own,=;"é' } }),
        service.fetch('/ok/2', { context: { only: 'here' } }),
        sleepFor(0),
      ],
    })
    await service.me.run({ jobs: [service.fetch('/ok/3')] })

    const baggage = Object.fromEntries(
      service.origin.hits.map(({ path, headers }) => [path, membersOf(headers.baggage)]),
    )
    expect(baggage).toEqual({
      '/ok/0': { tenant: 'acme', run: 'a b' },
      '/ok/1': { tenant: 'acme', run: 'own,=;"é' },
      '/ok/2': { tenant: 'acme', run: 'a b', only: 'here' },
      '/ok/3': {},
    })
  })

  it('and traceparent: each fetch is a child of the trace of its submission', async () => {
    await using service = await startService()
    const trace = '0af7651916cd43dd8448eb211c80319c'
    const { body } = await service.me.http
      .post('/v1/batches')
      .set('traceparent', `00-${trace}-b7ad6b7169203331-01`)
      .send({ jobs: [service.fetch('/ok/0'), service.fetch('/ok/1', { headers: { traceparent: 'mine' } })] })
    service.me.track(body.id)

    await service.me.drained(body.id)

    const byPath = Object.fromEntries(service.origin.hits.map(({ path, headers }) => [path, headers.traceparent]))
    expect(byPath['/ok/0']).toMatch(new RegExp(`^00-${trace}-(?!b7ad6b7169203331)[0-9a-f]{16}-01$`))
    expect(byPath['/ok/1']).toBe('mine')
  })
})

function membersOf(baggage: string | string[] | undefined): Record<string, string> {
  if (baggage === undefined) return {}
  return Object.fromEntries(
    String(baggage)
      .split(',')
      .map((member) => member.split('=').map(decodeURIComponent)),
  )
}
