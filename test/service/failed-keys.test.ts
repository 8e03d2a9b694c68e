import { describe, expect, it } from 'vitest'
import { newKey } from '../../src/auth/key.ts'
import { readConfig } from '../../src/config.ts'
import { MAX_FAILURES, WINDOW_MS } from '../../src/http/failures.ts'
import { trustedProxies } from '../../src/http/proxies.ts'
import { StillClock, startFake } from '../support/fake-parts.ts'

type Headers = Record<string, string>

/** A service whose clock is the test's. */
async function start(env: Headers = {}) {
  const clock = new StillClock()
  const service = await startFake({ env, clock })
  const ask = async (headers: Headers, path = '/v1/tenant') => await service.anybody.get(path).set(headers)
  const fail = async (count: number, headers: Headers = {}) => {
    const statuses = new Set<number>()
    for (let i = 0; i < count; i++) statuses.add((await ask({ ...headers, ...bad() })).status)
    return [...statuses]
  }
  return { service, clock, ask, fail, [Symbol.asyncDispose]: () => service[Symbol.asyncDispose]() }
}

/** A key like any other, which nobody made. */
const bad = (): Headers => ({ authorization: `Bearer ${newKey().text}` })
const from = (address: string): Headers => ({ 'x-forwarded-for': address })

describe('failed keys', () => {
  it('are twenty a minute of an address, and then 429 with the time to wait', async () => {
    await using world = await start()
    expect(await world.fail(MAX_FAILURES)).toEqual([401])
    world.clock.advance(15_500)

    const { status, body, headers } = await world.ask(bad())

    expect([status, body.code, headers['retry-after']]).toEqual([429, 'rate_limited', '45'])
    expect(headers['content-type']).toBe('application/problem+json; charset=utf-8')
    expect(headers['www-authenticate']).toBeUndefined()
  })

  it('are looked at again after that time', async () => {
    await using world = await start()
    await world.fail(MAX_FAILURES)

    world.clock.advance(WINDOW_MS - 1)
    expect(await world.fail(1)).toEqual([429])
    world.clock.advance(1)

    expect(await world.fail(MAX_FAILURES)).toEqual([401])
    expect(await world.fail(1)).toEqual([429])
  })

  it('are not looked up once there are too many', async () => {
    await using world = await start()
    await world.fail(MAX_FAILURES)
    let looked = 0
    const authenticate = world.service.keys.authenticate.bind(world.service.keys)
    world.service.keys.authenticate = (header) => {
      looked++
      return authenticate(header)
    }

    await world.fail(5)

    expect(looked).toBe(0)
    expect(world.service.engine.calls).toEqual([])
  })

  it.each<[string, Headers]>([
    ['malformed', { authorization: 'Bearer nope' }],
    ['of another scheme', { authorization: 'Basic eDp5' }],
    ['empty', { authorization: 'Bearer' }],
    ['too long', { authorization: `Bearer ${'x'.repeat(5_000)}` }],
  ])('count when they are %s', async (_what, headers) => {
    await using world = await start()
    for (let i = 0; i < MAX_FAILURES; i++) expect((await world.ask(headers)).status).toBe(401)

    expect((await world.ask(headers)).status).toBe(429)
  })

  it('count when they were good once', async () => {
    await using world = await start()
    const { row, text } = await world.service.keys.create({ tenantId: 'default' })
    const headers = { authorization: `Bearer ${text}` }
    expect((await world.ask(headers)).status).toBe(200)
    await world.service.keys.revoke('default', row.id)

    const statuses = []
    for (let i = 0; i <= MAX_FAILURES; i++) statuses.push((await world.ask(headers)).status)

    expect(statuses).toEqual([...Array(MAX_FAILURES).fill(401), 429])
  })

  it('count on the routes of the operator as on those of tenants', async () => {
    await using world = await start()
    await world.fail(MAX_FAILURES)

    expect((await world.ask(bad(), '/v1/admin/tenants')).status).toBe(429)
    expect((await world.ask(bad(), '/v1/batches/x/events')).status).toBe(429)
  })

  it('do not count when there is no key, which is 401 as ever', async () => {
    await using world = await start()
    for (let i = 0; i < 3 * MAX_FAILURES; i++) expect((await world.ask({})).status).toBe(401)

    expect(await world.fail(MAX_FAILURES)).toEqual([401])
    expect((await world.ask({})).status).toBe(401)
    expect((await world.ask({ authorization: '' })).status).toBe(401)
  })

  it('do not count when the key is good for something else', async () => {
    await using world = await start()
    for (let i = 0; i < 2 * MAX_FAILURES; i++)
      expect((await world.service.http.get('/v1/admin/tenants')).status).toBe(403)

    expect((await world.service.http.get('/v1/tenant')).status).toBe(200)
  })

  it('lock nobody out of what needs no key', async () => {
    await using world = await start()
    await world.fail(MAX_FAILURES + 1)

    for (const path of ['/livez', '/readyz', '/openapi.json']) expect((await world.ask(bad(), path)).status).toBe(200)
  })
})

