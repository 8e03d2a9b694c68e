import { afterEach, describe, expect, it, vi } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { startTraces } from '../../src/traces/start.ts'
import { Collector, type WireSpan } from '../support/otlp.ts'
import {
  type Caller,
  forever,
  type ServiceOptions,
  sleepFor,
  startService,
  type TestService,
} from '../support/service.ts'

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const CALLER = 'b7ad6b7169203331'
const TRACEPARENT = `00-${TRACE}-${CALLER}-01`
const INTERNAL = 1
const SERVER = 2
const CLIENT = 3
const ERROR = 2

afterEach(() => vi.unstubAllEnvs())

/** A service that sends its traces to a collector at once; `warned` has what it says of traces that are lost. */
async function startTraced(options: ServiceOptions & { env?: Record<string, string> } = {}) {
  const { env = {}, ...rest } = options
  const collector = await Collector.start()
  const settings = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_BSP_SCHEDULE_DELAY: '10', ...env }
  for (const [name, value] of Object.entries(settings)) vi.stubEnv(name, value)
  const warned: object[] = []
  const said: object[] = []
  const logger = {
    warn: (fields: object, message: string) => void warned.push({ ...fields, message }),
    info: (fields: object, message: string) => void said.push({ ...fields, message }),
  }
  const traces = await startTraces(settings, { clock: systemClock, logger, version: '1.2.3' })
  const afterClose = async () => {
    await traces?.close(1_000)
    await collector[Symbol.asyncDispose]()
  }
  const service = await startService({ ...rest, traces, afterClose })
  return { service, collector, traces, warned, said, [Symbol.asyncDispose]: () => service[Symbol.asyncDispose]() }
}

/** Submit with headers of one's own; resolves with the id of the batch when it has drained. */
async function runWith(
  me: Caller,
  headers: Record<string, string>,
  jobs: Record<string, unknown>[],
  more: object = {},
) {
  const { body } = await me.http
    .post('/v1/batches')
    .set(headers)
    .send({ jobs, ...more })
    .expect(202)
  me.track(body.id, jobs)
  await me.drained(body.id)
  return body.id as string
}

/** The spans of the batch alone, once it has all of them: that of the batch is the last. */
async function spansOf(collector: Collector, batchId: string, count: number): Promise<WireSpan[]> {
  const own = (spans: readonly WireSpan[]) => spans.filter((span) => span.attributes['gatherd.batch.id'] === batchId)
  return own(await collector.until((spans) => own(spans).length >= count))
}

const byName = (spans: readonly WireSpan[], name: string) => spans.filter((span) => span.name === name)
const only = (spans: readonly WireSpan[], name: string) => {
  const found = byName(spans, name)
  expect(found).toHaveLength(1)
  return found[0] as WireSpan
}

