import type { FastifyInstance } from 'fastify'
import { describe, expect, it } from 'vitest'
import { newBatchId } from '../../src/ids.ts'
import { Caller, forever, sleepFor, startService, type TestService } from '../support/service.ts'

/** What anybody may call; all else needs a key. */
const PUBLIC = ['/', '/livez', '/readyz', '/openapi.json', '/openapi.yaml']

interface Route {
  method: string
  path: string
}

/** Every route that the app has, as Fastify's own tree of them says. */
function routesOf(app: FastifyInstance): Route[] {
  const parents: string[] = []
  return app
    .printRoutes({ commonPrefix: false })
    .split('\n')
    .flatMap((line) => {
      const [, indent, part = '', methods] = /^(.*?)[├└]── (\S+)(?: \(([^)]*)\))?$/.exec(line) ?? []
      if (indent === undefined) return []
      const depth = indent.length / 4
      parents.splice(depth)
      parents.push(part)
      const path = parents.join('').replaceAll(/\/+/g, '/')
      return (methods ?? '').split(', ').map((method) => ({ method, path }))
    })
}

const isPublic = ({ path }: Route) => PUBLIC.includes(path) || path.startsWith('/docs')

/** A body that a route would take. */
function bodyFor({ method, path }: Route): string | undefined {
  if (method === 'PATCH') return '{"priority":1}'
  if (method === 'POST' && path.endsWith('/jobs')) return JSON.stringify({ jobs: [sleepFor(0)] })
  return undefined
}

/** An answer without what may differ: its `instance` and the date. */
async function answerOf(response: Response): Promise<string> {
  const headers = [...response.headers].filter(([name]) => name !== 'date')
  const text = (await response.text()).replace(/"instance":"[^"]*"/, '"instance":"…"')
  return JSON.stringify([response.status, headers.toSorted(), text])
}

async function send(caller: Caller, route: Route, headers: Record<string, string> = {}): Promise<Response> {
  const { method, path } = route
  const body = bodyFor(route)
  const type: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' }
  const all = { authorization: `Bearer ${caller.key}`, ...type, ...headers }
  return await fetch(caller.url + path, { method, headers: all, body })
}

describe('every route', () => {
  it('wants a key, but for those that anybody may call', async () => {
    await using service = await startService()
    const routes = routesOf(service.inside.app)
    const keyed = routes.filter((route) => !isPublic(route))

    for (const route of keyed) {
      const path = route.path.replaceAll(/:\w+/g, 'x')
      const response = await fetch(service.url + path, { method: route.method, body: bodyFor(route) })
      expect([route, response.status, response.headers.get('www-authenticate')]).toEqual([route, 401, 'Bearer'])
      const text = await response.text()
      if (route.method !== 'HEAD') expect(JSON.parse(text).code).toBe('unauthenticated')
    }
    expect(keyed.map(({ method, path }) => `${method} ${path}`).sort()).toEqual(
      expect.arrayContaining([
        'DELETE /v1/admin/tenants/:tenantId',
        'DELETE /v1/admin/tenants/:tenantId/keys/:keyId',
        'GET /v1/batches/:batchId/events',
        'HEAD /v1/batches/:batchId',
        'PATCH /v1/jobs/:jobId',
        'POST /v1/batches/:batchId/jobs',
      ]),
    )
    expect(keyed.length).toBeGreaterThan(25)
  })

  it('that needs no key needs none', async () => {
    await using service = await startService()

    for (const route of routesOf(service.inside.app).filter(isPublic)) {
      const path = route.path.replace('*', 'index.css')
      const response = await fetch(service.url + path, { method: route.method, redirect: 'manual' })
      await response.arrayBuffer()
      expect([route, response.status]).toEqual([route, expect.toSatisfy((code: number) => code < 400 || code === 404)])
    }
  })

  it('is for one scope: a key for jobs opens none of the operator, and one for admin none of a tenant', async () => {
    await using service = await startService()
    const { body: operator } = await service.admin.post('/v1/admin/tenants/acme/keys').send({ scopes: ['admin'] })
    const keys = { jobs: service.me.key, admin: operator.key }

    for (const route of routesOf(service.inside.app).filter((each) => !isPublic(each))) {
      const isOperators = route.path.startsWith('/v1/admin') || route.path === '/metrics'
      const wrong = isOperators ? keys.jobs : keys.admin
      const caller = new Caller({ name: 'wrong', key: wrong, url: service.url })
      const response = await send(caller, { ...route, path: route.path.replaceAll(/:\w+/g, 'x') })
      await response.arrayBuffer()
      expect([route, response.status]).toEqual([route, 403])
    }
  })
})