describe('a good key from an address with too many failures', () => {
  it('is good there if it was before, the admin key too', async () => {
    await using world = await start()
    const { service } = world
    expect([
      (await service.http.get('/v1/tenant')).status,
      (await service.admin.get('/v1/admin/tenants')).status,
    ]).toEqual([200, 200])
    await world.fail(MAX_FAILURES)

    for (let i = 0; i < 30; i++) expect((await service.http.get('/v1/tenant')).status).toBe(200)

    expect((await service.admin.get('/v1/admin/tenants')).status).toBe(200)
    expect(await world.fail(1)).toEqual([429])
  })

  it('is not looked at if it was not: whoever guesses does not learn that he has guessed right', async () => {
    await using world = await start()
    await world.fail(MAX_FAILURES)

    const [good, wrong] = [await world.service.http.get('/v1/tenant'), await world.ask(bad())]

    const { instance: _, ...problem } = good.body
    expect({ ...problem, instance: wrong.body.instance }).toEqual(wrong.body)
    expect([good.status, wrong.status]).toEqual([429, 429])
    world.clock.advance(WINDOW_MS)
    expect((await world.service.http.get('/v1/tenant')).status).toBe(200)
  })
})

describe('the address of a client', () => {
  it('is that of its connection, whatever it says in X-Forwarded-For', async () => {
    await using world = await start()
    for (let i = 0; i < MAX_FAILURES; i++) await world.fail(1, from(`10.0.0.${i}`))

    expect(await world.fail(1, from('10.0.1.1'))).toEqual([429])
  })

  it.each(['loopback', '127.0.0.0/8, ::1', '127.0.0.1', '1'])('is what a trusted proxy says: %s', async (proxies) => {
    await using world = await start({ GATHERD_TRUST_PROXY: proxies })
    await world.fail(MAX_FAILURES, from('10.0.0.1'))

    expect(await world.fail(1, from('10.0.0.1'))).toEqual([429])
    expect(await world.fail(1, from('10.0.0.2'))).toEqual([401])
    // What stands before it came from the client itself.
    expect(await world.fail(1, from('10.9.9.9, 10.0.0.1'))).toEqual([429])
  })

  it('is not what another one says', async () => {
    await using world = await start({ GATHERD_TRUST_PROXY: '10.0.0.0/8' })
    for (let i = 0; i < MAX_FAILURES; i++) await world.fail(1, from(`10.0.0.${i}`))

    expect(await world.fail(1, from('10.0.1.1'))).toEqual([429])
  })

  it('counts by the /64 when it is of IPv6', async () => {
    await using world = await start({ GATHERD_TRUST_PROXY: '1' })
    for (let i = 0; i < MAX_FAILURES; i++) await world.fail(1, from(`2001:db8:0:1::${i.toString(16)}`))

    expect(await world.fail(1, from('2001:db8:0:1:ffff::1'))).toEqual([429])
    expect(await world.fail(1, from('2001:db8:0:2::1'))).toEqual([401])
  })
})

describe('GATHERD_TRUST_PROXY', () => {
  it.each<[string, string[] | number]>([
    ['1', 1],
    ['99', 99],
    ['10.0.0.7', ['10.0.0.7']],
    ['10.0.0.0/8,fd00::/8 , ::1', ['10.0.0.0/8', 'fd00::/8', '::1']],
    ['loopback,uniquelocal', ['loopback', 'uniquelocal']],
  ])('takes %s', (text, value) => {
    expect(readConfig({ GATHERD_TRUST_PROXY: text }).trustProxy).toEqual(value)
  })

  it.each(['true', '*', '0', '100', '0.0.0.0/0', '::/0', '10.0.0.0/33', 'proxy.example', '10.0.0.1,', '1,2'])(
    'refuses %s',
    (text) => {
      expect(() => readConfig({ GATHERD_TRUST_PROXY: text })).toThrow('GATHERD_TRUST_PROXY must be addresses')
    },
  )

  it('is off unless it is set, and a number is so many proxies and no more', () => {
    const two = trustedProxies(2)

    expect([readConfig({}).trustProxy, trustedProxies(false)]).toEqual([false, false])
    expect([0, 1, 2].map((hop) => typeof two === 'function' && two('10.0.0.1', hop))).toEqual([true, true, false])
  })
})
