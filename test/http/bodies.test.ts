import { describe, expect, it } from 'vitest'
import { newKey } from '../../src/auth/key.ts'
import { readConfig } from '../../src/config.ts'
import { type FakeService, startFake } from '../support/fake-parts.ts'
import { Wire } from '../support/raw.ts'

const LARGEST = 200_000

/** Room for two of the largest, one of each tenant. */
const start = async (env: Record<string, string> = {}) =>
  await startFake({
    env: { GATHERD_BODY_LIMIT_BYTES: `${LARGEST}`, GATHERD_MAX_INFLIGHT_BODY_BYTES: `${2 * LARGEST}`, ...env },
  })

const CHUNKED = 'Transfer-Encoding: chunked'
const EXPECT = 'Expect: 100-continue'

function head(key: string, lines: string[], path = '/v1/batches', method = 'POST'): string {
  const own = [`Authorization: Bearer ${key}`, 'Content-Type: application/json', ...lines]
  return `${method} ${path} HTTP/1.1\r\nHost: gatherd\r\n${own.join('\r\n')}\r\n\r\n`
}

/** A submission of so many bytes. */
function bodyOf(bytes: number): string {
  const text = '{"jobs":[{"kind":"sleep","durationMs":1}]}'
  return text + ' '.repeat(bytes - text.length)
}