describe('the trace of a batch', () => {
  it('has the submission below its caller, the batch below and linked to it, jobs below the batch and attempts below jobs', async () => {
    await using traced = await startTraced()
    const { service, collector } = traced

    const id = await runWith(service.me, { traceparent: TRACEPARENT }, [service.fetch('/ok/a'), sleepFor(1)])
    const spans = await spansOf(collector, id, 6)

    const submit = only(spans, 'POST /v1/batches')
    const batch = only(spans, 'batch')
    const jobs = byName(spans, 'job').toSorted(
      (a, b) => Number(a.attributes['gatherd.job.index']) - Number(b.attributes['gatherd.job.index']),
    )
    expect(spans.every(({ traceId }) => traceId === TRACE)).toBe(true)
    expect([submit.parentId, submit.kind]).toEqual([CALLER, SERVER])
    expect([batch.parentId, batch.kind]).toEqual([submit.spanId, INTERNAL])
    expect(batch.links).toEqual([{ traceId: TRACE, spanId: submit.spanId }])
    expect(jobs.map(({ parentId }) => parentId)).toEqual([batch.spanId, batch.spanId])
    expect([only(spans, 'attempt fetch').parentId, only(spans, 'attempt fetch').kind]).toEqual([
      jobs[0]?.spanId,
      CLIENT,
    ])
    expect([only(spans, 'attempt sleep').parentId, only(spans, 'attempt sleep').kind]).toEqual([
      jobs[1]?.spanId,
      INTERNAL,
    ])
    expect(new Set(spans.map(({ spanId }) => spanId)).size).toBe(6)
  })

  it('is one of its own without a caller that is traced', async () => {
    await using traced = await startTraced()
    const { service, collector } = traced

    const one = await runWith(service.me, {}, [sleepFor(0)])
    const other = await runWith(service.me, { traceparent: 'nonsense' }, [sleepFor(0)])
    const [first, second] = [await spansOf(collector, one, 4), await spansOf(collector, other, 4)]

    expect(only(first, 'POST /v1/batches').parentId).toBe('')
    expect(only(second, 'POST /v1/batches').parentId).toBe('')
    expect(new Set(first.map(({ traceId }) => traceId)).size).toBe(1)
    expect(first[0]?.traceId).not.toBe(second[0]?.traceId)
  })

  it('has the stamps of the record, and who, what and how it ended', async () => {
    await using traced = await startTraced()
    const { service, collector } = traced

    const id = await runWith(service.me, {}, [service.fetch('/ok/a', { method: 'PUT' })])
    const spans = await spansOf(collector, id, 4)
    const view = await service.me.batch(id)
    const job = await service.me.job(`${id}-0`)

    const at = (ms: number) => new Date(ms).toISOString()
    const [batch, own, attempt] = [only(spans, 'batch'), only(spans, 'job'), only(spans, 'attempt fetch')]
    expect([at(batch.start), at(batch.end)]).toEqual([view.acceptedAt, view.drainedAt])
    expect([at(own.start), at(own.end)]).toEqual([job.acceptedAt, job.finishedAt])
    expect(at(attempt.start)).toBe(job.startedAt)
    expect(only(spans, 'POST /v1/batches').attributes).toEqual({
      'http.request.method': 'POST',
      'http.route': '/v1/batches',
      'url.path': '/v1/batches',
      'url.scheme': 'http',
      'http.response.status_code': 202,
      'gatherd.batch.id': id,
      'gatherd.tenant.id': 'acme',
    })
    expect(batch.attributes).toEqual({
      'gatherd.tenant.id': 'acme',
      'gatherd.batch.id': id,
      'gatherd.batch.policy': 'all_settled',
      'gatherd.batch.state': 'succeeded',
      'gatherd.batch.jobs': 1,
      'gatherd.batch.jobs.succeeded': 1,
      'gatherd.batch.jobs.failed': 0,
      'gatherd.batch.jobs.timed_out': 0,
      'gatherd.batch.jobs.cancelled': 0,
    })
    const ofJob = { 'gatherd.tenant.id': 'acme', 'gatherd.batch.id': id, 'gatherd.job.id': `${id}-0` }
    expect(own.attributes).toEqual({
      ...ofJob,
      'gatherd.job.index': 0,
      'gatherd.job.state': 'succeeded',
      'gatherd.job.attempts': 1,
    })
    expect(attempt.attributes).toEqual({
      ...ofJob,
      'gatherd.job.kind': 'fetch',
      'gatherd.attempt': 1,
      'http.request.method': 'PUT',
      'http.response.status_code': 200,
    })
    expect(spans.map(({ status }) => status)).toEqual([0, 0, 0, 0])
    expect(batch.resource).toMatchObject({ 'service.name': 'gatherd', 'service.version': '1.2.3' })
  })

  it('says what failed by its code, and what ran out of time, and not what was cancelled', async () => {
    await using traced = await startTraced()
    const { service, collector } = traced
    const jobs = [service.fetch('/fail/a'), forever({ timeoutMs: 1 }), forever({ queueTimeoutMs: 60_000 })]

    const { body } = await service.me.http.post('/v1/batches').send({ jobs, policy: 'all_settled' }).expect(202)
    service.me.track(body.id, jobs)
    await service.me.seen(body.id, 'job.started', 2)
    await service.me.cancelJob(`${body.id}-2`, { reason: 'canary' })
    await service.me.drained(body.id)
    const spans = await spansOf(collector, body.id, 8)

    const facts = (name: string) =>
      byName(spans, name)
        .map(({ status, attributes }) => [attributes['error.type'], status, attributes['gatherd.cause']])
        .toSorted((a, b) => String(a[0]).localeCompare(String(b[0])))
    expect(facts('job')).toEqual([
      ['http_status', ERROR, undefined],
      ['timeout', ERROR, 'timeout'],
      [undefined, 0, 'user'],
    ])
    expect(facts('attempt fetch')).toEqual([['http_status', ERROR, undefined]])
    expect(only(spans, 'attempt fetch').attributes['http.response.status_code']).toBe(500)
    expect(facts('attempt sleep')).toEqual([
      ['timeout', ERROR, 'timeout'],
      [undefined, 0, 'user'],
    ])
    const events = byName(spans, 'job').flatMap((span) =>
      span.events.map(({ name, attributes }) => [name, attributes['gatherd.cause']]),
    )
    expect(events.toSorted()).toEqual([
      ['job.cancelling', 'timeout'],
      ['job.cancelling', 'user'],
    ])
  })

  it('says why it aborted, and counts the jobs that never started instead of a span for each', async () => {
    await using traced = await startTraced()
    const { service, collector } = traced
    const jobs = [service.fetch('/fail/b'), ...Array.from({ length: 50 }, () => forever())]

    const id = await runWith(service.me, {}, jobs, { policy: 'task_group', maxConcurrency: 1 })
    const spans = await spansOf(collector, id, 4)

    const batch = only(spans, 'batch')
    expect(spans.map(({ name }) => name).toSorted()).toEqual(['POST /v1/batches', 'attempt fetch', 'batch', 'job'])
    expect(batch.status).toBe(ERROR)
    expect(batch.attributes).toMatchObject({ 'error.type': 'exception_group', 'gatherd.batch.jobs.cancelled': 50 })
    expect(batch.events.map(({ name, attributes }) => ({ name, ...attributes }))).toEqual([
      { name: 'batch.aborting', 'gatherd.cause': 'sibling_failed' },
      { name: 'job.cancelled', 'gatherd.cause': 'sibling_failed', 'gatherd.batch.jobs': 50 },
      { name: 'batch.settled' },
    ])
  })

  it('has a submission that is refused, too', async () => {
    await using traced = await startTraced()
    const { service, collector } = traced

    await service.me.http
      .post('/v1/batches')
      .send({ jobs: [{ kind: 'fetch', url: 'canary' }] })
      .expect(422)
    await service.anonymous.post('/v1/batches').send({ jobs: [] }).expect(401)
    const spans = await collector.until((all) => all.length >= 2)

    expect(spans.map(({ attributes, status }) => [attributes['http.response.status_code'], status])).toEqual([
      [422, 0],
      [401, 0],
    ])
    expect(spans.map(({ attributes }) => attributes['gatherd.tenant.id'])).toEqual(['acme', undefined])
  })
})

