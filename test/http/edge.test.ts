import { describe, expect, it } from 'vitest'
import { routableUrl } from '../../src/http/edge.ts'
import { SECURITY_HEADERS } from '../../src/http/headers.ts'
import { startFake } from '../support/fake-parts.ts'
import { rawRequest } from '../support/raw.ts'

const HOST = 'Host: gatherd\r\n'

describe('the edge', () => {
  it('puts the security headers on what the parser, Node and the redirect answer, too', async () => {
    await using service = await startFake()
    const auth = `Authorization: Bearer ${service.key}\r\n`

    const answers = await Promise.all(
      [
        'NONSENSE\r\n\r\n',
        'GET /livez HTTP/1.1\r\n\r\n',
        `GET /livez HTTP/1.1\r\n${HOST}X: ${'a'.repeat(20_000)}\r\n\r\n`,
        `POST /v1/batches HTTP/1.1\r\n${HOST}${auth}Expect: miracles\r\nContent-Length: 2\r\n\r\n{}`,
        `CONNECT a.example:443 HTTP/1.1\r\n${HOST}\r\n`,
        `DELETE /v1/batches HTTP/1.1\r\n${HOST}${auth}\r\n`,
        `GET /v1/nowhere HTTP/1.1\r\n${HOST}\r\n`,
        `GET / HTTP/1.1\r\n${HOST}\r\n`,
        `GET /v1/tenant HTTP/1.1\r\n${HOST}${auth}CDN-Loop: gatherd\r\n\r\n`,
      ].map((text) => rawRequest(service.port, text)),
    )

    expect(answers.map(({ status }) => status)).toEqual([400, 400, 431, 417, 405, 405, 404, 302, 508])
    for (const { headers } of answers) expect(headers).toMatchObject(SECURITY_HEADERS)
  })

  it.each(['Host: x\r\nHost: y', 'Host: x\r\nhost: x', 'HOST: x\r\nA: b\r\nHoSt:'])(
    'refuses two hosts: %j',
    async (hosts) => {
      await using service = await startFake()

      const { status, body } = await rawRequest(service.port, `GET /livez HTTP/1.1\r\n${hosts}\r\n\r\n`)

      expect([status, JSON.parse(body).code]).toEqual([400, 'bad_request'])
    },
  )

  it('lets no other site read: it has no CORS, whoever asks and however', async () => {
    await using service = await startFake()

    for (const method of ['get', 'options'] as const) {
      const { headers } = await service.http[method]('/v1/tenant')
        .set('origin', 'https://evil.example')
        .set('access-control-request-method', 'GET')
      expect(Object.keys(headers).filter((name) => name.startsWith('access-control-'))).toEqual([])
    }
  })

  it('bounds how long a request may take to come, and a connection may be silent', async () => {
    await using service = await startFake({ env: { GATHERD_MAX_WAIT_MS: '10000' } })
    const { requestTimeout, headersTimeout, timeout, keepAliveTimeout } = service.app.server

    expect([requestTimeout, headersTimeout, timeout]).toEqual([30_000, 10_000, 70_000])
    for (const bound of [keepAliveTimeout]) {
      expect(bound).toBeGreaterThan(0)
      expect(bound).toBeLessThanOrEqual(120_000)
    }
  })

  it('writes no query, body, key or id to the log', async () => {
    await using service = await startFake()

    await service.http.get('/v1/batches?label.a=canary-q&nothing=canary-q')
    await service.http.get('/v1/jobs/canary-id')
    await service.http.post('/v1/batches').send({ name: 'canary-b', jobs: 'canary-b' })
    await service.anybody.get('/canary-p?canary-q')

    const log = JSON.stringify(service.log.lines)
    expect(log).toContain('/v1/jobs/:jobId')
    expect(log).not.toContain('canary')
    expect(log).not.toContain(service.key)
  })

  it('says nothing of a mistake of ours but its instance', async () => {
    await using service = await startFake()
    service.engine.failNext = Object.assign(new Error('canary'), { path: '/canary' })

    const { status, body, text } = await service.http.get('/v1/batches')

    expect([status, Object.keys(body).sort()]).toEqual([500, ['code', 'instance', 'status', 'title', 'type']])
    expect(text).not.toContain('canary')
  })

  it('minds the coding of a body, and not that of none', async () => {
    await using service = await startFake()

    const none = await service.http.get('/v1/tenant').set('content-encoding', 'gzip')
    const some = await service.http.post('/v1/batches').set('content-encoding', 'gzip').send({ jobs: [] })

    expect([none.status, some.status]).toEqual([200, 415])
  })
})

describe('a path that is no percent-encoded UTF-8', () => {
  const ODD = ['%ff', '%', '%zz', '%c3', 'a%2', '%ED%A0%80', '%f0%9f%98']

  it.each(ODD)('is routed by the letter: %s', async (id) => {
    await using service = await startFake()
    const path = `/v1/batches/${id}`

    const nobody = await rawRequest(service.port, `GET ${path} HTTP/1.1\r\n${HOST}\r\n`)
    const wrong = await rawRequest(
      service.port,
      `POST ${path}/cancel?%ff HTTP/1.1\r\n${HOST}Authorization: Bearer x\r\n\r\n`,
    )
    const known = await service.http.get(path)

    expect([nobody.status, wrong.status]).toEqual([401, 401])
    expect([known.status, known.body.code]).toEqual([404, 'not_found'])
    expect(service.engine.called('batch')).toEqual([['batch', 'default', id]])
  })

  it('is unknown where there is no route, and wrong where the method is', async () => {
    await using service = await startFake()

    const unknown = await rawRequest(service.port, `GET /%ff HTTP/1.1\r\n${HOST}\r\n`)
    const method = await rawRequest(service.port, `PUT /v1/batches/%ff HTTP/1.1\r\n${HOST}\r\n`)

    expect([unknown.status, method.status]).toEqual([404, 405])
  })

  it.each(['/v1/batches', '/v1/batches/%41?x=%ff', '/', '*', '/a?%', '/%25ff'])('leaves %s as it is', (url) => {
    expect(routableUrl(url)).toBe(url)
  })

  it('keeps the query as it came', () => {
    expect(routableUrl('/%ff?a=%41&b=?%')).toBe('/%25ff?a=%41&b=?%')
    expect(routableUrl(undefined)).toBe('/')
  })
})
