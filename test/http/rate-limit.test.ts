import type { FastifyReply, FastifyRequest } from 'fastify'
import { parseList } from 'structured-headers'
import { describe, expect, it } from 'vitest'
import type { Engine, RateLimits, TenantLimits } from '../../src/engine/engine.ts'
import { QueueFullError } from '../../src/errors.ts'
import { RequestLimits } from '../../src/http/rate-limit.ts'
import { type Limit, policyField, serviceField } from '../../src/http/rate-limit-fields.ts'
import { ADMIN_KEY, StillClock, startFake } from '../support/fake-parts.ts'

/** A field as its parser reads it: the parameters of each item, by its name. */
function read(field: string): Record<string, Record<string, unknown>> {
  return Object.fromEntries(
    parseList(field).map(([name, parameters]) => [String(name), Object.fromEntries(parameters)]),
  )
}

async function startLimited(rate: Partial<RateLimits>, limits: Partial<TenantLimits> = {}) {
  const clock = new StillClock()
  const service = await startFake({ clock })
  const set = (requestsPerMinute: number | null) => {
    service.engine.limits = {
      ...service.engine.limits,
      ...limits,
      rate: { jobsPerSecond: null, requestsPerMinute },
    }
  }
  set(rate.requestsPerMinute ?? null)
  const statuses = async (count: number) => {
    const all: number[] = []
    for (let i = 0; i < count; i++) all.push((await service.http.get('/v1/tenant')).status)
    return all
  }
  return { clock, service, set, statuses, [Symbol.asyncDispose]: () => service[Symbol.asyncDispose]() }
}

describe('the fields', () => {
  const limits: Limit[] = [
    { name: 'concurrency', quota: 16, left: 3 },
    { name: 'requests', quota: 600, left: 599, windowS: 60, nextS: 1 },
  ]

  it('are as the draft has them', () => {
    expect(policyField(limits)).toBe('"concurrency";q=16;qu="concurrent-requests", "requests";q=600;w=60')
    expect(serviceField(limits)).toBe('"concurrency";r=3, "requests";r=599;t=1')
  })

  it('are structured fields whatever the numbers', () => {
    const odd: Limit[] = [
      { name: 'below', quota: 4, left: -2 },
      { name: 'huge', quota: Number.MAX_SAFE_INTEGER, left: Number.MAX_SAFE_INTEGER },
      { name: 'part', quota: 1.5, left: 0.5, windowS: 60, nextS: 12 },
    ]

    expect(read(serviceField(odd))).toEqual({
      below: { r: 0 },
      huge: { r: 999_999_999_999_999 },
      part: { r: 0, t: 12 },
    })
    expect(read(policyField(odd)).huge).toEqual({ q: 999_999_999_999_999, qu: 'concurrent-requests' })
  })
})

describe('an answer to a tenant', () => {
  it('tells of its caps and what is left of them', async () => {
    await using limited = await startLimited({}, { maxConcurrency: 4, maxQueuedJobs: 100 })
    const { service } = limited
    const view = service.engine.tenant('default')
    service.engine.tenant = () => ({
      ...view,
      limits: service.engine.limits,
      usage: { ...view.usage, queued: 30, running: 5 },
    })

    for (const path of ['/v1/tenant', '/v1/batches', '/v1/batches/none', '/v1/batches?limit=x']) {
      const { headers } = await service.http.get(path)
      expect(read(headers['ratelimit-policy'])).toEqual({
        concurrency: { q: 4, qu: 'concurrent-requests' },
        queue: { q: 100, qu: 'concurrent-requests' },
      })
      expect(read(headers.ratelimit)).toEqual({ concurrency: { r: 0 }, queue: { r: 70 } })
    }
  })

  it('tells of them when it is a stream, a 304 or a submission as well', async () => {
    await using limited = await startLimited({ requestsPerMinute: 60 })
    const { service } = limited
    const { body, headers } = await service.http.post('/v1/batches').send({ jobs: [] }).expect(202)
    const { headers: first } = await service.http.get(`/v1/batches/${body.id}`)
    const abort = new AbortController()

    const same = await service.http.get(`/v1/batches/${body.id}`).set('if-none-match', first.etag)
    const stream = await fetch(`${service.origin}/v1/batches/${body.id}/events`, {
      headers: { authorization: `Bearer ${service.key}` },
      signal: abort.signal,
    })

    expect(same.status).toBe(304)
    expect([headers, first, same.headers].map(({ ratelimit }) => read(ratelimit).requests)).toEqual([
      { r: 59, t: 1 },
      { r: 58, t: 1 },
      { r: 57, t: 1 },
    ])
    expect(read(stream.headers.get('ratelimit') ?? '').requests).toEqual({ r: 56, t: 1 })
    abort.abort()
  })

  it('is the only kind that does: nobody else has a limit to be told of', async () => {
    await using limited = await startLimited({ requestsPerMinute: 5 })
    const { service } = limited

    for (const request of [
      service.anybody.get('/v1/tenant'),
      service.anybody.get('/livez'),
      service.anybody.get('/nowhere'),
      service.http.get('/v1/nowhere'),
      service.admin.get('/v1/admin/tenants'),
      service.admin.get('/v1/tenant'),
    ])
      expect(Object.keys((await request).headers).filter((name) => name.startsWith('ratelimit'))).toEqual([])
  })
})

