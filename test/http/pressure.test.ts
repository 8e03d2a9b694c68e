import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { BatchSubmission } from '../../src/engine/engine.ts'
import { rssBound } from '../../src/http/pressure.ts'
import { type FakeService, startFake } from '../support/fake-parts.ts'

const JOB = { kind: 'sleep', durationMs: 1 }

/** Resolves with the first sample that says so; there is one a second. */
async function pressed({ app }: FakeService): Promise<void> {
  while (!app.isPressed()) await sleep(20)
}

describe('under pressure', () => {
  let service: FakeService
  let [id, jobId] = ['', '']

  beforeAll(async () => {
    service = await startFake({ env: { GATHERD_MAX_HEAP_BYTES: '1' } })
    // Past HTTP: the first sample may come before a request. Only what a view shows matters.
    id = (await service.engine.submit('default', { labels: {}, jobs: [JOB] } as unknown as BatchSubmission)).id
    jobId = `${id}-0`
    await pressed(service)
  })
  beforeEach(() => void service.engine.calls.splice(0))
  afterAll(() => service[Symbol.asyncDispose]())

  it('work is refused before anything is read of it, and nothing is accepted', async () => {
    const { http } = service
    const work = { jobs: [JOB] }
    for (const request of [
      http.post('/v1/batches').send(work),
      http.post('/v1/batches').set('accept', 'text/event-stream').send(work),
      http.post('/v1/batches').set('prefer', 'wait=1').send(work),
      http.post('/v1/batches').set('content-type', 'application/json').send('{"jobs": not JSON'),
      http.post(`/v1/batches/${id}/jobs`).send(work),
      http.patch(`/v1/jobs/${jobId}`).send({ priority: 1 }),
      http.get('/v1/batches'),
      http.get(`/v1/batches/${id}`),
      http.get(`/v1/batches/${id}/jobs`),
      http.get(`/v1/batches/${id}/events`),
      http.get(`/v1/batches/${id}/wait`),
      http.get(`/v1/jobs/${jobId}`),
    ]) {
      const { status, body, headers } = await request
      const { method, url } = request
      expect([method, url, status, body.code]).toEqual([method, url, 503, 'overloaded'])
      expect(headers).toMatchObject({ 'retry-after': '2', 'content-type': expect.stringMatching(/problem\+json/) })
    }
    expect(service.engine.calls).toEqual([])
  })

  it('what relieves the service is answered all the same', async () => {
    const statuses: number[] = []
    for (const path of [`jobs/${jobId}/cancel`, `batches/${id}/close`, `batches/${id}/stop`, `batches/${id}/cancel`])
      statuses.push((await service.http.post(`/v1/${path}`).send({})).status)

    expect(statuses.every((status) => status === 200 || status === 202)).toBe(true)
    expect(service.engine.calls.map(([name]) => name).filter((name) => name !== 'tenant')).toEqual([
      'cancelJob',
      'close',
      'stop',
      'cancel',
    ])
  })

  it('the operator is answered, and who needs no key', async () => {
    await service.admin.put('/v1/admin/tenants/acme').send({ maxConcurrency: 1 }).expect(201)
    await service.admin.post('/v1/admin/tenants/acme/keys').send({}).expect(201)
    await service.anybody.get('/livez').expect(200)
    await service.anybody.get('/openapi.json').expect(200)
    await service.anybody.get('/nowhere').expect(404)
  })

  it('the service says that it takes no new work', async () => {
    const { status, body } = await service.anybody.get('/readyz')

    expect([status, body.code]).toEqual([503, 'overloaded'])
  })
})

describe('pressure', () => {
  it('is also memory beside the heap', async () => {
    await using service = await startFake({ env: { GATHERD_MAX_RSS_BYTES: '1' } })
    await pressed(service)

    const refused = await service.http.post('/v1/batches').send({ jobs: [JOB] })

    expect([refused.status, refused.body.code, (await service.anybody.get('/readyz')).status]).toEqual([
      503,
      'overloaded',
      503,
    ])
  })

  it.each<[string, number | undefined, number]>([
    ['nine tenths of what its container may have', 1_000, 900],
    ['no bound, when nobody knows of a limit', undefined, Number.POSITIVE_INFINITY],
    ['no bound, without a limit', 0, Number.POSITIVE_INFINITY],
    ['no bound, when the limit is all there is', 4_000, Number.POSITIVE_INFINITY],
    ['no bound, when the limit is a number for none', 2 ** 63, Number.POSITIVE_INFINITY],
  ])('of memory begins at %s', (_what, limit, bound) => {
    expect(rssBound(limit, 4_000)).toBe(bound)
  })

  it('is also a late event loop, until it is in time again', async () => {
    await using service = await startFake({ env: { GATHERD_MAX_EVENT_LOOP_DELAY_MS: '1' } })
    const busy = setInterval(() => {
      const until = performance.now() + 40
      while (performance.now() < until);
    }, 1)
    await pressed(service)
    const refused = await service.http.post('/v1/batches').send({ jobs: [JOB] })
    clearInterval(busy)

    while (service.app.isPressed()) await sleep(20)
    const taken = await service.http.post('/v1/batches').send({ jobs: [JOB] })

    expect([refused.status, refused.body.code, taken.status]).toEqual([503, 'overloaded', 202])
  })

  it('is never when both bounds are far away', async () => {
    await using service = await startFake({ env: { GATHERD_MAX_EVENT_LOOP_DELAY_MS: '0' } })
    let samples = 0
    const { memoryUsage } = process
    process.memoryUsage = Object.assign(() => {
      samples++
      return memoryUsage.call(process)
    }, memoryUsage)
    while (samples === 0) await sleep(20)
    process.memoryUsage = memoryUsage

    expect(service.app.isPressed()).toBe(false)
    await service.http
      .post('/v1/batches')
      .send({ jobs: [JOB] })
      .expect(202)
    await service.anybody.get('/readyz').expect(200)
  })
})
