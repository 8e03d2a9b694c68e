import { describe, expect, it } from 'vitest'
import { startService } from '../support/service.ts'

const NOW = { jobs: [{ kind: 'sleep', durationMs: 0 }] }

describe('a batch that drains while it is read', { timeout: 60_000 }, () => {
  it('is settled in every answer of Prefer: wait, on submission and on a read', async () => {
    await using service = await startService()
    const seen: unknown[] = []

    for (let round = 0; round < 50; round++) {
      const both = await Promise.all([
        service.me.http.post('/v1/batches').set('prefer', 'wait=10').send(NOW),
        service.me.http.post('/v1/batches').send(NOW),
      ])
      const read = await service.me.http.get(`/v1/batches/${both[1].body.id}`).set('prefer', 'wait=10')
      for (const { body } of both) service.me.track(body.id)
      seen.push(both[0].status, both[0].body.state, read.body.state)
    }

    expect(new Set(seen)).toEqual(new Set([200, 'succeeded']))
  })

  it('is never said to be past cancelling and running in one answer', async () => {
    await using service = await startService()

    for (let round = 0; round < 60; round++) {
      const { id } = await service.me.submit({ jobs: [{ kind: 'sleep', durationMs: 1 }] })
      const answers = await Promise.all([0, 1, 2].map(() => service.me.http.post(`/v1/batches/${id}/cancel`).send({})))
      for (const { body } of answers) if (!body.cancelled) expect(body.batch.settledAt).not.toBeNull()
    }
  })
})

describe('PATCH of one job, several at a time', () => {
  it('keeps every change on disk', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [{ kind: 'sleep', durationMs: 60_000, delayMs: 60_000 }] })
    const patch = (body: object) => service.me.http.patch(`/v1/jobs/${id}-0`).send(body).expect(200)

    await Promise.all([patch({ deadlineMs: 70_000 }), patch({ priority: 5 }), patch({ timeoutMs: 80_000 })])

    const [text] = await service.inside.store.specs(1, { from: 0, limit: 1 })
    expect(JSON.parse(text)).toMatchObject({ deadlineMs: 70_000, priority: 5, timeoutMs: 80_000 })
  })
})

describe('a list of jobs', () => {
  it('says what holds each queued job back, as the job itself does', async () => {
    await using service = await startService({ tenants: { one: { maxConcurrency: 1 } } })
    const { id } = await service.as('one').submit({
      jobs: [
        { kind: 'sleep', durationMs: 60_000 },
        { kind: 'sleep', durationMs: 1 },
        { kind: 'sleep', durationMs: 1, delayMs: 60_000 },
      ],
    })
    await service.as('one').seen(id, 'job.started', 0)

    const { body } = await service.as('one').http.get(`/v1/batches/${id}/jobs`)

    expect(body.data.map(({ waitingOn }: { waitingOn: string }) => waitingOn)).toEqual([null, 'tenant-cap', 'delay'])
  })
})

describe('an empty batch', () => {
  it('has succeeded, whatever its timeout', async () => {
    await using service = await startService()

    const { batch } = await service.me.run({ timeoutMs: 0, jobs: [] })

    expect(batch.state).toBe('succeeded')
  })
})

describe('a number that no double holds', () => {
  it.each([
    '{"kind":"sleep","durationMs":0,"result":[1e400]}',
    '{"kind":"sleep","durationMs":0,"result":{"a":-1e999}}',
  ])('is refused where it is: %s', async (job) => {
    await using service = await startService()

    const { status, body } = await service.me.http
      .post('/v1/batches')
      .set('content-type', 'application/json')
      .send(`{"jobs":[${job}]}`)

    expect(status).toBe(422)
    expect(body.errors).toEqual([
      { pointer: expect.stringMatching(/^\/jobs\/0\/result\/(0|a)$/), detail: 'Is a number too large to be kept.' },
    ])
  })
})