/** Ids of which none is the caller's. */
async function strangeIds(service: TestService): Promise<Record<string, string>> {
  const other = await service.addTenant('other')
  const live = await other.submit({ jobs: [forever()] })
  const { batch } = await other.run({ jobs: [sleepFor(0)] })
  await service.admin.put('/v1/admin/tenants/gone').send({}).expect(201)
  const { body } = await service.admin.post('/v1/admin/tenants/gone/keys').send({}).expect(201)
  const gone = await new Caller({ name: 'gone', key: body.key, url: service.url }).submit({ jobs: [forever()] })
  await service.admin.delete('/v1/admin/tenants/gone').expect(204)
  return {
    unknown: newBatchId(),
    running: live.id,
    drained: batch.id,
    deleted: gone.id,
    malformed: 'x',
    'upper case': live.id.toUpperCase(),
    'of another version': live.id.replace(/^(.{14})7/, '$14'),
    nul: '%00',
    long: 'a'.repeat(9_000),
    'a path': '..%2F..%2Fetc',
    quotes: '%22%27%3B--',
  }
}

const HEADERS: Record<string, Record<string, string>> = {
  plain: {},
  waiting: { prefer: 'wait=20' },
  'server-sent events': { accept: 'text/event-stream' },
  ndjson: { accept: 'application/x-ndjson' },
  conditional: { 'if-none-match': '*' },
  resumed: { 'last-event-id': '1' },
}

describe('an id that is not the caller’s', () => {
  it('gets the same 404 byte for byte, on every route, whosever it is and whether it is one at all', async () => {
    await using service = await startService()
    const ids = await strangeIds(service)
    const routes = routesOf(service.inside.app).filter(({ path }) => /:(batchId|jobId)/.test(path))
    expect(routes.length).toBeGreaterThan(12)

    for (const { method, path } of routes) {
      const variants = method === 'GET' ? Object.entries(HEADERS) : [['plain', {}] as const]
      for (const [variant, headers] of variants) {
        const answers = new Map<string, string[]>()
        for (const [kind, id] of Object.entries(ids)) {
          const asked = path.replace(':batchId', id).replace(':jobId', `${id}-0`)
          const answer = await answerOf(await send(service.me, { method, path: asked }, headers))
          answers.set(answer, [...(answers.get(answer) ?? []), kind])
        }
        expect([method, path, variant, [...answers.values()]]).toEqual([method, path, variant, [Object.keys(ids)]])
        const [only = ''] = answers.keys()
        // What a route does not answer with at all it says before it looks at anything.
        expect(only.slice(1, 4)).toBe(only.includes('not_acceptable') ? '406' : '404')
      }
    }
  })

  it('that cannot even be decoded gets the same problem', async () => {
    await using service = await startService()

    const [strange, unknown] = await Promise.all(
      ['%ff', newBatchId()].map((id) => service.me.http.get(`/v1/batches/${id}`)),
    )

    const { instance: _, ...problem } = strange.body
    expect({ ...problem, instance: unknown.body.instance }).toEqual(unknown.body)
  })

  it('is not found by the index of a job either', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [forever()] })
    const ids = ['0', '1', '-1', '00', '1048576', '9999999', '0x0', ''].map((index) => `${id}-${index}`)

    const statuses = []
    for (const jobId of ids) statuses.push((await service.me.http.get(`/v1/jobs/${jobId}`)).status)

    expect(statuses).toEqual([200, 404, 404, 404, 404, 404, 404, 404])
  })

  it('leaves what it names alone', async () => {
    await using service = await startService()
    const other = await service.addTenant('other')
    const { id } = await other.submit({ jobs: [forever()], open: true })
    await other.seen(id, 'job.started')

    for (const { method, path } of routesOf(service.inside.app).filter(({ path }) => /:(batchId|jobId)/.test(path)))
      await answerOf(
        await send(service.me, { method, path: path.replace(':batchId', id).replace(':jobId', `${id}-0`) }),
      )

    const { state, open, counts, seq, cancel } = await other.batch(id)
    expect({ state, open, total: counts.total, running: counts.running, seq, cancel }).toEqual({
      state: 'running',
      open: true,
      total: 1,
      running: 1,
      seq: 3,
      cancel: null,
    })
  })
})

