import { describe, expect, it } from 'vitest'
import * as errors from '../../src/errors.ts'
import { CancelledBatch, ClosedBatch, JobList } from '../../src/schema/views.ts'
import { type FakeService, startFake } from '../support/fake-parts.ts'

const SLEEP = { kind: 'sleep', durationMs: 1 }

/** A service with a batch of one job, `batch-1`. */
async function startWithBatch(): Promise<FakeService> {
  const service = await startFake()
  await service.http.post('/v1/batches').send({ jobs: [SLEEP] })
  return service
}

describe('POST /v1/batches/{batchId}/jobs', () => {
  it('answers 201 with the new jobs', async () => {
    await using service = await startWithBatch()

    const response = await service.http
      .post('/v1/batches/batch-1/jobs')
      .send({ jobs: [SLEEP, { ...SLEEP, name: 'x' }] })

    expect(response.status).toBe(201)
    expect(JobList.parse(response.body).data.map(({ index, name }) => [index, name])).toEqual([
      [1, 'job-1'],
      [2, 'x'],
    ])
    expect(service.engine.called('append')).toEqual([
      ['append', 'default', 'batch-1', [SLEEP, { ...SLEEP, name: 'x' }]],
    ])
  })

  it('names the wrong fields', async () => {
    await using service = await startWithBatch()

    const response = await service.http.post('/v1/batches/batch-1/jobs').send({ jobs: [{}], open: true })

    expect(response.status).toBe(422)
    expect(response.body.errors.map((error: { pointer: string }) => error.pointer)).toEqual(['/open', '/jobs/0/kind'])
  })

  it('needs a body', async () => {
    await using service = await startWithBatch()

    const response = await service.http.post('/v1/batches/batch-1/jobs')

    expect([response.status, response.body.code]).toEqual([400, 'malformed_json'])
  })

  it.each<[Error, number, string]>([
    [new errors.BatchShuttingDownError(), 409, 'batch_shutting_down'],
    [new errors.BatchFinishedError(), 409, 'batch_finished'],
    [new errors.QueueFullError(1), 429, 'queue_full'],
    [new errors.NotFoundError(), 404, 'not_found'],
  ])('answers %o', async (error, status, code) => {
    await using service = await startWithBatch()
    service.engine.failNext = error

    const response = await service.http.post('/v1/batches/batch-1/jobs').send({ jobs: [SLEEP] })

    expect([response.status, response.body.code]).toEqual([status, code])
  })
})

describe('POST /v1/batches/{batchId}/close', () => {
  it('answers 200 with the batch', async () => {
    await using service = await startWithBatch()

    const response = await service.http.post('/v1/batches/batch-1/close')

    expect(response.status).toBe(200)
    expect(ClosedBatch.parse(response.body).batch.id).toBe('batch-1')
  })
})

describe.each(['stop', 'cancel'])('POST /v1/batches/{batchId}/%s', (action) => {
  it('answers 202 while the batch lives', async () => {
    await using service = await startWithBatch()

    const response = await service.http.post(`/v1/batches/batch-1/${action}`)

    expect(response.status).toBe(202)
    expect(CancelledBatch.parse(response.body).cancelled).toBe(true)
  })

  it('answers 200 when the batch has its outcome', async () => {
    await using service = await startWithBatch()
    service.engine.settle('batch-1')

    const response = await service.http.post(`/v1/batches/batch-1/${action}`)

    expect(response.status).toBe(200)
    expect(CancelledBatch.parse(response.body).cancelled).toBe(false)
  })

  it.each([
    ['no body and no content type', {}, undefined],
    ['an empty body of JSON', { 'content-type': 'application/json' }, undefined],
    ['an empty body of something else', { 'content-length': '0' }, undefined],
    ['an empty object', { 'content-type': 'application/json' }, '{}'],
  ])('takes %s', async (_, headers, body) => {
    await using service = await startWithBatch()

    const response = await fetch(`${service.origin}/v1/batches/batch-1/${action}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${service.key}`, ...headers },
      ...(body !== undefined && { body }),
    })

    expect(response.status).toBe(202)
    await response.body?.cancel()
  })

  it('refuses fields it does not know', async () => {
    await using service = await startWithBatch()

    const response = await service.http.post(`/v1/batches/batch-1/${action}`).send({ force: true })

    expect(response.body.errors).toMatchObject([{ pointer: '/force' }])
    expect(service.engine.called(action)).toEqual([])
  })

  it('does not know batches of others', async () => {
    await using service = await startWithBatch()
    const { text } = await service.keys.create({ tenantId: 'other' })

    const response = await service.anybody.post(`/v1/batches/batch-1/${action}`).set('authorization', `Bearer ${text}`)

    expect([response.status, response.body.code]).toEqual([404, 'not_found'])
  })
})

describe('POST /v1/batches/{batchId}/cancel', () => {
  it.each([
    [{ reason: 'enough' }, 'enough'],
    [{ reason: '' }, ''],
    [{ reason: null }, null],
    [{}, null],
    [{ reason: 'r'.repeat(1_000) }, 'r'.repeat(1_000)],
  ])('hands on the reason of %j', async (body, reason) => {
    await using service = await startWithBatch()

    await service.http.post('/v1/batches/batch-1/cancel').send(body)

    expect(service.engine.called('cancel')).toEqual([['cancel', 'default', 'batch-1', reason]])
  })

  it.each([[{ reason: 'r'.repeat(1_001) }], [{ reason: 'a\0' }], [{ reason: 3 }]])('refuses %j', async (body) => {
    await using service = await startWithBatch()

    const response = await service.http.post('/v1/batches/batch-1/cancel').send(body)

    expect(response.body.errors).toMatchObject([{ pointer: '/reason' }])
  })

  it('refuses a body that is no object', async () => {
    await using service = await startWithBatch()

    const response = await service.http.post('/v1/batches/batch-1/cancel').send([])

    expect(response.body.errors).toEqual([{ pointer: '', detail: 'Must be an object.' }])
  })
})
