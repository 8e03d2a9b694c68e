import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import * as errors from '../../src/errors.ts'
import { BatchPage, BatchView, BatchWithJobs } from '../../src/schema/views.ts'
import { startFake } from '../support/fake-parts.ts'
import { readUntil } from '../support/raw.ts'

const SLEEP = { kind: 'sleep', durationMs: 1 }
const BATCH = { jobs: [SLEEP, { ...SLEEP, name: 'second' }, SLEEP] }

describe('POST /v1/batches', () => {
  it('answers 202 with Location and the batch, at once', async () => {
    await using service = await startFake()

    const response = await service.http.post('/v1/batches').send(BATCH)

    expect(response.status).toBe(202)
    expect(response.headers.location).toBe('/v1/batches/batch-1')
    expect(response.headers).not.toHaveProperty('preference-applied')
    expect(BatchView.parse(response.body)).toMatchObject({ id: 'batch-1', counts: { total: 3 } })
    expect(service.engine.called('untilSettled')).toEqual([])
  })

  it('hands the engine the tenant of the key and the batch, and its traceparent when it is one', async () => {
    await using service = await startFake()
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

    await service.http.post('/v1/batches').set('traceparent', traceparent).send(BATCH)
    await service.http.post('/v1/batches').set('traceparent', 'nonsense').send(BATCH)

    const [first, second] = service.engine.called('submit')
    expect(first).toEqual(['submit', 'default', expect.objectContaining({ policy: 'all_settled', traceparent })])
    expect(second?.[2]).not.toHaveProperty('traceparent')
  })

  it('points at the job that is wrong', async () => {
    await using service = await startFake()

    const response = await service.http.post('/v1/batches').send({ jobs: [SLEEP, { kind: 'fetch', url: 3 }] })

    expect(response.status).toBe(422)
    expect(response.body).toMatchObject({
      code: 'invalid_argument',
      errors: [{ pointer: '/jobs/1/url', detail: 'Must be a string.' }],
    })
    expect(service.engine.calls).toEqual([])
  })

  it("holds a batch to the limits of the caller's tenant", async () => {
    await using service = await startFake()
    service.engine.limits = { ...service.engine.limits, maxBatchJobs: 2 }

    const response = await service.http.post('/v1/batches').send(BATCH)

    expect(response.status).toBe(413)
    expect(response.body.code).toBe('batch_too_large')
  })

  it.each<[Error, number, string, string | undefined]>([
    [new errors.BatchTooLargeError(3, 'the limit'), 413, 'batch_too_large', undefined],
    [new errors.QueueFullError(3), 429, 'queue_full', '1'],
    [new errors.ShuttingDownError(), 503, 'shutting_down', '5'],
    [new errors.OverloadedError(), 503, 'overloaded', '2'],
  ])('answers %o of the engine', async (error, status, code, retryAfter) => {
    await using service = await startFake()
    service.engine.failNext = error

    const response = await service.http.post('/v1/batches').send(BATCH)

    expect([response.status, response.body.code, response.headers['retry-after']]).toEqual([status, code, retryAfter])
  })

  it.each([['/v1/batches?wait=3'], ['/v1/batches?x']])('refuses the query of %s', async (path) => {
    await using service = await startFake()

    const response = await service.http.post(path).send(BATCH)

    expect(response.status).toBe(422)
    expect(response.body.errors[0].pointer).toMatch(/^\/query\//)
  })

  describe('with Prefer: wait', () => {
    it('answers 200 with the jobs when the batch settles in time', async () => {
      await using service = await startFake()

      const answer = service.http.post('/v1/batches').set('prefer', 'wait=10').send(BATCH)
      const done = answer.then((response) => response)
      await vi.waitUntil(() => service.engine.called('untilSettled').length === 1)
      service.engine.settle('batch-1')
      const response = await done

      expect(response.status).toBe(200)
      expect(response.headers).toMatchObject({ 'preference-applied': 'wait=10', location: '/v1/batches/batch-1' })
      expect(BatchWithJobs.parse(response.body).jobs?.map(({ name }) => name)).toEqual(['job-0', 'second', 'job-2'])
    })

    it('answers 202 without the jobs when it does not', async () => {
      await using service = await startFake()

      const response = await service.http.post('/v1/batches').set('prefer', 'wait=0').send(BATCH)

      expect(response.status).toBe(202)
      expect(response.headers['preference-applied']).toBe('wait=0')
      expect(response.body).not.toHaveProperty('jobs')
    })

    it('waits no longer than the service allows, and says so', async () => {
      await using service = await startFake({ env: { GATHERD_MAX_WAIT_MS: '0' } })

      const response = await service.http.post('/v1/batches').set('prefer', 'respond-async, wait=999').send(BATCH)

      expect(response.headers['preference-applied']).toBe('wait=0')
      expect(service.engine.called('untilSettled')[0]?.[3]).toBe(0)
    })

    it('lets the batch go on when the caller hangs up', async () => {
      await using service = await startFake()
      const hangUp = new AbortController()
      const answer = fetch(`${service.origin}/v1/batches`, {
        method: 'POST',
        headers: { authorization: `Bearer ${service.key}`, 'content-type': 'application/json', prefer: 'wait=30' },
        body: JSON.stringify(BATCH),
        signal: hangUp.signal,
      })
      await vi.waitUntil(() => service.engine.called('untilSettled').length === 1)

      hangUp.abort()

      await expect(answer).rejects.toThrow()
      const batch = service.engine.batchesById.get('batch-1')
      expect(batch?.view.state).toBe('running')
      expect(service.engine.called('cancel')).toEqual([])
    })
  })

  describe('with Accept of a stream', () => {
    it('streams the events from the start, with Location', async () => {
      await using service = await startFake()

      const answer = service.http.post('/v1/batches').set('accept', 'application/x-ndjson').send(BATCH).buffer(true)
      const done = answer.then((response) => response)
      await vi.waitUntil(() => service.engine.openStreams === 1)
      service.engine.settle('batch-1')
      const response = await done

      expect(response.status).toBe(200)
      expect(response.headers).toMatchObject({
        'content-type': 'application/x-ndjson; charset=utf-8',
        location: '/v1/batches/batch-1',
      })
      const types = response.text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).type)
      expect(types).toEqual(['batch.accepted', 'batch.settled', 'batch.drained'])
    })

    it('streams server-sent events likewise, and cancels nothing when the caller hangs up', async () => {
      await using service = await startFake()
      const hangUp = new AbortController()
      const response = await fetch(`${service.origin}/v1/batches`, {
        method: 'POST',
        headers: {
          authorization: `Bearer ${service.key}`,
          'content-type': 'application/json',
          accept: 'text/event-stream',
        },
        body: JSON.stringify(BATCH),
        signal: hangUp.signal,
      })
      const reader = response.body?.getReader()
      if (!reader) throw new Error('no body')
      const text = await readUntil(reader, 'batch.accepted')

      hangUp.abort()
      await vi.waitUntil(() => service.engine.openStreams === 0)

      expect(text).toContain('retry: ')
      expect(text).toContain('id: 1\nevent: batch.accepted\ndata: {')
      expect(service.engine.batchesById.get('batch-1')?.view.state).toBe('running')
    })

    it('accepts nothing when the caller can read none of the answers', async () => {
      await using service = await startFake()

      const response = await service.http.post('/v1/batches').set('accept', 'image/png').send(BATCH)

      expect([response.status, response.body.code]).toEqual([406, 'not_acceptable'])
      expect(service.engine.calls).toEqual([])
    })
  })

  it('never answers a body with a 5xx', async () => {
    await using service = await startFake()
    const job = fc.record(
      { kind: fc.constantFrom('sleep', 'fetch', 'x'), durationMs: fc.jsonValue() },
      { requiredKeys: [] },
    )
    const body = fc.record(
      { jobs: fc.oneof(fc.array(job), fc.jsonValue()), policy: fc.jsonValue(), labels: fc.jsonValue() },
      { requiredKeys: [] },
    )

    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.json(),
          fc.string(),
          body.map((value) => JSON.stringify(value)),
        ),
        async (text) => {
          const response = await service.http.post('/v1/batches').set('content-type', 'application/json').send(text)

          expect(response.status).toBeLessThan(500)
          expect([202, 400, 422]).toContain(response.status)
        },
      ),
      { numRuns: 200 },
    )
  }, 30_000)
})

