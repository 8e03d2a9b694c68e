import { describe, expect, it, vi } from 'vitest'
import { EmptyWaitSetError } from '../../src/errors.ts'
import { Event, WaitResult } from '../../src/schema/views.ts'
import { type FakeService, StillClock, startFake } from '../support/fake-parts.ts'
import { openSlowly, readUntil } from '../support/raw.ts'

const SLEEP = { kind: 'sleep', durationMs: 1 }

/** A service with a batch of two jobs, `batch-1`. */
async function startWithBatch(options: Parameters<typeof startFake>[0] = {}): Promise<FakeService> {
  const service = await startFake(options)
  await service.http.post('/v1/batches').send({ jobs: [SLEEP, SLEEP] })
  return service
}

/** Opens the stream of `batch-1`. */
async function open(service: FakeService, headers: Record<string, string> = {}, query = '') {
  const hangUp = new AbortController()
  const response = await fetch(`${service.origin}/v1/batches/batch-1/events${query}`, {
    headers: { authorization: `Bearer ${service.key}`, ...headers },
    signal: hangUp.signal,
  })
  const reader = response.body?.getReader()
  if (!reader) throw new Error('no body')
  return { response, reader, hangUp }
}

describe('GET /v1/batches/{batchId}/events', () => {
  it('gives the log so far and then live, to the end', async () => {
    await using service = await startWithBatch()
    const { response, reader } = await open(service, { accept: 'application/x-ndjson' })

    const past = await readUntil(reader, 'batch.accepted')
    service.engine.emit('batch-1', 'job.started')
    const live = await readUntil(reader, 'job.started')
    service.engine.settle('batch-1')
    const rest = await readUntil(reader, 'never')

    expect(response.headers.get('content-type')).toBe('application/x-ndjson; charset=utf-8')
    const events = (past + live + rest)
      .trim()
      .split('\n')
      .map((line) => Event.parse(JSON.parse(line)))
    expect(events.map(({ seq, type }) => [seq, type])).toEqual([
      [1, 'batch.accepted'],
      [2, 'job.started'],
      [3, 'batch.settled'],
      [4, 'batch.drained'],
    ])
  })

  it.each([
    ['*/*', 'text/event-stream; charset=utf-8'],
    ['text/event-stream', 'text/event-stream; charset=utf-8'],
    ['application/*', 'application/x-ndjson; charset=utf-8'],
    ['text/event-stream;q=0.1, application/x-ndjson', 'application/x-ndjson; charset=utf-8'],
  ])('answers Accept: %s with %s', async (accept, type) => {
    await using service = await startWithBatch()
    service.engine.settle('batch-1')

    const { response, reader } = await open(service, { accept })

    expect(response.headers.get('content-type')).toBe(type)
    await reader.cancel()
  })

  it('is neither cached nor buffered on its way', async () => {
    await using service = await startWithBatch()
    service.engine.settle('batch-1')

    const { response, reader } = await open(service)

    expect(response.headers.get('cache-control')).toBe('no-store')
    expect(response.headers.get('x-accel-buffering')).toBe('no')
    await reader.cancel()
  })

  it('cannot be had as JSON', async () => {
    await using service = await startWithBatch()

    const response = await service.http.get('/v1/batches/batch-1/events').set('accept', 'application/json')

    expect([response.status, response.body.code]).toEqual([406, 'not_acceptable'])
  })

  it('sends its head before there is an event', async () => {
    await using service = await startWithBatch()

    const { response, hangUp } = await open(service, { accept: 'application/x-ndjson' }, '?after=1')

    expect(response.status).toBe(200)
    hangUp.abort()
  })

  it.each([
    ['?after=3', {}, { after: 3 }],
    ['', { 'last-event-id': '7' }, { after: 7 }],
    ['?after=3', { 'last-event-id': '7' }, { after: 7 }],
    ['?after=3', { 'last-event-id': '' }, { after: 3 }],
    ['?only=completions&timeoutMs=5', {}, { only: 'completions', timeoutMs: 5, after: 0 }],
    ['', {}, { after: 0 }],
  ])('hands on %s and %j', async (query, headers, expected) => {
    await using service = await startWithBatch()
    const { reader } = await open(service, headers, query)

    expect(service.engine.called('events')).toEqual([['events', 'default', 'batch-1', expected]])
    await reader.cancel()
  })

  it.each([
    ['?after=-1', {}, '/query/after'],
    ['?after=x', {}, '/query/after'],
    ['?only=everything', {}, '/query/only'],
    ['?timeoutMs=2592000001', {}, '/query/timeoutMs'],
    ['?nope=1', {}, '/query/nope'],
    ['', { 'last-event-id': 'x' }, '/headers/last-event-id'],
  ])('refuses %s and %j', async (query, headers, pointer) => {
    await using service = await startWithBatch()

    const response = await service.http.get(`/v1/batches/batch-1/events${query}`).set(headers)

    expect(response.status).toBe(422)
    expect(response.body.errors).toMatchObject([{ pointer }])
  })

  it('answers 204 to a reconnect past the end', async () => {
    await using service = await startWithBatch()
    service.engine.settle('batch-1')

    const response = await service.http.get('/v1/batches/batch-1/events').set('last-event-id', '3')

    expect([response.status, response.text]).toEqual([204, ''])
  })

  it('resumes with the number of the last event', async () => {
    await using service = await startWithBatch()
    service.engine.settle('batch-1')

    const { reader } = await open(service, { 'last-event-id': '2' })
    const text = await readUntil(reader, 'never')

    expect(text).toMatch(/^retry: \d+\n\nid: 3\nevent: batch\.drained\ndata: .*\n\n$/)
  })

  it('shows that it lives while nothing happens', async () => {
    const clock = new StillClock()
    await using service = await startWithBatch({ clock })
    const { reader, hangUp } = await open(service)
    await readUntil(reader, 'batch.accepted')

    await vi.waitUntil(() => clock.armed > 0)
    clock.advance(15_000)
    const beat = await readUntil(reader, ':')

    expect(beat).toBe(':\n\n')
    hangUp.abort()
  })

  it('lets go when the caller hangs up, and cancels nothing', async () => {
    await using service = await startWithBatch()
    const { reader, hangUp } = await open(service)
    await readUntil(reader, 'batch.accepted')

    hangUp.abort()
    await vi.waitUntil(() => service.engine.openStreams === 0)

    expect(service.engine.calls.map(([method]) => method)).toEqual(['submit', 'events'])
  })

  it('leaves the log alone while its reader does not read', async () => {
    await using service = await startWithBatch()
    const fill = { text: 'x'.repeat(100_000) }
    for (let count = 0; count < 20; count += 1) service.engine.emit('batch-1', 'job.started', fill)
    let fetched = 0
    const events = service.engine.events.bind(service.engine)
    service.engine.events = async (...args) => {
      const source = await events(...args)
      async function* endless() {
        for (;;) {
          fetched += 1
          yield [{ seq: 1, type: 'x', json: JSON.stringify(fill) }]
        }
      }
      await source?.[Symbol.asyncIterator]().return?.(undefined)
      return endless()
    }

    const request = `GET /v1/batches/batch-1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${service.key}\r\n\r\n`
    const socket = await openSlowly(service.port, request)
    let before = -1
    await vi.waitUntil(
      async () => {
        const still = before === fetched && fetched > 0
        before = fetched
        return still
      },
      { interval: 100, timeout: 5_000 },
    )

    // Sockets hold some megabytes; a writer that does not wait would never have come to rest.
    expect(fetched).toBeLessThan(1_000)
    socket.destroy()
  })

  it('ends when the server closes', async () => {
    const service = await startWithBatch()
    const { reader } = await open(service)
    await readUntil(reader, 'batch.accepted')

    await service.app.close()

    expect((await reader.read()).done).toBe(true)
    expect(service.engine.openStreams).toBe(0)
  })

  it('does not know batches of others', async () => {
    await using service = await startWithBatch()
    const { text } = await service.keys.create({ tenantId: 'other' })

    const response = await service.anybody.get('/v1/batches/batch-1/events').set('authorization', `Bearer ${text}`)

    expect([response.status, response.body.code]).toEqual([404, 'not_found'])
  })

  it('breaks off, so that the cut can be seen, when the log cannot be read on', async () => {
    await using service = await startWithBatch()
    service.engine.events = async () =>
      (async function* () {
        yield [{ seq: 1, type: 'x', json: '{"seq":1}' }]
        throw new Error('log unreadable')
      })()
    const { reader } = await open(service)

    const text = readUntil(reader, 'never')

    await expect(text).rejects.toThrow()
  })
})

