import { describe, expect, it } from 'vitest'
import { type Caller, forever, sleepFor, startService } from '../support/service.ts'

const UUID_OF_NOBODY = '0190a000-0000-7000-8000-000000000000'
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/
const range = (length: number) => Array.from({ length }, (_, i) => i)

/** Every route of a tenant that takes an id. */
const BY_ID: readonly [
  method: 'get' | 'post' | 'patch',
  path: (batchId: string, jobId: string) => string,
  body?: object,
][] = [
  ['get', (id) => `/v1/batches/${id}`],
  ['get', (id) => `/v1/batches/${id}?include=jobs`],
  ['get', (id) => `/v1/batches/${id}/jobs`],
  ['get', (id) => `/v1/batches/${id}/wait?timeoutMs=0`],
  ['get', (id) => `/v1/batches/${id}/events?timeoutMs=0`],
  ['post', (id) => `/v1/batches/${id}/jobs`, { jobs: [sleepFor(0)] }],
  ['post', (id) => `/v1/batches/${id}/close`],
  ['post', (id) => `/v1/batches/${id}/stop`],
  ['post', (id) => `/v1/batches/${id}/cancel`, { reason: 'x' }],
  ['get', (_, id) => `/v1/jobs/${id}`],
  ['post', (_, id) => `/v1/jobs/${id}/cancel`],
  ['patch', (_, id) => `/v1/jobs/${id}`, { priority: 1 }],
]

describe('POST /v1/batches', () => {
  it('answers 202 with the batch and where to read it', async () => {
    await using service = await startService()

    const response = await service.me.http.post('/v1/batches').send({
      policy: 'quorum',
      n: 1,
      name: 'my batch',
      labels: { run: '42' },
      timeoutMs: 60_000,
      maxConcurrency: 3,
      context: { a: 'b' },
      jobs: [forever(), forever({ name: 'second' })],
    })
    service.me.track(response.body.id)

    const { id } = response.body
    expect([response.status, response.headers.location]).toEqual([202, `/v1/batches/${id}`])
    expect(response.headers).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'no-store',
    })
    expect(response.body).toEqual({
      id: expect.any(String),
      policy: 'quorum',
      state: 'running',
      name: 'my batch',
      labels: { run: '42' },
      open: false,
      n: 1,
      hedgeDelayMs: null,
      timeoutMs: 60_000,
      maxConcurrency: 3,
      context: { a: 'b' },
      counts: { total: 2, queued: 2, running: 0, cancelling: 0, succeeded: 0, failed: 0, timed_out: 0, cancelled: 0 },
      acceptedAt: expect.stringMatching(ISO),
      settledAt: null,
      drainedAt: null,
      seq: 3,
      winner: null,
      error: null,
      cancel: null,
      links: {
        self: `/v1/batches/${id}`,
        jobs: `/v1/batches/${id}/jobs`,
        events: `/v1/batches/${id}/events`,
        cancel: `/v1/batches/${id}/cancel`,
      },
    })
    expect((await service.me.job(`${id}-1`)).name).toBe('second')
  })

  it('takes what defaults a job leaves out', async () => {
    await using service = await startService()

    const { jobs } = await service.me.run({
      defaults: { timeoutMs: 0 },
      jobs: [sleepFor(0), sleepFor(0, { timeoutMs: 5_000 })],
    })

    expect(jobs.map(({ state }) => state)).toEqual(['timed_out', 'succeeded'])
  })
})