describe('GET /v1/batches', () => {
  it('gives a page and a link to the next', async () => {
    await using service = await startFake()
    for (let count = 0; count < 3; count += 1) await service.http.post('/v1/batches').send(BATCH)

    const response = await service.http.get('/v1/batches?limit=2&state=running')

    expect(BatchPage.parse(response.body)).toMatchObject({
      data: [{ id: 'batch-1' }, { id: 'batch-2' }],
      nextCursor: 'c2',
    })
    expect(response.headers.link).toBe('</v1/batches?limit=2&state=running&cursor=c2>; rel="next"')
  })

  it('has no link on the last page', async () => {
    await using service = await startFake()

    const response = await service.http.get('/v1/batches')

    expect(response.body).toEqual({ data: [], nextCursor: null })
    expect(response.headers).not.toHaveProperty('link')
  })

  it('hands the filters on as the engine takes them', async () => {
    await using service = await startFake()

    await service.http.get('/v1/batches?state=failed&label.run=42&label.a%2Fb=c%20d&limit=1000&cursor=123')
    await service.http.get('/v1/batches')

    expect(service.engine.called('batches')).toEqual([
      ['batches', 'default', { state: 'failed', labels: { run: '42', 'a/b': 'c d' }, limit: 1_000, cursor: '123' }],
      ['batches', 'default', { labels: {}, limit: 100 }],
    ])
  })

  it.each([
    ['limit=0', '/query/limit'],
    ['limit=1001', '/query/limit'],
    ['limit=1.5', '/query/limit'],
    ['limit=', '/query/limit'],
    ['limit=1&limit=2', '/query/limit'],
    ['state=asleep', '/query/state'],
    ['cursor=', '/query/cursor'],
    ['labels=x', '/query/labels'],
    ['label.=x', '/query/label.'],
    ['label.a%20b=x', '/query/label.a b'],
    ['nope=1', '/query/nope'],
    ['__proto__=1', '/query/__proto__'],
  ])('refuses %s', async (query, pointer) => {
    await using service = await startFake()

    const response = await service.http.get(`/v1/batches?${query}`)

    expect(response.status).toBe(422)
    expect(response.body.errors.map((error: { pointer: string }) => error.pointer)).toContain(pointer)
  })

  it('refuses a forged cursor as the engine does', async () => {
    await using service = await startFake()
    service.engine.failNext = new errors.InvalidArgumentError([
      { pointer: '/query/cursor', detail: 'Was not made here.' },
    ])

    const response = await service.http.get('/v1/batches?cursor=forged')

    expect([response.status, response.body.code]).toEqual([422, 'invalid_argument'])
  })

  it('never answers a query with a 5xx', async () => {
    await using service = await startFake()

    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.string(), fc.string()), { maxLength: 4 }), async (pairs) => {
        const query = pairs.map(([name, value]) => `${encode(name)}=${encode(value)}`).join('&')

        const response = await service.http.get(`/v1/batches?${query}`)

        expect(response.status).toBeLessThan(500)
      }),
      { numRuns: 200 },
    )
  }, 30_000)
})