const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`

/** A request whose body has been given its room and does not come. */
async function held(service: FakeService, bytes = LARGEST, key = service.key): Promise<Wire> {
  const wire = await Wire.open(service.port, head(key, [`Content-Length: ${bytes}`, EXPECT]))
  await wire.until('\r\n\r\n')
  return wire
}

async function otherKey({ keys }: FakeService, tenantId = 'other'): Promise<string> {
  return (await keys.create({ tenantId })).text
}

const submit = (service: FakeService, bytes: number, key = service.key) =>
  service.anybody
    .post('/v1/batches')
    .set({ authorization: `Bearer ${key}`, 'content-type': 'application/json' })
    .send(bodyOf(bytes))

/** The wire may be released a turn of the event loop after the client has its answer. */
async function accepted(service: FakeService, bytes: number, key = service.key): Promise<number> {
  for (;;) {
    const { status } = await submit(service, bytes, key)
    if (status !== 429 && status !== 503) return status
  }
}

describe('the bodies of requests', () => {
  it("are refused over the tenant's share, which others do not notice", async () => {
    await using service = await start()
    const other = await otherKey(service)
    using first = await held(service)

    const { status, body, headers } = await submit(service, LARGEST)

    expect(first.statuses).toEqual([100])
    expect([status, body.code, headers['retry-after']]).toEqual([429, 'rate_limited', '1'])
    expect(body.detail).toBe(
      `Too many request bodies of yours are on their way: at most ${LARGEST} bytes at once. This one was not read.`,
    )
    expect((await submit(service, LARGEST, other)).status).toBe(202)
  })

  it('are refused when all is taken, whoever sends them', async () => {
    await using service = await start()
    using _one = await held(service)
    using _two = await held(service, LARGEST, await otherKey(service))

    const { status, body, headers } = await submit(service, LARGEST, await otherKey(service, 'third'))

    expect([status, body.code, headers['retry-after']]).toEqual([503, 'overloaded', '2'])
    expect(service.engine.calls.filter(([name]) => name === 'submit')).toEqual([])
  })

  it('that are small have room beside large ones, and so has the operator', async () => {
    await using service = await start()
    using _one = await held(service)
    using _two = await held(service, LARGEST, await otherKey(service))

    expect((await submit(service, 60_000)).status).toBe(202)
    expect((await service.admin.put('/v1/admin/tenants/acme').send({ maxConcurrency: 1 })).status).toBe(201)
    const large = JSON.stringify({
      egress: { denyHosts: Array.from({ length: 900 }, (_, i) => `${i}.${'x'.repeat(60)}.${'y'.repeat(60)}.test`) },
    })
    const settings = await service.admin
      .put('/v1/admin/tenants/acme')
      .set('content-type', 'application/json')
      .send(large)
    expect([large.length > 65_536, settings.status]).toEqual([true, 200])
  })

  it('that come in chunks are counted as they come', async () => {
    await using service = await start()
    using _one = await held(service, 150_000)
    using chunked = await Wire.open(service.port, head(await otherKey(service), [CHUNKED]))

    // 200,000 of it are let in beside the 150,000: the share of its tenant, and of all.
    for (let i = 0; i < 3; i++) chunked.write(chunk(' '.repeat(65_536)))
    using third = await Wire.open(service.port, head(await otherKey(service, 'third'), [CHUNKED]))
    for (let i = 0; i < 3; i++) third.write(chunk(' '.repeat(65_536)))
    await Promise.race([third.closed, chunked.closed])

    const refused = third.statuses.length > 0 ? third : chunked
    expect(await refused.until('"code":"overloaded"')).toMatch(/^HTTP\/1\.1 503 [\s\S]*connection: close/)
  })

  it('that come in chunks are all given back at the end', async () => {
    await using service = await start()
    for (let i = 0; i < 5; i++) {
      using wire = await Wire.open(service.port, head(service.key, [CHUNKED]))
      wire.write(`${chunk(bodyOf(100_000))}${chunk(' '.repeat(90_000))}0\r\n\r\n`)
      expect(await wire.until('"id"')).toMatch(/^HTTP\/1\.1 202 /)
    }

    expect(await accepted(service, LARGEST)).toBe(202)
  })

  it('without an end are ended at the limit for one', async () => {
    await using service = await start()
    using wire = await Wire.open(service.port, head(service.key, [CHUNKED]))
    for (let i = 0; i < 4; i++) wire.write(chunk(' '.repeat(65_536)))

    expect(await wire.until('"code":"body_too_large"')).toMatch(/^HTTP\/1\.1 413 [\s\S]*connection: close/)
    await wire.closed
    expect(await accepted(service, LARGEST)).toBe(202)
  })

  it.each<[string, (service: FakeService) => Promise<unknown>]>([
    ['accepted', (service) => submit(service, 190_000)],
    [
      'malformed',
      (service) => service.http.post('/v1/batches').set('content-type', 'application/json').send('{'.repeat(190_000)),
    ],
    ['wrong', (service) => service.http.post('/v1/batches').send({ jobs: 'x'.repeat(190_000) })],
    [
      'of another type',
      (service) => service.http.post('/v1/batches').set('content-type', 'text/plain').send('x'.repeat(190_000)),
    ],
    [
      'for what is not there',
      (service) => service.http.post('/v1/batches/nope/jobs').send({ jobs: [], x: 'x'.repeat(190_000) }),
    ],
    ['too large', (service) => submit(service, LARGEST + 1)],
    ['cut off', async (service) => (await held(service))[Symbol.dispose]()],
    [
      'cut off in the middle',
      async (service) => {
        using wire = await held(service)
        wire.write('{"jobs":['.padEnd(100_000))
      },
    ],
    [
      'cut off behind another one on its connection',
      async (service) => {
        service.engine.batches = () => new Promise(() => undefined)
        const first = head(service.key, [], '/v1/batches', 'GET')
        using _wire = await Wire.open(service.port, first + head(service.key, [`Content-Length: ${LARGEST}`]))
        while ((await submit(service, LARGEST)).status !== 429);
      },
    ],
  ])('are given back when the request was %s', async (_what, spend) => {
    await using service = await start()

    for (let i = 0; i < 3; i++) await spend(service).catch(() => undefined)

    expect(await accepted(service, LARGEST)).toBe(202)
  })

  it('are given back once the batch is accepted, though its events or its end are waited for', async () => {
    await using service = await start()
    const body = bodyOf(LARGEST)
    using waiting = await Wire.open(
      service.port,
      head(service.key, [`Content-Length: ${LARGEST}`, 'Accept: text/event-stream']) + body,
    )
    await waiting.until('\r\n\r\n')

    expect(waiting.statuses).toEqual([200])
    expect((await submit(service, LARGEST)).status).toBe(202)
  })
})

describe('a body that is not wanted', () => {
  it.each<[string, string, string[], number]>([
    ['without a key', '/v1/batches', [], 401],
    ['with a bad key', '/v1/batches', [`Authorization: Bearer ${newKey().text}`], 401],
    ['for no route', '/nowhere', [], 404],
    ['for a route of another method', '/livez', [], 405],
    ['for the documentation', '/docs', [], 405],
  ])('is not read %s, and its connection is closed', async (_what, path, lines, status) => {
    await using service = await start({ GATHERD_BODY_LIMIT_BYTES: '16777216', GATHERD_MAX_INFLIGHT_BODY_BYTES: '0' })
    let read = () => 0
    const { promise: gone, resolve } = Promise.withResolvers<void>()
    service.app.server.once('connection', (socket) => {
      read = () => socket.bytesRead
      socket.once('close', () => resolve())
    })
    const request = ['Host: gatherd', 'Content-Type: application/json', `Content-Length: ${16_777_216}`, ...lines]
    using wire = await Wire.open(service.port, `POST ${path} HTTP/1.1\r\n${request.join('\r\n')}\r\n\r\n`)
    await wire.until('"code"')
    const before = read()
    await wire.closed
    // What was on its way is dropped, and the connection is closed though the client never closes its half.
    wire.write(' '.repeat(100_000))
    while (read() < 100_000) await new Promise((turn) => setImmediate(turn))
    await gone

    expect(wire.seen).toMatch(/^HTTP\/1\.1 \d+ [\s\S]*connection: close/)
    expect(wire.statuses).toEqual([status])
    expect(before).toBeLessThan(1_000)
  })

  it('is not asked for: who waits for 100 Continue is refused first', async () => {
    await using service = await start()
    const length = `Content-Length: ${LARGEST}`
    using stranger = await Wire.open(service.port, head(newKey().text, [length, EXPECT]))
    using tooLarge = await Wire.open(service.port, head(service.key, [`Content-Length: ${LARGEST + 1}`, EXPECT]))
    using good = await Wire.open(service.port, head(service.key, [length, EXPECT]))
    for (const wire of [stranger, tooLarge]) await wire.until('"code"')
    await good.until('\r\n\r\n')
    good.write(bodyOf(LARGEST))
    await good.until('"id"')

    expect([stranger.statuses, tooLarge.statuses, good.statuses]).toEqual([[401], [413], [100, 202]])
  })

  it('is answered so that its sender sees it, and not a connection that is cut in the middle', async () => {
    await using service = await start()
    const request = { method: 'POST', headers: { 'content-type': 'application/json' }, body: 'x'.repeat(8_000_000) }

    for (let i = 0; i < 20; i++) expect((await fetch(`${service.origin}/v1/batches`, request)).status).toBe(401)
  })

  it('keeps its connection when it is small', async () => {
    await using service = await start()
    const request = `${head(newKey().text, ['Content-Length: 5'])}12345`
    using wire = await Wire.open(service.port, request + head(service.key, [], '/v1/tenant', 'GET'))
    await wire.until('"id"')

    expect(wire.statuses).toEqual([401, 200])
    expect(wire.seen).not.toContain('connection: close')
  })
})

describe('GATHERD_MAX_INFLIGHT_BODY_BYTES', () => {
  it('must have room for one body', () => {
    expect(() => readConfig({ GATHERD_MAX_INFLIGHT_BODY_BYTES: '16777215' })).toThrow(
      'GATHERD_MAX_INFLIGHT_BODY_BYTES must have room for one body of GATHERD_BODY_LIMIT_BYTES, 16777216.',
    )
    expect(readConfig({ GATHERD_MAX_INFLIGHT_BODY_BYTES: '16777216' }).maxInflightBodyBytes).toBe(16_777_216)
  })

  it('is four times the largest body unless it is set, of which a tenant has two', async () => {
    await using service = await start({ GATHERD_MAX_INFLIGHT_BODY_BYTES: '0' })
    using _one = await held(service)
    using _two = await held(service)

    expect((await submit(service, LARGEST)).status).toBe(429)
    expect((await submit(service, LARGEST, await otherKey(service))).status).toBe(202)
  })
})