describe('a traced fetch', () => {
  it('carries the span of its attempt, unless the job sets its own', async () => {
    await using traced = await startTraced()
    const { service, collector } = traced
    const own = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-00`

    const id = await runWith(service.me, { traceparent: TRACEPARENT }, [
      service.fetch('/ok/traced'),
      service.fetch('/ok/own', { headers: { TraceParent: own } }),
    ])
    const spans = await spansOf(collector, id, 6)

    const sent = (path: string) => service.origin.hits.find((hit) => hit.path === path)?.headers.traceparent
    const attempt = byName(spans, 'attempt fetch').find(({ attributes }) => attributes['gatherd.job.id'] === `${id}-0`)
    expect(sent('/ok/traced')).toBe(`00-${TRACE}-${attempt?.spanId}-01`)
    expect(sent('/ok/own')).toBe(own)
  })

  it('goes on below a caller whose trace is not kept, and nothing of it is sent', async () => {
    await using traced = await startTraced()
    const { service, collector } = traced

    await runWith(service.me, { traceparent: TRACEPARENT.replace(/01$/, '00') }, [service.fetch('/ok/quiet')])
    const kept = await runWith(service.me, {}, [sleepFor(0)])
    await spansOf(collector, kept, 4)

    const { traceparent } = service.origin.hits.find(({ path }) => path === '/ok/quiet')?.headers ?? {}
    expect(traceparent).toMatch(new RegExp(`^00-${TRACE}-[0-9a-f]{16}-00$`))
    expect(collector.spans.some(({ traceId }) => traceId === TRACE)).toBe(false)
  })
})

describe('the start of traces', () => {
  it('is in the log with where they go', async () => {
    await using traced = await startTraced()

    expect(traced.said).toEqual([{ endpoint: traced.collector.url, message: 'traces are made' }])
  })

  it('is none where nothing could be sent, and that is in the log with the variable', async () => {
    await using traced = await startTraced({ env: { OTEL_EXPORTER_OTLP_ENDPOINT: 'localhost:4318' } })

    expect([traced.traces, traced.said]).toEqual([undefined, []])
    expect(traced.warned).toEqual([
      {
        name: 'OTEL_EXPORTER_OTLP_ENDPOINT',
        reason: expect.stringContaining('http://'),
        message: 'a setting of traces cannot be used',
      },
    ])
  })
})

describe('a collector', () => {
  /** Too short for a second try. */
  const SHORT = { OTEL_EXPORTER_OTLP_TIMEOUT: '300' }
  const lossOf = (service: TestService) => service.me.run({ jobs: [sleepFor(0)] })

  it('that refuses is no trouble to anybody, and is in the log once in a while', async () => {
    await using traced = await startTraced()
    traced.collector.mood = 'refuse'

    for (let i = 1; i <= 3; i++) {
      await lossOf(traced.service)
      await traced.collector.asked(i)
    }
    traced.collector.mood = 'take'
    await lossOf(traced.service)
    await traced.collector.until((spans) => spans.length > 0)

    expect(traced.warned).toEqual([
      {
        count: expect.any(Number),
        reason: expect.stringContaining('400'),
        message: 'traces were lost, the service goes on',
      },
    ])
  })

  it('that never answers keeps nobody waiting, and the close no longer than it is given', async () => {
    await using traced = await startTraced({ env: SHORT })
    traced.collector.mood = 'hang'

    const { batch } = await lossOf(traced.service)
    await traced.collector.asked(1)
    await traced.traces?.close(50)

    expect(batch.state).toBe('succeeded')
  })

  it('that is not there is no more trouble', async () => {
    await using traced = await startTraced({ env: { ...SHORT, OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' } })

    const { batch } = await lossOf(traced.service)
    await traced.traces?.close(5_000)

    expect(batch.state).toBe('succeeded')
    const lines = traced.warned as { count: number; reason: string; message: string }[] // What the logger was given.
    expect(lines.length).toBeLessThanOrEqual(2)
    // At the first, and at the close those after it: the submission, the batch, the job and its attempt.
    expect(lines.reduce((sum, { count }) => sum + count, 0)).toBeGreaterThanOrEqual(4)
    for (const { reason, message } of lines)
      expect([reason, message]).toEqual([
        expect.stringContaining('ECONNREFUSED'),
        'traces were lost, the service goes on',
      ])
  })

  it('that is too slow for all spans gets as many as were kept, and the rest is counted', async () => {
    await using traced = await startTraced({
      env: { ...SHORT, OTEL_BSP_MAX_QUEUE_SIZE: '5', OTEL_BSP_SCHEDULE_DELAY: '60000' },
    })
    traced.collector.mood = 'hang'

    await traced.service.me.run({ jobs: Array.from({ length: 20 }, () => sleepFor(0)) })

    expect(traced.warned).toEqual([
      { count: 1, reason: 'more spans ended than could be sent', message: expect.any(String) },
    ])
  })

  it('gets what is left when the service closes', async () => {
    await using traced = await startTraced({ env: { OTEL_BSP_SCHEDULE_DELAY: '60000' } })

    await traced.service.me.run({ jobs: [sleepFor(0)] })
    expect(traced.collector.spans).toEqual([])
    await traced.traces?.close(5_000)
    await traced.traces?.close(5_000)

    expect(traced.collector.spans.map(({ name }) => name).toSorted()).toEqual([
      'POST /v1/batches',
      'attempt sleep',
      'batch',
      'job',
    ])
  })

  it('is told of the service what the standard variables say, with the headers that they say', async () => {
    await using traced = await startTraced({
      env: {
        OTEL_SERVICE_NAME: 'fetcher',
        OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
        OTEL_EXPORTER_OTLP_HEADERS: 'x-team=a',
      },
    })

    await traced.service.me.run({ jobs: [] })
    const [span] = await traced.collector.until((spans) => spans.length > 0)

    expect(span?.resource).toMatchObject({ 'service.name': 'fetcher', 'deployment.environment.name': 'test' })
    expect(traced.collector.heads[0]).toMatchObject({
      url: '/v1/traces',
      headers: { 'x-team': 'a', 'content-type': 'application/x-protobuf' },
    })
  })

  it.each([
    ['always_off', undefined, 0],
    ['traceidratio', '0', 0],
    ['parentbased_always_off', undefined, 0],
    ['always_on', undefined, 4],
  ])('gets what the sampler %s %s keeps', async (sampler, argument, count) => {
    const env = { OTEL_TRACES_SAMPLER: sampler, ...(argument && { OTEL_TRACES_SAMPLER_ARG: argument }) }
    await using traced = await startTraced({ env })

    await traced.service.me.run({ jobs: [sleepFor(0)] })
    await traced.traces?.close(5_000)

    expect(traced.collector.spans).toHaveLength(count)
  })
})
