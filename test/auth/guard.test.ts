import { request } from 'node:http'
import { describe, expect, it, vi } from 'vitest'
import { SECURITY_HEADERS } from '../../src/http/headers.ts'
import { StillClock, startFake } from '../support/fake-parts.ts'

const BATCH = { jobs: [{ kind: 'sleep', durationMs: 1 }] }

/** A service whose clock is the test's, with a batch and a key of its tenant that is good for a second. */
async function withBriefKey() {
  const clock = new StillClock()
  const service = await startFake({ clock })
  const { row, text } = await service.keys.create({ tenantId: 'default', expiresAt: clock.now() + 1_000 })
  await service.http.post('/v1/batches').send(BATCH).expect(202)
  const headers = { authorization: `Bearer ${text}` }
  return { service, clock, row, headers, [Symbol.asyncDispose]: () => service[Symbol.asyncDispose]() }
}

/** Opens a stream, and collects what comes of it. */
async function stream(origin: string, path: string, headers: Record<string, string>) {
  const seen = { text: '', cut: false, over: false }
  await new Promise<void>((resolve, reject) => {
    const outgoing = request(origin + path, { agent: false, headers }, (response) => {
      response.on('data', (chunk) => {
        seen.text += chunk
      })
      response.once('error', () => {
        seen.cut = true
      })
      response.once('close', () => {
        seen.over = true
      })
      resolve()
    })
    outgoing.once('error', reject).end()
  })
  return seen
}

describe('the end of a key', () => {
  it('cuts a stream at that instant, and no later event comes', async () => {
    await using world = await withBriefKey()
    const { service, clock, headers } = world
    const seen = await stream(service.origin, '/v1/batches/batch-1/events', headers)
    await vi.waitUntil(() => seen.text.includes('batch.accepted'))
    clock.advance(999)
    service.engine.emit('batch-1', 'before')
    await vi.waitUntil(() => seen.text.includes('before'))

    clock.advance(1)
    service.engine.emit('batch-1', 'after')

    await vi.waitUntil(() => seen.over)
    expect([seen.cut, seen.text.includes('after')]).toEqual([true, false])
    await vi.waitUntil(() => service.engine.openStreams === 0)
  })

  it.each(['/v1/batches/batch-1', '/v1/batches/batch-1?include=jobs'])(
    'is 401 for an answer that is held: %s',
    async (path) => {
      await using world = await withBriefKey()
      const { service, clock, headers } = world
      const held = service.anybody
        .get(path)
        .set({ ...headers, prefer: 'wait=50' })
        .then((response) => response)
      await vi.waitUntil(() => service.engine.called('untilSettled').length === 1)

      clock.advance(1_000)

      const { status, body, headers: sent } = await held
      const { 'content-length': _, date: _date, connection: _connection, 'keep-alive': _alive, ...own } = sent
      expect([status, body.code]).toEqual([401, 'unauthenticated'])
      expect(own).toEqual({
        ...SECURITY_HEADERS,
        'content-type': 'application/problem+json; charset=utf-8',
        'www-authenticate': 'Bearer',
      })
    },
  )

  it('is 401 for whatever else would have been answered, an error too', async () => {
    await using world = await withBriefKey()
    const { service, clock, headers } = world
    service.engine.batch = async () => {
      clock.advance(1_000)
      throw new Error('late')
    }

    const { status, body } = await service.anybody.get('/v1/batches/batch-1').set(headers)

    expect([status, body.code]).toEqual([401, 'unauthenticated'])
  })

  it('is no end for other keys of its tenant, nor for the admin key', async () => {
    await using world = await withBriefKey()
    const { service, clock } = world
    const seen = await stream(service.origin, '/v1/batches/batch-1/events', { authorization: `Bearer ${service.key}` })
    await vi.waitUntil(() => seen.text.includes('batch.accepted'))

    clock.advance(1_000)
    service.engine.settle('batch-1')

    await vi.waitUntil(() => seen.over)
    expect([seen.cut, seen.text.includes('batch.drained')]).toEqual([false, true])
    expect((await service.admin.get('/v1/admin/tenants')).status).toBe(200)
  })

  it('leaves nothing behind of requests that were answered', async () => {
    await using world = await withBriefKey()
    const { service, clock, headers } = world
    const before = clock.armed

    for (let i = 0; i < 5; i++) await service.anybody.get('/v1/tenant').set(headers).expect(200)

    await vi.waitUntil(() => service.keys.sessions.size === 0)
    expect(clock.armed).toBe(before)
  })
})
