import { describe, expect, it, vi } from 'vitest'
import { SECURITY_HEADERS } from '../src/http/headers.ts'
import { ProblemView } from '../src/schema/views.ts'
import { ADMIN_KEY, startFake } from './support/fake-parts.ts'
import { rawRequest } from './support/raw.ts'

const BATCH = { jobs: [{ kind: 'sleep', durationMs: 1 }] }
const HOST = 'Host: gatherd\r\n'

/** Every route of the API, from its own document. */
async function operations(service: Awaited<ReturnType<typeof startFake>>): Promise<[method: string, path: string][]> {
  const { body } = await service.anybody.get('/openapi.json')
  return Object.entries<object>(body.paths).flatMap(([path, item]) =>
    Object.keys(item).map((method): [string, string] => [method.toUpperCase(), path.replaceAll(/\{\w+\}/g, 'x')]),
  )
}

const OPEN = ['/livez', '/readyz']

describe('buildApp', () => {
  it('asks for a key on every route but those for anybody, with one answer for every bad one', async () => {
    // Each of them from an address of its own, or they would be too many.
    await using service = await startFake({ env: { GATHERD_TRUST_PROXY: '1' } })
    let callers = 0
    const revoked = await service.keys.create({ tenantId: 'default' })
    await service.keys.revoke('default', revoked.row.id)
    const bad = [undefined, 'Bearer', 'Basic eDp5', 'Bearer nope', `Bearer ${service.key}x`, `Bearer ${revoked.text}`]

    const answers = new Set<string>()
    for (const [method, path] of await operations(service)) {
      for (const authorization of OPEN.includes(path) ? [] : bad) {
        const from = { 'x-forwarded-for': `10.0.${callers >> 8}.${callers++ & 255}` }
        const headers = authorization === undefined ? from : { ...from, authorization }
        const response = await fetch(service.origin + path, { method, headers })
        const { instance: _, ...problem } = ProblemView.parse(await response.json())
        answers.add(JSON.stringify([response.status, response.headers.get('www-authenticate'), problem]))
      }
    }

    expect([...answers]).toEqual([expect.stringContaining('[401,"Bearer",{"type":"/problems/unauthenticated"')])
    expect(service.engine.calls).toEqual([])
  })

  it('lets no key in by the query string', async () => {
    await using service = await startFake()

    const response = await service.anybody.get(`/v1/tenant?authorization=Bearer%20${service.key}`)

    expect(response.status).toBe(401)
  })

  it("keeps tenants' keys off admin routes, and the admin key off tenants'", async () => {
    await using service = await startFake()

    const tenant = await service.http.get('/v1/admin/tenants')
    const admin = await service.admin.get('/v1/tenant')

    expect([tenant.status, tenant.body.code]).toEqual([403, 'forbidden'])
    expect([admin.status, admin.body.code]).toEqual([403, 'forbidden'])
  })

  it('needs no key when authentication is off, and the admin key on admin routes all the same', async () => {
    await using service = await startFake({ env: { GATHERD_AUTH: 'off' } })

    const tenant = await service.anybody.get('/v1/tenant')
    const stranger = await service.anybody.get('/v1/admin/tenants')
    const admin = await service.admin.get('/v1/admin/tenants')

    expect(tenant.body.id).toBe('default')
    expect([stranger.status, admin.status]).toEqual([403, 200])
  })

  it('puts the security headers on every answer, good or bad', async () => {
    await using service = await startFake()

    const answers = [
      await service.http.get('/v1/tenant'),
      await service.http.post('/v1/batches').send(BATCH),
      await service.http.post('/v1/batches').send('nonsense'),
      await service.anybody.get('/v1/tenant'),
      await service.anybody.get('/nowhere'),
      await service.anybody.get('/livez'),
      await service.anybody.get('/v1/batches/%zz'),
    ]

    for (const { headers } of answers) expect(headers).toMatchObject(SECURITY_HEADERS)
  })

  it('gives Swagger UI a policy of its own, which loads nothing from elsewhere', async () => {
    await using service = await startFake()

    const { headers } = await service.anybody.get('/docs')

    expect(headers['content-security-policy']).toContain("script-src 'self';")
    expect(headers['content-security-policy']).not.toContain('http')
    expect(headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer' })
  })

  it.each([
    ['an unknown path', 'GET', '/v1/nowhere', 404, 'not_found'],
    ['a wrong method', 'DELETE', '/v1/batches', 405, 'method_not_allowed'],
    ['a wrong method on a thing', 'PUT', '/v1/jobs/x', 405, 'method_not_allowed'],
    ['HEAD of a stream', 'HEAD', '/v1/batches/x/events', 405, ''],
    ['a path with a slash too many', 'GET', '/v1/batches/', 404, 'not_found'],
  ])('answers %s with a problem', async (_, method, path, status, code) => {
    await using service = await startFake()

    const response = await fetch(service.origin + path, { method, headers: { authorization: `Bearer ${service.key}` } })
    const text = await response.text()

    expect(response.status).toBe(status)
    expect(response.headers.get('content-type')).toBe('application/problem+json; charset=utf-8')
    if (code !== '') expect(ProblemView.parse(JSON.parse(text)).code).toBe(code)
  })

  it('names the methods that a path takes', async () => {
    await using service = await startFake()

    const response = await service.http.delete('/v1/batches')

    expect(response.headers.allow).toBe('GET, HEAD, POST')
  })

  it.each<[string, Record<string, string>, string | Buffer, number, string]>([
    ['no JSON', { 'content-type': 'application/json' }, '{', 400, 'malformed_json'],
    ['an empty body', { 'content-type': 'application/json' }, '', 400, 'malformed_json'],
    [
      'bytes that are no UTF-8',
      { 'content-type': 'application/json' },
      Buffer.from([0x22, 0xff, 0x22]),
      400,
      'malformed_json',
    ],
    ['__proto__', { 'content-type': 'application/json' }, '{"__proto__":{}}', 400, 'malformed_json'],
    [
      'a poisoned constructor',
      { 'content-type': 'application/json' },
      '{"constructor":{"prototype":{}}}',
      400,
      'malformed_json',
    ],
    ['text', { 'content-type': 'text/plain' }, '{}', 415, 'unsupported_media_type'],
    ['a form', { 'content-type': 'application/x-www-form-urlencoded' }, 'a=b', 415, 'unsupported_media_type'],
    ['almost JSON', { 'content-type': 'application/jsonp' }, '{}', 415, 'unsupported_media_type'],
    ['no type at all', { 'content-type': '' }, '{}', 415, 'unsupported_media_type'],
    ['null', { 'content-type': 'application/json' }, 'null', 422, 'invalid_argument'],
  ])('refuses a body of %s', async (_, headers, body, status, code) => {
    await using service = await startFake()

    const response = await fetch(`${service.origin}/v1/batches`, {
      method: 'POST',
      headers: { authorization: `Bearer ${service.key}`, ...headers },
      body: typeof body === 'string' ? body : new Uint8Array(body),
    })

    expect([response.status, ProblemView.parse(await response.json()).code]).toEqual([status, code])
  })

  it('takes JSON with a charset and a byte order mark', async () => {
    await using service = await startFake()

    const response = await service.http
      .post('/v1/batches')
      .set('content-type', 'application/json; charset=UTF-8')
      .send(`\ufeff${JSON.stringify(BATCH)}`)

    expect(response.status).toBe(202)
  })

  it('refuses a body that is too large by its length, before it has come', async () => {
    await using service = await startFake({ env: { GATHERD_BODY_LIMIT_BYTES: '1024' } })
    const head = `POST /v1/batches HTTP/1.1\r\n${HOST}Authorization: Bearer ${service.key}\r\nContent-Type: application/json\r\n`

    const answer = await rawRequest(service.port, `${head}Content-Length: 2000\r\n\r\n`)

    expect([answer.status, JSON.parse(answer.body).code]).toEqual([413, 'body_too_large'])
  })

  it.each([
    ['junk', 'NONSENSE\r\n\r\n', 400, 'bad_request'],
    ['no host', 'GET /livez HTTP/1.1\r\n\r\n', 400, 'bad_request'],
    ['too many headers', `GET /livez HTTP/1.1\r\n${HOST}X: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'headers_too_large'],
    [
      'two framings',
      `POST /x HTTP/1.1\r\n${HOST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
      400,
      'bad_request',
    ],
    ['two lengths', `POST /x HTTP/1.1\r\n${HOST}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`, 400, 'bad_request'],
    ['an expectation', `GET /livez HTTP/1.1\r\n${HOST}Expect: miracles\r\n\r\n`, 417, 'expectation_failed'],
    ['a proxy request', `CONNECT a:1 HTTP/1.1\r\n${HOST}\r\n`, 405, 'method_not_allowed'],
    ['a method of others', `PROPFIND /livez HTTP/1.1\r\n${HOST}\r\n`, 405, 'method_not_allowed'],
  ])('answers %s with a problem', async (_, request, status, code) => {
    await using service = await startFake()

    const answer = await rawRequest(service.port, request)

    expect(answer.status).toBe(status)
    expect(answer.headers).toMatchObject({
      ...SECURITY_HEADERS,
      'content-type': 'application/problem+json; charset=utf-8',
    })
    expect(ProblemView.parse(JSON.parse(answer.body))).toMatchObject({ status, code })
  })

  it('takes two Authorization headers for none', async () => {
    await using service = await startFake()
    const header = `Authorization: Bearer ${service.key}\r\n`

    const answer = await rawRequest(service.port, `GET /v1/tenant HTTP/1.1\r\n${HOST}${header}${header}\r\n`)

    expect(answer.status).toBe(401)
  })

  it('says of a mistake of its own nothing but where the log has it', async () => {
    await using service = await startFake()
    service.engine.failNext = new TypeError('secret is undefined')

    const response = await service.http.get('/v1/batches/x')

    expect(response.status).toBe(500)
    expect(response.body).toEqual({
      type: '/problems/internal',
      title: 'Internal error',
      status: 500,
      code: 'internal',
      instance: expect.any(String),
    })
    const line = service.log.lines.find(({ msg }) => msg === 'request failed')
    expect(line).toMatchObject({
      instance: response.body.instance,
      err: { type: 'TypeError', stack: expect.stringContaining('    at ') },
    })
    expect(JSON.stringify(service.log.lines)).not.toContain('secret is undefined')
  })

  it('logs a line for each answer, without ids, queries, bodies and keys', async () => {
    await using service = await startFake()

    await service.http.get('/v1/batches/canary-id?include=canary-query').set('cookie', 'canary-cookie')
    await service.http.post('/v1/batches').send({ jobs: [{ kind: 'canary-body' }] })
    await service.anybody.get('/canary-path')
    const answers = () => service.log.lines.filter(({ msg }) => msg === 'answered')
    await vi.waitUntil(() => answers().length === 3)

    expect(answers()).toMatchObject([
      { method: 'GET', route: '/v1/batches/:batchId', status: 422, tenantId: 'default', ms: expect.any(Number) },
      { method: 'POST', route: '/v1/batches', status: 422 },
      { method: 'GET', route: null, status: 404 },
    ])
    expect(JSON.stringify(service.log.lines)).not.toMatch(new RegExp(`canary|${service.key}|${ADMIN_KEY}`))
  })

  it('answers HEAD like GET without a body', async () => {
    await using service = await startFake()

    const response = await service.http.head('/v1/tenant')

    expect([response.status, response.text]).toEqual([200, undefined])
  })

  it('answers a wait that is on when the server closes', async () => {
    const service = await startFake()
    await service.http.post('/v1/batches').send(BATCH)
    const answer = service.http
      .get('/v1/batches/batch-1')
      .set('prefer', 'wait=60')
      .then((response) => response)
    await vi.waitUntil(() => service.engine.called('untilSettled').length === 1)

    await service.app.close()

    expect((await answer).body).toMatchObject({ id: 'batch-1', state: 'running' })
  })
})