describe('requests over the limit', () => {
  it('are refused with a problem, and told when to come again', async () => {
    await using limited = await startLimited({ requestsPerMinute: 5 })
    const { service, statuses, clock } = limited

    expect(await statuses(5)).toEqual([200, 200, 200, 200, 200])
    service.engine.calls.length = 0
    const refused = await service.http.post('/v1/batches').send({ jobs: [] })

    expect([refused.status, refused.body.code, refused.headers['retry-after']]).toEqual([429, 'rate_limited', '12'])
    expect(refused.headers['content-type']).toBe('application/problem+json; charset=utf-8')
    expect(read(refused.headers.ratelimit).requests).toEqual({ r: 0, t: 12 })
    expect(read(refused.headers['ratelimit-policy']).requests).toEqual({ q: 5, w: 60 })
    expect(service.engine.calls).toEqual([])
    clock.advance(11_999)
    expect(await statuses(1)).toEqual([429])
    clock.advance(1)
    expect(await statuses(2)).toEqual([200, 429])
  })

  it('count against nobody else, and a refused one does not count', async () => {
    await using limited = await startLimited({ requestsPerMinute: 2 })
    const { service, statuses, clock } = limited
    const other = await service.keys.create({ tenantId: 'other' })
    const get = (key: string, path = '/v1/tenant') =>
      fetch(service.origin + path, { headers: { authorization: `Bearer ${key}` } }).then(({ status }) => status)

    expect(await statuses(6)).toEqual([200, 200, 429, 429, 429, 429])

    expect([await get(other.text), await get(other.text), await get(other.text)]).toEqual([200, 200, 429])
    expect(await get(ADMIN_KEY, '/v1/admin/tenants')).toBe(200)
    for (let i = 0; i < 5; i++) expect((await service.anybody.get('/livez')).status).toBe(200)
    clock.advance(30_000)
    expect(await statuses(2)).toEqual([200, 429])
  })

  it('are no more than a minute’s worth at once, however long nothing came', async () => {
    await using limited = await startLimited({ requestsPerMinute: 3 })
    await limited.statuses(1)

    limited.clock.advance(3_600_000)

    expect(await limited.statuses(5)).toEqual([200, 200, 200, 429, 429])
  })

  it('follow a change at once, whichever way', async () => {
    await using limited = await startLimited({ requestsPerMinute: 2 })
    const { set, statuses, clock } = limited
    await statuses(2)

    set(600)
    expect(await statuses(1)).toEqual([429])
    clock.advance(100)
    expect(await statuses(2)).toEqual([200, 429])
    set(null)
    expect(await statuses(3)).toEqual([200, 200, 200])
    set(1)
    expect(await statuses(2)).toEqual([200, 429])
  })

  it('are told as well by an answer that advises to come back sooner', async () => {
    await using limited = await startLimited({ requestsPerMinute: 2 })
    const { service } = limited
    const submit = () => {
      service.engine.failNext = new QueueFullError(10, 3)
      return service.http.post('/v1/batches').send({ jobs: [] })
    }

    const first = await submit()
    const last = await submit()

    expect([first.headers['retry-after'], last.headers['retry-after']]).toEqual(['3', '30'])
    expect([first.body.code, last.body.code]).toEqual(['queue_full', 'queue_full'])
  })
})

describe('a tenant that is deleted', () => {
  it('leaves nothing of its count to a new one of its name', async () => {
    const clock = new StillClock()
    await using service = await startFake({ clock })
    service.engine.limits = { ...service.engine.limits, rate: { jobsPerSecond: null, requestsPerMinute: 2 } }
    const make = async () => {
      await service.admin.put('/v1/admin/tenants/acme').send({}).expect(201)
      const { body } = await service.admin.post('/v1/admin/tenants/acme/keys').send({}).expect(201)
      return () => service.anybody.get('/v1/tenant').set('authorization', `Bearer ${body.key}`)
    }
    const first = await make()
    await first().expect(200)
    await first().expect(200)
    await first().expect(429)

    await service.admin.delete('/v1/admin/tenants/acme').expect(204)
    const { headers } = await (await make())().expect(200)

    expect(read(headers.ratelimit).requests).toMatchObject({ r: 1 })
  })

  it('keeps its count when it could not be deleted', async () => {
    const clock = new StillClock()
    await using service = await startFake({ clock })
    service.engine.limits = { ...service.engine.limits, rate: { jobsPerSecond: null, requestsPerMinute: 2 } }
    await service.http.get('/v1/tenant').expect(200)
    service.engine.deleteTenant = () => Promise.reject(new QueueFullError(1))

    await service.admin.delete('/v1/admin/tenants/default').expect(429)

    expect(read((await service.http.get('/v1/tenant')).headers.ratelimit).requests).toMatchObject({ r: 0 })
  })
})

describe('the limits of a tenant that was deleted', () => {
  const request = (tenantId: string, over: boolean) => ({ tenantId, session: { over } }) as FastifyRequest
  const reply = { header: () => reply, getHeader: () => undefined } as unknown as FastifyReply
  const start = () => {
    const tenant = () => ({ limits: { rate: { requestsPerMinute: 60 } }, usage: {} })
    return new RequestLimits({ engine: { tenant } as unknown as Engine, clock: new StillClock() })
  }

  it('are forgotten with it, also by a request that was on its way', () => {
    const limits = start()
    limits.admit(request('acme', false))
    limits.show(request('acme', false), reply)
    expect(limits.size).toBe(1)

    limits.forget('acme')
    limits.admit(request('acme', true))
    limits.show(request('acme', true), reply)

    expect(limits.size).toBe(0)
  })

  it('do not grow with the tenants that come and go', () => {
    const limits = start()
    for (let i = 0; i < 1_000; i++) {
      limits.admit(request(`t${i}`, false))
      limits.forget(`t${i}`)
      limits.show(request(`t${i}`, true), reply)
    }

    expect(limits.size).toBe(0)
  })
})