describe('what is one tenant’s', () => {
  it('is in no list of another, by whatever filter', async () => {
    await using service = await startService()
    const other = await service.addTenant('other')
    await other.run({ name: 'secret', labels: { run: '1' }, jobs: [sleepFor(0, { name: 'mine' })] })

    for (const query of ['', '?label.run=1', '?state=succeeded', '?limit=200'])
      expect((await service.me.http.get(`/v1/batches${query}`)).body).toEqual({ data: [], nextCursor: null })
  })

  it('takes no name, label or Idempotency-Key from another', async () => {
    await using service = await startService()
    const other = await service.addTenant('other')
    const batch = { name: 'n', labels: { run: '1' }, jobs: [sleepFor(0, { name: 'job' })] }
    const submit = async (caller: Caller, body: object) => {
      const response = await caller.http.post('/v1/batches').set('idempotency-key', 'same').send(body)
      caller.track(response.body.id)
      return response
    }

    const theirs = await submit(other, batch)
    const mine = await submit(service.me, batch)
    const changed = await service.me.http.post('/v1/batches').set('idempotency-key', 'same').send({ jobs: [] })

    expect([theirs.status, mine.status, changed.status]).toEqual([202, 202, 422])
    expect(mine.body.id).not.toBe(theirs.body.id)
    const { body } = await service.me.http.get('/v1/batches?label.run=1')
    expect(body.data.map(({ id }: { id: string }) => id)).toEqual([mine.body.id])
  })

  it('is not read on with a cursor of another', async () => {
    await using service = await startService()
    const other = await service.addTenant('other')
    for (let i = 0; i < 2; i++) {
      await other.run({ jobs: [sleepFor(0), sleepFor(0)] })
      await service.me.run({ jobs: [sleepFor(0), sleepFor(0)] })
    }
    const [theirs, mine] = [other, service.me].map((caller) => caller.submitted.map(({ id }) => id))
    const list = (await other.http.get('/v1/batches?limit=1')).body.nextCursor
    const jobs = (await other.http.get(`/v1/batches/${theirs[0]}/jobs?limit=1`)).body.nextCursor

    const answers = [
      await service.me.http.get(`/v1/batches?limit=1&cursor=${list}`),
      await service.me.http.get(`/v1/batches/${mine[0]}/jobs?limit=1&cursor=${jobs}`),
    ]

    for (const { status, body } of answers) expect([status, body.errors[0].pointer]).toEqual([422, '/query/cursor'])
  })

  it('is not counted as another’s', async () => {
    await using service = await startService()
    const other = await service.addTenant('other', { maxQueuedJobs: 5 })
    await other.submit({ maxConcurrency: 1, jobs: [forever(), forever()] })

    const { body } = await service.me.http.get('/v1/tenant')

    expect([body.id, body.usage, body.limits.maxQueuedJobs]).toEqual([
      'acme',
      { queued: 0, running: 0, cancelling: 0, stuck: 0, batches: 0, storedBytes: 0 },
      100_000,
    ])
  })
})
