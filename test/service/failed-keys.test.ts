import { crc32 } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { keyIdOf, newKey } from '../../src/auth/key.ts'
import { readConfig } from '../../src/config.ts'
import { MAX_EXTRA_FAILURES, MAX_FAILURES, WINDOW_MS } from '../../src/http/failures.ts'
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

  it('are not looked up once there are too many, if they cannot be keys', async () => {
    await using world = await start()
    await world.fail(MAX_FAILURES)
    const mistyped = { authorization: `${bad().authorization}0` }
    for (let i = 0; i < MAX_EXTRA_FAILURES; i++) expect((await world.ask(mistyped)).status).toBe(429)
    let looked = 0
    const authenticate = world.service.keys.authenticate.bind(world.service.keys)
    world.service.keys.authenticate = (header) => {
      looked++
      return authenticate(header)
    }

    for (let i = 0; i < 5; i++) expect((await world.ask(mistyped)).status).toBe(429)

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

  it('is good though it was never there before, and whoever guesses is told to wait', async () => {
    await using world = await start()
    await world.fail(MAX_FAILURES)
    expect(await world.fail(200)).toEqual([429])

    const { text } = await world.service.keys.create({ tenantId: 'default' })
    const answers = [await world.service.http.get('/v1/tenant'), await world.ask({ authorization: `Bearer ${text}` })]

    expect(answers.map(({ status }) => status)).toEqual([200, 200])
    expect(await world.fail(1)).toEqual([429])
  })

  it('is told to wait like any other when it is revoked, expired or has another secret', async () => {
    await using world = await start()
    const { keys } = world.service
    const revoked = await keys.create({ tenantId: 'default' })
    await keys.revoke('default', revoked.row.id)
    const expired = await keys.create({ tenantId: 'default', expiresAt: world.clock.now() + 1 })
    world.clock.advance(2)
    await world.fail(MAX_FAILURES)

    const answers = [await world.ask(bad())]
    for (const { text } of [revoked, expired]) answers.push(await world.ask({ authorization: `Bearer ${text}` }))
    const body = (await keys.create({ tenantId: 'default' })).text.slice(0, 21) + newKey().text.slice(21, 65)
    const forged = `${body}${crc32(body.slice(0, -1)).toString(16).padStart(8, '0')}`
    expect(keyIdOf(forged)).not.toBeNull()
    answers.push(await world.ask({ authorization: `Bearer ${forged}` }))

    const problems = answers.map(({ body: { instance: _, ...problem } }) => problem)
    expect(problems).toEqual(Array(4).fill(problems[0]))
    expect(problems[0]).toMatchObject({ status: 429, code: 'rate_limited' })
  })

  it("is the operator's own until five texts that could be it were no good, and then where it was good before", async () => {
    await using world = await start({ GATHERD_TRUST_PROXY: '1' })
    const { service } = world
    const admin = async (address: string) => (await service.admin.get('/v1/admin/tenants').set(from(address))).status
    expect(await admin('10.0.0.1')).toBe(200)
    for (const address of ['10.0.0.1', '10.0.0.2']) await world.fail(MAX_FAILURES + 50, from(address))

    expect(await admin('10.0.0.1')).toBe(200)
    for (const address of ['10.0.0.1', '10.0.0.3'])
      for (let i = 0; i < MAX_FAILURES + MAX_EXTRA_FAILURES; i++)
        await world.ask({ ...from(address), authorization: `Bearer guess-${i}` })

    expect([await admin('10.0.0.1'), await admin('10.0.0.2'), await admin('10.0.0.3')]).toEqual([200, 200, 429])
    world.clock.advance(WINDOW_MS)
    expect(await admin('10.0.0.3')).toBe(200)
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

describe('a proxy that is not known', () => {
  const TEXT = 'forwarded address not believed'
  const warnings = ({ service }: Awaited<ReturnType<typeof start>>) =>
    service.log.lines.filter(({ level }) => level === 40).map(({ msg, name }) => [msg, name])

  it.each<[string, Headers, Headers]>([
    ['X-Forwarded-For', {}, from('10.0.0.1')],
    ['Forwarded', {}, { forwarded: 'for=10.0.0.1' }],
    ['X-Forwarded-For, of another address', { GATHERD_TRUST_PROXY: '10.0.0.0/8' }, from('10.0.0.1')],
  ])('is warned of once: %s', async (_what, env, headers) => {
    await using world = await start(env)

    for (let i = 0; i < 3; i++) await world.ask(headers, '/livez')

    expect(warnings(world)).toEqual([[TEXT, 'GATHERD_TRUST_PROXY']])
  })

  it('is nobody who says nothing, and no proxy that is known', async () => {
    await using world = await start({ GATHERD_TRUST_PROXY: 'loopback' })

    await world.ask({}, '/livez')
    await world.ask(from('10.0.0.1'), '/livez')

    expect(warnings(world)).toEqual([])
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