/** Percent-encodes every character that is not a letter or digit, also what is not well-formed. */
function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed())
}

describe('GET /v1/batches/{batchId}', () => {
  it('gives the batch, without its jobs', async () => {
    await using service = await startFake()
    await service.http.post('/v1/batches').send(BATCH)

    const response = await service.http.get('/v1/batches/batch-1')

    expect(response.status).toBe(200)
    expect(BatchView.parse(response.body).id).toBe('batch-1')
  })

  it('gives the jobs as well when they are asked for', async () => {
    await using service = await startFake()
    await service.http.post('/v1/batches').send(BATCH)

    const response = await service.http.get('/v1/batches/batch-1?include=jobs')

    expect(BatchWithJobs.parse(response.body).jobs).toHaveLength(3)
  })

  it('refuses to include anything else', async () => {
    await using service = await startFake()

    const response = await service.http.get('/v1/batches/batch-1?include=everything')

    expect(response.body.errors).toEqual([{ pointer: '/query/include', detail: 'Must be "jobs".' }])
  })

  it('holds until the batch has settled when that is preferred', async () => {
    await using service = await startFake()
    await service.http.post('/v1/batches').send(BATCH)

    const answer = service.http.get('/v1/batches/batch-1').set('prefer', 'wait=10')
    const done = answer.then((response) => response)
    await vi.waitUntil(() => service.engine.called('untilSettled').length === 1)
    service.engine.settle('batch-1')
    const response = await done

    expect(response.headers['preference-applied']).toBe('wait=10')
    expect(response.body.state).toBe('succeeded')
  })

  it.each([[''], ['?include=jobs']])('saves reading what has not changed (%s)', async (query) => {
    await using service = await startFake()
    await service.http.post('/v1/batches').send(BATCH)
    const first = await service.http.get(`/v1/batches/batch-1${query}`)

    const etag = first.headers.etag ?? ''
    const same = await service.http.get(`/v1/batches/batch-1${query}`).set('if-none-match', `"other", ${etag}`)
    const star = await service.http.get(`/v1/batches/batch-1${query}`).set('if-none-match', '*')
    service.engine.settle('batch-1')
    const changed = await service.http.get(`/v1/batches/batch-1${query}`).set('if-none-match', etag)

    expect([same.status, same.text, same.headers.etag]).toEqual([304, '', etag])
    expect(star.status).toBe(304)
    expect(changed.status).toBe(200)
    expect(changed.headers.etag).not.toBe(etag)
  })

  it('does not mix up the batch with and without its jobs', async () => {
    await using service = await startFake()
    await service.http.post('/v1/batches').send(BATCH)
    const { headers } = await service.http.get('/v1/batches/batch-1')

    const response = await service.http.get('/v1/batches/batch-1?include=jobs').set('if-none-match', headers.etag ?? '')

    expect(response.status).toBe(200)
  })

  it("answers alike for another tenant's id, a malformed one and an unknown one", async () => {
    await using service = await startFake()
    await service.http.post('/v1/batches').send(BATCH)
    const { text } = await service.keys.create({ tenantId: 'other' })
    const ids = ['batch-1', 'batch-99', '%00', '%zz', '..', 'a'.repeat(3_000), '0198c1d2-0000-7000-8000-000000000000']

    const answers = await Promise.all(
      ids.map((id) => service.anybody.get(`/v1/batches/${id}`).set('authorization', `Bearer ${text}`)),
    )

    const bodies = answers.map(({ status, body }) => ({ status, ...body, instance: '' }))
    for (const body of bodies) expect(body).toEqual({ ...bodies[0], status: 404 })
  })
})

describe('the body of POST /v1/batches', () => {
  it.each([
    ['a coding', { 'content-encoding': 'gzip' }],
    ['another charset', { 'content-type': 'application/json; charset=utf-16' }],
    ['a charset in quotes', { 'content-type': 'application/json; charset="latin1"' }],
  ])('is refused with %s, and nothing is accepted', async (_what, headers) => {
    await using service = await startFake()

    const all = { 'content-type': 'application/json', ...headers }
    const response = await service.http.post('/v1/batches').set(all).send('{"jobs":[]}')

    expect([response.status, response.body.code]).toEqual([415, 'unsupported_media_type'])
    expect(service.engine.calls).toEqual([])
  })

  it.each(['application/json; charset=UTF-8', 'application/json;charset="utf8"'])('is taken as %s', async (type) => {
    await using service = await startFake()

    const response = await service.http
      .post('/v1/batches')
      .set({ 'content-type': type, 'content-encoding': 'identity' })
      .send('{"jobs":[]}')

    expect(response.status).toBe(202)
  })
})
