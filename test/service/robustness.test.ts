import { once } from 'node:events'
import { connect } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, it, vi } from 'vitest'
import { type Caller, forever, IN_CLUSTER, sleepFor, startService, type TestService } from '../support/service.ts'

const range = (length: number) => Array.from({ length }, (_, i) => i)

/** Write to the service's port, and resolve with everything that came back when the connection has ended. */
async function raw(service: TestService, bytes: string | Buffer, after: 'wait' | 'destroy' = 'wait'): Promise<string> {
  const socket = connect(service.port, '127.0.0.1')
  let answer = ''
  socket.on('error', () => undefined) // The service may cut it.
  socket.on('data', (chunk) => {
    answer += chunk.toString('latin1')
  })
  await once(socket, 'connect')
  const closed = once(socket, 'close')
  socket.write(bytes, () => {
    if (after === 'destroy') socket.destroy()
  })
  await closed
  return answer
}

/** Bytes in use after a full collection. */
function retained(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

/** Proof that a caller's work goes on: a batch with a fetch and a sleep. */
async function works(service: TestService, caller: Caller = service.me): Promise<void> {
  const { batch } = await caller.run({ jobs: [sleepFor(1), service.fetch('/ok')] })
  expect(batch.counts).toMatchObject({ total: 2, succeeded: 2 })
}

describe('10,000 jobs in one submission', () => {
  it('are accepted in one answer, and all of them end when they are cancelled', async () => {
    await using service = await startService({ onDisk: true, tenants: { big: { maxConcurrency: 5 } } })
    const big = service.as('big')

    const { id, counts } = await big.submit({ jobs: range(10_000).map(() => forever()) })
    await works(service)
    const { cancelled } = await big.cancel(id)
    const { batch } = await big.drained(id)

    expect(counts).toMatchObject({ total: 10_000, queued: 10_000 })
    expect([cancelled, batch.counts.cancelled]).toEqual([true, 10_000])
  }, 30_000)

  it('of which one is wrong are refused whole', async () => {
    await using service = await startService()

    const { status, body } = await service.me.http
      .post('/v1/batches')
      .send({ jobs: [...range(9_999).map(() => sleepFor(0)), sleepFor(-1)] })

    expect([status, body.errors.length, body.errors[0].pointer]).toEqual([422, 1, '/jobs/9999/durationMs'])
    expect((await service.me.http.get('/v1/batches')).body.data).toEqual([])
  })
})

describe('a client that goes away', () => {
  it('while it waits for its batch cancels nothing', async () => {
    await using service = await startService()
    const body = JSON.stringify({ name: 'left alone', jobs: [service.fetch('/hold/a')] })
    const socket = connect(service.port, '127.0.0.1')
    socket.write(
      `POST /v1/batches HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${service.me.key}\r\ncontent-type: application/json\r\n` +
        `prefer: wait=60\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    )
    await service.origin.whenHit('/hold/a')

    socket.destroy()
    await works(service)
    service.origin.release('/hold/a')
    const { body: list } = await service.me.http.get('/v1/batches')
    const left = list.data.find(({ name }: { name: string }) => name === 'left alone')
    service.me.track(left.id)

    expect((await service.me.drained(left.id)).batch.counts.succeeded).toBe(1)
  })

  it('in the middle of a stream cancels nothing', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [service.fetch('/hold/a'), ...range(50).map(() => sleepFor(0))] })
    for (const format of ['sse', 'ndjson'] as const) {
      const stream = await service.me.stream(id, { format })
      await stream.take(3)
      stream.destroy()
    }

    service.origin.release('/hold/a')

    expect((await service.me.drained(id)).batch.counts.succeeded).toBe(51)
  })

  it('in the middle of its upload has submitted nothing', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [service.fetch('/hold/a')] })
    const head = `POST /v1/batches HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${service.me.key}\r\ncontent-type: application/json\r\n`

    await Promise.all([
      raw(service, `${head}content-length: 1000\r\n\r\n{"jobs":[`, 'destroy'),
      raw(service, `${head}transfer-encoding: chunked\r\n\r\n5\r\n{"job`, 'destroy'),
      raw(service, head, 'destroy'),
      raw(service, `${head}expect: 100-continue\r\ncontent-length: 10\r\n\r\n`, 'destroy'),
    ])
    await works(service)
    const { body } = await service.me.http.get('/v1/batches')

    expect(body.data.length).toBe(2)
    service.origin.release('/hold/a')
    expect((await service.me.drained(id)).batch.counts.succeeded).toBe(1)
  })
})

describe('a reader that never reads', () => {
  it('holds nobody up, is served from the log, and costs no memory that grows with it', async () => {
    await using service = await startService({ tenants: { big: { maxConcurrency: 200 } } })
    const big = service.as('big')
    const filler = 'x'.repeat(10_000)
    const { id } = await big.submit({ open: true, jobs: [sleepFor(0)] })
    const slow = await Promise.all(
      range(20).map((i) => big.stream(id, { format: i % 2 === 0 ? 'sse' : 'ndjson', only: 'completions' })),
    )
    const before = retained()

    await big.append(
      id,
      range(1_500).map((i) => sleepFor(0, { result: `${i}${filler}` })),
    )
    await big.http.post(`/v1/batches/${id}/close`).expect(200)
    await big.seen(id, 'batch.drained')
    await works(service)

    // 20 readers of 15 MB each: 300 MB if what they do not read were kept for them, and not a page of each.
    expect(retained() - before).toBeLessThan(160_000_000)
    const late = (await slow[0]?.rest()) ?? []
    expect([late.length, late.at(-1)?.type]).toEqual([1_502, 'batch.drained'])
    for (const stream of slow) stream.destroy()
  }, 30_000)
})

describe('garbage on the socket', () => {
  it('gets a 400 or nothing, and changes nothing for the others', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ jobs: [service.fetch('/hold/a')] })
    const bytes = [
      Buffer.from(range(2_000).map((i) => (i * 7919) % 256)),
      Buffer.from('\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 'latin1'),
      'GET\r\n\r\n',
      'HELLO / HTTP/1.1\r\n\r\n',
      'GET / HTTP/9.9\r\n\r\n',
      'GET /v1/batches HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n',
      'GET /v1/batches HTTP/1.1\r\nconnection: close\r\n\r\n',
      'POST /v1/batches HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab',
      'POST /v1/batches HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      'POST /v1/batches HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n',
      `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nhost: x\r\n\r\n`,
      `GET / HTTP/1.1\r\nhost: x\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`,
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    ]

    const answers = await Promise.all(bytes.map((each) => raw(service, each)))
    await works(service)

    for (const answer of answers) {
      const [head = '', body = ''] = answer.split('\r\n\r\n')
      expect(head).toMatch(/^HTTP\/1\.1 4\d\d /)
      expect(head.toLowerCase()).toContain('content-type: application/problem+json')
      expect(JSON.parse(body)).toMatchObject({ code: expect.any(String), status: Number(head.split(' ')[1]) })
    }
    service.origin.release('/hold/a')
    expect((await service.me.drained(id)).batch.counts.succeeded).toBe(1)
  })

  it('after a good request does not undo it', async () => {
    await using service = await startService()
    const body = JSON.stringify({ name: 'good', jobs: [sleepFor(0)] })
    const head = `POST /v1/batches HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${service.me.key}\r\ncontent-type: application/json\r\n`

    const answer = await raw(service, `${head}content-length: ${body.length}\r\n\r\n${body}\x00\xff garbage\r\n\r\n`)
    // The answer may come before the batch is on record.
    const list = await vi.waitUntil(async () => {
      const { body } = await service.me.http.get('/v1/batches')
      return body.data.length > 0 && body
    })

    // Both parts arrive at once, so whether the first is answered before the second ends the connection is a race; what
    // was accepted was accepted whole.
    expect(answer).toMatch(/^HTTP\/1\.1 (202|400) /)
    expect(list.data).toHaveLength(1)
    expect(list.data[0].counts.total).toBe(1)
    for (const { id } of list.data) service.me.track(id)
  })
})

describe('the end of a service', () => {
  // What a replica leaves, another one takes up.
  it.skipIf(IN_CLUSTER)('leaves no live job, no open outgoing socket, and a last line on every stream', async () => {
    const service = await startService()
    const { id } = await service.me.submit({ jobs: [service.fetch('/hang'), service.fetch('/half'), forever()] })
    await service.origin.whenHit('/hang')
    await service.origin.whenHit('/half')
    const streams = await Promise.all([service.me.stream(id, { format: 'sse' }), service.me.stream(id)])
    const ends = streams.map(async (stream) => (await stream.rest()).at(-1)?.type)
    const waiting = service.me.http.get(`/v1/batches/${id}/wait`).then(({ status }) => status)
    const held = service.me.http
      .get(`/v1/batches/${id}`)
      .set('prefer', 'wait=60')
      .then(({ status }) => status)
    await service.me.http.get(`/v1/batches/${id}/wait`).query({ timeoutMs: 20 })

    await service.inside.engine.drain(0)
    const refused = await service.me.http.post('/v1/batches').send({ jobs: [] })
    const ready = await service.anonymous.get('/readyz')

    for (const last of await Promise.all(ends)) expect(['batch.drained', 'stream.shutdown']).toContain(last)
    expect(await Promise.all([waiting, held])).toEqual([200, 200])
    expect([refused.status, refused.body.code, Number(refused.headers['retry-after']) > 0]).toEqual([
      503,
      'shutting_down',
      true,
    ])
    expect([ready.status, (await service.anonymous.get('/livez')).status]).toEqual([503, 200])
    await service.origin.whenIdle()
    // In memory nothing outlives the process, so every job has its end.
    const { batch, jobs } = await service.me.drained(id)
    expect([batch.state, ...jobs.map(({ state, cause }) => `${state} ${cause}`)]).toEqual([
      'cancelled',
      ...range(3).map(() => 'cancelled shutdown'),
    ])
    await service[Symbol.asyncDispose]()
    await expect(service.anonymous.get('/livez')).rejects.toThrow(/ECONNREFUSED/)
  })
})