describe('GET /v1/batches', () => {
  it('lists newest first, a page at a time, each once, though new ones come in', async () => {
    await using service = await startService()
    const ids: string[] = []
    for (const i of range(7)) ids.push((await service.me.submit({ name: `${i}`, jobs: [] })).id)

    const seen: string[] = []
    let url = '/v1/batches?limit=3'
    for (const page of [3, 3, 1]) {
      const { body, headers } = await service.me.http.get(url).expect(200)
      expect(body.data.length).toBe(page)
      seen.push(...body.data.map(({ id }: { id: string }) => id))
      url = /^<([^>]+)>; rel="next"$/.exec(headers.link ?? '')?.[1] ?? ''
      expect(url === '').toBe(body.nextCursor === null)
      await service.me.submit({ jobs: [] })
    }

    expect(seen).toEqual(ids.toReversed())
  })

  it('filters by state and by labels, all of which must be there', async () => {
    await using service = await startService()
    const { me } = service
    const a = await me.submit({ labels: { run: '1', env: 'prod' }, jobs: [] })
    const b = await me.submit({ labels: { run: '1', 'a.b/c-d_e': 'é &=' }, jobs: [forever()] })
    const c = await me.submit({ labels: { run: '2', env: 'prod' }, jobs: [service.fetch('/fail')], policy: 'gather' })
    await me.drained(a.id)
    await me.drained(c.id)
    const list = async (query: object) =>
      (await me.http.get('/v1/batches').query(query).expect(200)).body.data.map(({ id }: { id: string }) => id)

    expect(await list({ 'label.run': '1' })).toEqual([b.id, a.id])
    expect(await list({ 'label.run': '1', 'label.env': 'prod' })).toEqual([a.id])
    expect(await list({ 'label.a.b/c-d_e': 'é &=' })).toEqual([b.id])
    expect(await list({ 'label.run': '3' })).toEqual([])
    expect(await list({ 'label.none': '' })).toEqual([])
    expect(await list({ state: 'running' })).toEqual([b.id])
    expect(await list({ state: 'failed', 'label.env': 'prod' })).toEqual([c.id])
    expect(await list({ state: 'succeeded' })).toEqual([a.id])
  })

  it('refuses a wrong query by pointer', async () => {
    await using service = await startService()
    const cases: [query: string, pointer: string][] = [
      ['limit=0', '/query/limit'],
      ['limit=1001', '/query/limit'],
      ['limit=x', '/query/limit'],
      ['limit=1&limit=2', '/query/limit'],
      ['state=done', '/query/state'],
      ['label.=x', '/query/label.'],
      ['unknown=1', '/query/unknown'],
    ]

    for (const [query, pointer] of cases) {
      const { status, body } = await service.me.http.get(`/v1/batches?${query}`)
      expect([query, status, body.code, body.errors?.[0]?.pointer]).toEqual([query, 422, 'invalid_argument', pointer])
    }
  })

  it("shows nobody else's", async () => {
    await using service = await startService({ tenants: { other: {} } })
    await service.me.submit({ labels: { a: 'b' }, jobs: [] })

    const { body } = await service.as('other').http.get('/v1/batches?label.a=b')

    expect(body).toEqual({ data: [], nextCursor: null })
  })
})

