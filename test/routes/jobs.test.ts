import { describe, expect, it } from 'vitest'
import { JobFinishedError } from '../../src/errors.ts'
import { CancelledJob, JobPage, JobView } from '../../src/schema/views.ts'
import { type FakeService, startFake } from '../support/fake-parts.ts'

const SLEEP = { kind: 'sleep', durationMs: 1 }

/** A service with a batch of three jobs, `batch-1`. */
async function startWithBatch(): Promise<FakeService> {
  const service = await startFake()
  await service.http.post('/v1/batches').send({ jobs: [SLEEP, SLEEP, SLEEP] })
  return service
}

describe('GET /v1/batches/{batchId}/jobs', () => {
  it('gives a page and a link to the next', async () => {
    await using service = await startWithBatch()

    const response = await service.http.get('/v1/batches/batch-1/jobs?limit=2&order=completion')

    expect(JobPage.parse(response.body)).toMatchObject({ data: [{ index: 0 }, { index: 1 }], nextCursor: 'c"2' })
    expect(response.headers.link).toBe('</v1/batches/batch-1/jobs?limit=2&order=completion&cursor=c%222>; rel="next"')
  })

  it('follows its own link', async () => {
    await using service = await startWithBatch()
    const { headers } = await service.http.get('/v1/batches/batch-1/jobs?limit=2')
    const next = /<([^>]*)>/.exec(headers.link ?? '')?.[1] ?? ''

    await service.http.get(next)

    expect(service.engine.called('jobs')[1]).toEqual([
      'jobs',
      'default',
      'batch-1',
      { order: 'input', limit: 2, cursor: 'c"2' },
    ])
  })

  it.each([
    ['order=random', '/query/order'],
    ['state=settled', '/query/state'],
    ['limit=5000', '/query/limit'],
    ['label.a=b', '/query/label.a'],
  ])('refuses %s', async (query, pointer) => {
    await using service = await startWithBatch()

    const response = await service.http.get(`/v1/batches/batch-1/jobs?${query}`)

    expect(response.body.errors).toMatchObject([{ pointer }])
  })
})

describe('GET /v1/jobs/{jobId}', () => {
  it('gives the job as the engine wrote it', async () => {
    await using service = await startWithBatch()
    service.engine.job = async () => '{"id":"x",  "result":1.0}'

    const response = await service.http.get('/v1/jobs/x')

    expect(response.text).toBe('{"id":"x",  "result":1.0}')
    expect(response.headers['content-type']).toBe('application/json; charset=utf-8')
  })

  it('gives what its schema says', async () => {
    await using service = await startWithBatch()

    const response = await service.http.get('/v1/jobs/batch-1-2')

    expect(JobView.parse(response.body)).toMatchObject({ id: 'batch-1-2', index: 2 })
  })

  it('does not know a job that is not there', async () => {
    await using service = await startWithBatch()

    const response = await service.http.get('/v1/jobs/batch-1-99')

    expect([response.status, response.body.code]).toEqual([404, 'not_found'])
  })
})

describe('POST /v1/jobs/{jobId}/cancel', () => {
  it('answers 202 while the job lives, and hands on the reason', async () => {
    await using service = await startWithBatch()

    const response = await service.http.post('/v1/jobs/batch-1-0/cancel').send({ reason: 'enough' })

    expect(response.status).toBe(202)
    expect(CancelledJob.parse(response.body)).toMatchObject({ cancelled: true, job: { id: 'batch-1-0' } })
    expect(service.engine.called('cancelJob')).toEqual([['cancelJob', 'default', 'batch-1-0', 'enough']])
  })

  it('answers 200 when the job has ended, and needs no body', async () => {
    await using service = await startWithBatch()
    service.engine.settle('batch-1')

    const response = await service.http.post('/v1/jobs/batch-1-0/cancel')

    expect(response.status).toBe(200)
    expect(CancelledJob.parse(response.body).cancelled).toBe(false)
  })
})

describe('PATCH /v1/jobs/{jobId}', () => {
  it.each([[{}], [{ deadlineMs: 5 }], [{ deadlineMs: null, timeoutMs: null, priority: -3 }], [{ timeoutMs: 0 }]])(
    'hands on %j, and nothing that was not said',
    async (change) => {
      await using service = await startWithBatch()

      const response = await service.http.patch('/v1/jobs/batch-1-0').send(change)

      expect(response.status).toBe(200)
      expect(JobView.parse(response.body).id).toBe('batch-1-0')
      expect(service.engine.called('reschedule')).toEqual([['reschedule', 'default', 'batch-1-0', change]])
    },
  )

  it('names every wrong field', async () => {
    await using service = await startWithBatch()

    const response = await service.http.patch('/v1/jobs/batch-1-0').send({ deadlineMs: -1, priority: null, delayMs: 3 })

    expect(response.body.errors.map((error: { pointer: string }) => error.pointer).sort()).toEqual([
      '/deadlineMs',
      '/delayMs',
      '/priority',
    ])
  })

  it('needs a body', async () => {
    await using service = await startWithBatch()

    const response = await service.http.patch('/v1/jobs/batch-1-0')

    expect([response.status, response.body.code]).toEqual([400, 'malformed_json'])
  })

  it('refuses a job that has ended', async () => {
    await using service = await startWithBatch()
    service.engine.failNext = new JobFinishedError()

    const response = await service.http.patch('/v1/jobs/batch-1-0').send({ priority: 1 })

    expect([response.status, response.body.code]).toEqual([409, 'job_finished'])
  })
})