describe('GET /v1/batches/{batchId}/wait', () => {
  it('gives the two sets', async () => {
    await using service = await startWithBatch()

    const before = await service.http.get('/v1/batches/batch-1/wait')
    service.engine.settle('batch-1')
    const after = await service.http.get('/v1/batches/batch-1/wait')

    expect(WaitResult.parse(before.body)).toEqual({ done: [], pending: ['batch-1-0', 'batch-1-1'] })
    expect(WaitResult.parse(after.body)).toMatchObject({ done: [{ index: 0 }, { index: 1 }], pending: [] })
  })

  it('waits for all jobs and as long as allowed when nothing is said', async () => {
    await using service = await startWithBatch({ env: { GATHERD_MAX_WAIT_MS: '5000' } })

    await service.http.get('/v1/batches/batch-1/wait')
    await service.http.get('/v1/batches/batch-1/wait?returnWhen=FIRST_EXCEPTION&timeoutMs=0')

    expect(service.engine.called('wait')).toEqual([
      ['wait', 'default', 'batch-1', { returnWhen: 'ALL_COMPLETED', timeoutMs: 5_000 }],
      ['wait', 'default', 'batch-1', { returnWhen: 'FIRST_EXCEPTION', timeoutMs: 0 }],
    ])
  })

  it.each([
    ['returnWhen=SOMETIMES', '/query/returnWhen'],
    ['timeoutMs=5001', '/query/timeoutMs'],
    ['timeoutMs=-1', '/query/timeoutMs'],
    ['timeoutMs=', '/query/timeoutMs'],
  ])('refuses %s', async (query, pointer) => {
    await using service = await startWithBatch({ env: { GATHERD_MAX_WAIT_MS: '5000' } })

    const response = await service.http.get(`/v1/batches/batch-1/wait?${query}`)

    expect(response.body.errors).toMatchObject([{ pointer }])
  })

  it('refuses a batch without jobs', async () => {
    await using service = await startWithBatch()
    service.engine.failNext = new EmptyWaitSetError()

    const response = await service.http.get('/v1/batches/batch-1/wait')

    expect([response.status, response.body.code]).toEqual([422, 'empty_wait_set'])
  })
})