describe('a cursor', () => {
  it('is refused when it is forged, or belongs to other filters, another list or another tenant', async () => {
    await using service = await startService({ tenants: { other: {} } })
    const { me } = service
    const { id } = await me.submit({ jobs: [sleepFor(0), sleepFor(0), sleepFor(0)] })
    const { id: second } = await me.submit({ jobs: [sleepFor(0), sleepFor(0)] })
    await me.drained(id)
    await me.drained(second)
    const cursorOf = async (path: string) => (await me.http.get(path)).body.nextCursor as string
    const list = await cursorOf('/v1/batches?limit=1')
    const jobs = await cursorOf(`/v1/batches/${id}/jobs?limit=1`)
    const done = await cursorOf(`/v1/batches/${id}/jobs?limit=1&order=completion`)
    const [digits = '', signature = ''] = list.split('.')
    const forged: [Caller, string, string][] = [
      [me, '/v1/batches', 'x'],
      [me, '/v1/batches', '.'],
      [me, '/v1/batches', digits],
      [me, '/v1/batches', `${digits}0.${signature}`],
      [me, '/v1/batches', `${digits}.${signature.slice(0, -1)}`],
      [me, '/v1/batches', `${digits}.${'A'.repeat(signature.length)}`],
      [me, '/v1/batches', `${list}.x`],
      [me, '/v1/batches', `${digits}%.${signature}`],
      [me, '/v1/batches', ` ${list}`],
      [me, '/v1/batches?state=succeeded', list],
      [me, '/v1/batches?label.a=b', list],
      [service.as('other'), '/v1/batches', list],
      [me, `/v1/batches/${id}/jobs`, list],
      [me, '/v1/batches', jobs],
      [me, `/v1/batches/${id}/jobs?order=completion`, jobs],
      [me, `/v1/batches/${id}/jobs?state=succeeded`, jobs],
      [me, `/v1/batches/${id}/jobs`, done],
      [me, `/v1/batches/${second}/jobs`, jobs],
    ]

    for (const [caller, path, cursor] of forged) {
      const { status, body } = await caller.http.get(path).query({ cursor })
      expect([path, cursor, status, body.code]).toEqual([path, cursor, 422, 'invalid_argument'])
    }
    expect((await me.http.get('/v1/batches').query({ cursor: list, limit: 50 })).body.data.length).toBe(1)
    expect((await me.http.get(`/v1/batches/${id}/jobs`).query({ cursor: jobs })).body.data.length).toBe(2)
  })
})

describe('GET /v1/batches/{batchId}', () => {
  it('has a tag that changes with the batch, and answers 304 while it has not', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [service.fetch('/hold/a')] })
    await service.me.seen(id, 'job.started')
    const read = (tag?: string, query = '') => {
      const request = service.me.http.get(`/v1/batches/${id}${query}`)
      return tag === undefined ? request : request.set('if-none-match', tag)
    }

    const first = await read()
    const { etag = '' } = first.headers
    const same = await read(`"other", W/${etag}`)
    const any = await read('*')
    const other = await read('"other"')
    service.origin.release('/hold/a')
    await service.me.drained(id)
    const changed = await read(etag)
    const again = await read(changed.headers.etag)
    const withJobs = await read(undefined, '?include=jobs')
    const withJobsAgain = await read(withJobs.headers.etag, '?include=jobs')

    expect([same.status, same.text, same.headers.etag]).toEqual([304, '', etag])
    expect([any.status, other.status]).toEqual([304, 200])
    expect([changed.status, changed.headers.etag === etag]).toEqual([200, false])
    expect([again.status, withJobs.status, withJobsAgain.status]).toEqual([304, 200, 304])
    expect(withJobs.body.jobs.length).toBe(1)
    expect((await read(changed.headers.etag, '?include=jobs')).status).toBe(200)
  })

  it('held by Prefer answers with the tag of what it answers', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [sleepFor(20)] })
    const { headers } = await service.me.http.get(`/v1/batches/${id}`)

    const held = await service.me.http
      .get(`/v1/batches/${id}`)
      .set('prefer', 'wait=30')
      .set('if-none-match', headers.etag ?? '')

    expect([held.status, held.body.state]).toEqual([200, 'succeeded'])
  })
})

describe('GET /v1/jobs/{jobId}', () => {
  it('is the job as its batch lists it, and says what it waits on', async () => {
    await using service = await startService()
    const { batch, jobs } = await service.me.run({ jobs: [sleepFor(1, { name: 'a', result: [1] })] })

    expect(await service.me.job(`${batch.id}-0`)).toEqual({ ...jobs[0], waitingOn: null })
  })
})

