import { describe, expect, it } from 'vitest'
import { startFake } from '../support/fake-parts.ts'
import { rawRequest } from '../support/raw.ts'

const OPEN = { GATHERD_AUTH: 'off' }
const WORK = { jobs: [{ kind: 'sleep', durationMs: 1 }] }

/** The status and code of a GET with this Host. */
async function asked(port: number, host: string, path = '/v1/tenant') {
  const { status, body } = await rawRequest(port, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
  return [status, JSON.parse(body).code]
}

describe('without authentication', () => {
  it.each([
    'localhost',
    'localhost:3000',
    'LocalHost:1',
    '127.0.0.1',
    '127.0.0.1:3000',
    '127.9.8.7',
    '[::1]',
    '[::1]:80',
  ])('a request for %s is answered', async (host) => {
    await using service = await startFake({ env: OPEN })

    expect(await asked(service.port, host)).toEqual([200, undefined])
  })

  it.each([
    'rebound.example',
    'rebound.example:3000',
    'localhost.rebound.example',
    '127.0.0.1.rebound.example',
    'rebound.example:80@localhost',
    '10.0.0.1',
    '0.0.0.0:3000',
    '[::2]',
    '[fe80::1]:80',
    'localhost:80:80',
    '128.0.0.1',
  ])('a page under the name %s gets nothing, whatever its name leads to', async (host) => {
    await using service = await startFake({ env: OPEN })

    for (const path of ['/v1/tenant', '/openapi.json', '/nowhere'])
      expect(await asked(service.port, host, path)).toEqual([403, 'forbidden'])
    expect(service.engine.calls).toEqual([])
  })

  it('a request of HTTP/1.0 needs no Host, as no browser sends that', async () => {
    await using service = await startFake({ env: OPEN })

    expect((await rawRequest(service.port, 'GET /livez HTTP/1.0\r\n\r\n')).status).toBe(200)
  })

  it.each([
    { 'sec-fetch-site': 'cross-site' },
    { origin: 'https://evil.example' },
    { origin: 'http://localhost.evil.example' },
    { origin: 'http://evil.example:3000' },
    { origin: 'null' },
    { origin: 'file://localhost' },
    { 'sec-fetch-site': 'cross-site', origin: 'http://localhost:3000' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'Same-Origin' },
    { 'sec-fetch-site': '' },
    { origin: 'http://localhost:9999', 'sec-fetch-site': 'same-site', host: 'localhost:3000' },
    { origin: 'http://localhost:9999', 'sec-fetch-site': 'same-origin', host: 'localhost:3000' },
    { origin: 'http://localhost:9999', host: 'localhost:3000' },
    { origin: 'http://localhost', host: 'localhost:3000' },
    { origin: 'http://localhost:3000', host: 'localhost' },
    { origin: 'http://127.0.0.1:3000', host: 'localhost:3000' },
    { origin: 'http://localhost:3000', host: '[::1]:3000' },
    { origin: 'https://localhost:3000', host: 'localhost:3000' },
    { origin: 'null', host: 'localhost' },
  ])('a page of another origin changes nothing: %j', async (headers) => {
    await using service = await startFake({ env: OPEN })
    for (const request of [
      service.anybody.post('/v1/batches').send(WORK),
      service.anybody.post('/v1/batches/x/cancel'),
      service.anybody.patch('/v1/jobs/x').send({}),
    ]) {
      const { status, body } = await request.set(headers)
      expect([status, body.code]).toEqual([403, 'forbidden'])
    }

    expect(service.engine.calls).toEqual([])
    expect((await service.anybody.get('/v1/tenant').set(headers)).status).toBe(200)
  })

  it.each([
    {},
    { origin: 'http://localhost:3000', 'sec-fetch-site': 'same-origin', host: 'localhost:3000' },
    { origin: 'http://localhost:3000', 'sec-fetch-site': 'same-origin', host: 'LocalHost:3000' },
    { origin: 'http://127.0.0.1:3000', host: '127.0.0.1:3000' },
    { origin: 'http://[::1]:3000', host: '[::1]:3000' },
    { origin: 'http://localhost', host: 'localhost:80' },
    { 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-site': 'none' },
  ])('a page of its own, as Swagger UI is, and who is no page, may: %j', async (headers) => {
    await using service = await startFake({ env: OPEN })

    expect((await service.anybody.post('/v1/batches').set(headers).send(WORK)).status).toBe(202)
  })
})

describe('with authentication', () => {
  it('any name will do, and any page that has a key', async () => {
    await using service = await startFake()
    const headers = { host: 'gatherd.example', origin: 'https://app.example', 'sec-fetch-site': 'cross-site' }

    expect((await service.http.post('/v1/batches').set(headers).send(WORK)).status).toBe(202)
  })
})
