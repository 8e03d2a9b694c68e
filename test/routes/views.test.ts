import type { FastifyInstance } from 'fastify'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { readConfig } from '../../src/config.ts'
import { buildLogger } from '../../src/log.ts'
import {
  BatchPage,
  BatchView,
  BatchWithJobs,
  CancelledBatch,
  CancelledJob,
  ClosedBatch,
  Event,
  JobList,
  JobPage,
  JobView,
  TenantView,
  WaitResult,
} from '../../src/schema/views.ts'
import { wire } from '../../src/wiring.ts'

/** The real service, in memory and without a port. Let it go with `await using`. */
async function startReal() {
  const config = readConfig({ GATHERD_DATA_DIR: ':memory:', GATHERD_AUTH: 'off', GATHERD_EGRESS_ALLOW: '127.0.0.1' })
  const logger = buildLogger({ level: 'silent' })
  const service = await wire(config, {
    clock: systemClock,
    logger,
    version: '0',
    onFatal: (error) => expect.fail(error.message),
  })
  return { app: service.app, [Symbol.asyncDispose]: () => service.close() }
}

async function call(app: FastifyInstance, method: 'GET' | 'POST' | 'PATCH', url: string, body?: object, headers = {}) {
  const response = await app.inject({ method, url, headers, ...(body && { payload: body }) })
  return { status: response.statusCode, body: response.json() }
}

const WAIT = { prefer: 'wait=20' }
const SLEEP = { kind: 'sleep', durationMs: 1, result: { any: 'json' } }
const LONG = { kind: 'sleep', durationMs: 60_000 }

describe('the views of the real engine', () => {
  it.each([
    ['all_settled', {}],
    ['gather', {}],
    ['task_group', {}],
    ['any', {}],
    ['race', {}],
    ['quorum', { n: 1 }],
    ['hedge', { hedgeDelayMs: 5 }],
  ])('are what their schemas say for %s', async (policy, more) => {
    await using service = await startReal()

    const body = { policy, ...more, jobs: [SLEEP, { ...LONG, timeoutMs: 5 }] }
    const { body: batch } = await call(service.app, 'POST', '/v1/batches', body, WAIT)

    expect(BatchWithJobs.parse(batch).jobs).toHaveLength(2)
    const { body: page } = await call(service.app, 'GET', `${batch.links.jobs}?order=completion`)
    expect(JobPage.parse(page).data.length).toBeGreaterThan(0)
    expect(BatchPage.parse((await call(service.app, 'GET', '/v1/batches')).body).data).toHaveLength(1)
    expect(WaitResult.parse((await call(service.app, 'GET', `${batch.links.self}/wait`)).body).pending).toEqual([])
  })

  it('are what their schemas say while a batch runs and is stopped', async () => {
    await using service = await startReal()
    const { app } = service

    const { body: batch } = await call(app, 'POST', '/v1/batches', { open: true, policy: 'task_group', jobs: [LONG] })
    const self = BatchView.parse(batch).links.self
    const { body: added } = await call(app, 'POST', `${self}/jobs`, { jobs: [LONG, { ...LONG, delayMs: 60_000 }] })
    const [first, delayed] = JobList.parse(added).data

    JobView.parse((await call(app, 'GET', `/v1/jobs/${delayed?.id}`)).body)
    JobView.parse((await call(app, 'PATCH', `/v1/jobs/${delayed?.id}`, { priority: 3, deadlineMs: 90_000 })).body)
    CancelledJob.parse((await call(app, 'POST', `/v1/jobs/${first?.id}/cancel`, { reason: 'enough' })).body)
    TenantView.parse((await call(app, 'GET', '/v1/tenant')).body)
    ClosedBatch.parse((await call(app, 'POST', `${self}/close`)).body)
    const { status, body } = await call(app, 'POST', `${self}/cancel`, { reason: 'all of it' })

    expect(status).toBe(202)
    expect(CancelledBatch.parse(body).cancelled).toBe(true)
    const { body: end } = await call(app, 'GET', `${self}?include=jobs`, undefined, WAIT)
    expect(BatchWithJobs.parse(end)).toMatchObject({ state: 'cancelled', cancel: { reason: 'all of it' } })
  })

  it('are what their schemas say in a stream', async () => {
    await using service = await startReal()
    const origin = await service.app.listen({ port: 0, host: '127.0.0.1' })

    const response = await fetch(`${origin}/v1/batches`, {
      method: 'POST',
      headers: { accept: 'application/x-ndjson', 'content-type': 'application/json' },
      body: JSON.stringify({ policy: 'race', jobs: [SLEEP, LONG] }),
    })
    const events = (await response.text())
      .trim()
      .split('\n')
      .map((line) => Event.parse(JSON.parse(line)))

    expect(events[0]).toMatchObject({ seq: 1, type: 'batch.accepted' })
    expect(events.at(-1)?.type).toBe('batch.drained')
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1))
    const ends = events.filter(({ job }) => job !== undefined)
    expect(ends).toHaveLength(2)
  })
})