describe('an id', () => {
  it('of another tenant, of nobody or of no form is not found, with the same answer on every route', async () => {
    await using service = await startService({ tenants: { other: {} } })
    const foreign = await service.as('other').submit({ jobs: [forever()] })
    const mine = await service.me.submit({ jobs: [forever()] })
    const ids: [string, string][] = [
      [foreign.id, `${foreign.id}-0`],
      [UUID_OF_NOBODY, `${UUID_OF_NOBODY}-0`],
      [mine.id.toUpperCase(), `${mine.id}-1`],
      [`${mine.id}0`, `${mine.id}-00`],
      ['x', 'x'],
      ['0', `${mine.id}-9999999999`],
      ["'; DROP TABLE batch; --", `${mine.id}`],
      ['%00', '%00'],
      ['%F0%9F%98%80', '%25'],
      ['a'.repeat(2_000), 'a'.repeat(2_000)],
    ]

    for (const [method, path, body] of BY_ID) {
      const answers = new Set<string>()
      for (const [batchId, jobId] of ids) {
        const request = service.me.http[method](encodeURI(path(batchId, jobId)).replaceAll('%25', '%'))
        const response = await (body === undefined ? request : request.send(body))
        const { instance, ...rest } = response.body
        expect(instance).toEqual(expect.any(String))
        const { date: _date, 'content-length': _length, ...headers } = response.headers
        answers.add(JSON.stringify({ status: response.status, rest, headers }))
      }
      expect([path('B', 'J'), answers.size]).toEqual([path('B', 'J'), 1])
      expect([...answers][0]).toContain('"status":404,"rest":{"type":"/problems/not_found"')
    }
    expect((await service.as('other').batch(foreign.id)).state).toBe('running')
    expect((await service.me.batch(mine.id)).state).toBe('running')
  })
})

describe('a request without a good key', () => {
  it('is unauthenticated on every route of a tenant, in the same way whatever is wrong', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [forever()] })
    const key = service.me.key
    const wrong = [
      undefined,
      '',
      'Bearer',
      'Bearer ',
      `Basic ${key}`,
      key,
      `Bearer ${key}x`,
      `Bearer ${key.slice(0, -1)}${key.endsWith('0') ? '1' : '0'}`,
      `Bearer gth_0123456789abcdef_${'A'.repeat(43)}_00000000`,
      `Bearer ${'x'.repeat(5_000)}`,
    ]
    const routes: typeof BY_ID = [
      ...BY_ID,
      ['get', () => '/v1/batches'],
      ['get', () => '/v1/tenant'],
      ['post', () => '/v1/batches', { jobs: [] }],
    ]

    for (const [method, path] of routes) {
      const { status, headers, body } = await service.anonymous[method](path(id, `${id}-0`))
      expect([path(id, id), status, body.code, headers['www-authenticate']]).toEqual([
        path(id, id),
        401,
        'unauthenticated',
        'Bearer',
      ])
    }
    for (const header of wrong) {
      const request = service.anonymous.get('/v1/tenant')
      const { status, body } = await (header === undefined ? request : request.set('authorization', header))
      expect([header, status, body.code]).toEqual([header, 401, 'unauthenticated'])
    }
    expect((await service.me.batch(id)).state).toBe('running')
  })

  it('with the operator’s key is forbidden on a route of a tenant, and a tenant’s on those of the operator', async () => {
    await using service = await startService()

    const admin = await service.admin.get('/v1/batches')
    const tenant = await service.me.http.get('/v1/admin/tenants')

    expect([admin.status, admin.body.code]).toEqual([403, 'forbidden'])
    expect([tenant.status, tenant.body.code]).toEqual([403, 'forbidden'])
  })
})

describe('a method or a path that does not exist', () => {
  it('is a problem as well, 405 with Allow on a known path', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [] })
    const wrong: ['delete' | 'put' | 'post' | 'get' | 'patch', string][] = [
      ['delete', '/v1/batches'],
      ['put', `/v1/batches/${id}`],
      ['post', `/v1/batches/${id}/events`],
      ['get', `/v1/batches/${id}/cancel`],
      ['delete', `/v1/jobs/${id}-0`],
      ['post', '/v1/tenant'],
      ['post', '/livez'],
    ]
    const unknown = [
      '/v1',
      '/v1/',
      '/v2/batches',
      '/v1/batches/',
      `/v1/batches/${id}/`,
      '/v1/batches/x/y/z',
      '/V1/batches',
      '//',
      '/%2e%2e',
    ]

    for (const [method, path] of wrong) {
      const { status, headers, body } = await service.me.http[method](path)
      expect([404, 405]).toContain(status)
      expect(headers['content-type']).toBe('application/problem+json; charset=utf-8')
      expect(body).toMatchObject({ status, code: status === 405 ? 'method_not_allowed' : 'not_found' })
      if (status === 405) expect(headers.allow?.length).toBeGreaterThan(0)
    }
    for (const path of unknown) {
      const { status, headers, body } = await service.me.http.get(path)
      expect([path, status, body.code]).toEqual([path, 404, 'not_found'])
      expect(headers['content-type']).toBe('application/problem+json; charset=utf-8')
    }
  })
})

describe('a caller that wants another media type', () => {
  it('is told 406 before anything is done', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [forever()] })
    const get = (path: string, accept: string) => service.me.http.get(path).set('accept', accept)

    for (const [path, accept] of [
      ['/v1/batches', 'text/html'],
      [`/v1/batches/${id}`, 'text/event-stream'],
      [`/v1/batches/${id}/events`, 'application/json'],
      [`/v1/batches/${id}/events`, 'text/event-stream;q=0, application/json'],
    ] as const) {
      const { status, body } = await get(path, accept)
      expect([path, accept, status, body.code]).toEqual([path, accept, 406, 'not_acceptable'])
    }
    const refused = await service.me.http
      .post('/v1/batches')
      .set('accept', 'image/png')
      .send({ jobs: [sleepFor(0)] })
    expect([refused.status, (await service.me.http.get('/v1/batches')).body.data.length]).toEqual([406, 1])
    for (const accept of ['*/*', 'application/*', 'text/html, application/json;q=0.1'])
      expect((await get('/v1/batches', accept)).status).toBe(200)
  })
})

describe('GET /v1/tenant', () => {
  it('shows what the caller may use and does use', async () => {
    await using service = await startService({
      tenants: { t: { maxConcurrency: 2, maxQueuedJobs: 50, maxBatchJobs: 20 } },
    })
    const t = service.as('t')
    const { id } = await t.submit({ jobs: range(5).map(() => forever()) })
    await t.seen(id, 'job.started', 1)

    const { body } = await t.http.get('/v1/tenant').expect(200)

    expect(body).toMatchObject({
      id: 't',
      limits: { maxConcurrency: 2, maxQueuedJobs: 50, maxBatchJobs: 20, weight: 1 },
      usage: { queued: 3, running: 2 },
    })
  })
})

describe('the routes of operations', () => {
  it('need no key', async () => {
    await using service = await startService()

    for (const path of ['/livez', '/readyz', '/openapi.json', '/openapi.yaml', '/docs/'])
      expect([path, (await service.anonymous.get(path)).status]).toEqual([path, 200])
    const { body } = await service.anonymous.get('/openapi.json')
    expect(body.openapi).toMatch(/^3\.1/)
    expect(Object.keys(body.paths)).toContain('/v1/batches/{batchId}/events')
  })
})

describe('the job lists of a batch', () => {
  it('are in completion order when asked, and filtered by state', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [service.fetch('/hold/a'), sleepFor(0), forever({ timeoutMs: 1 })] })
    await service.me.seen(id, 'job.timed_out', 2)
    await service.me.seen(id, 'job.succeeded', 1)
    const list = async (query: object) =>
      (await service.me.http.get(`/v1/batches/${id}/jobs`).query(query)).body.data.map(
        ({ index }: { index: number }) => index,
      )

    const live = await list({ order: 'completion' })
    expect(await list({ state: 'running' })).toEqual([0])
    service.origin.release('/hold/a')
    await service.me.drained(id)

    expect([live.toSorted(), await list({ order: 'completion' })]).toEqual([
      [1, 2],
      [...live, 0],
    ])
    expect([await list({}), await list({ state: 'succeeded' })]).toEqual([
      [0, 1, 2],
      [0, 1],
    ])
  })
})
