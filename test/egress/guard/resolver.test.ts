import { describe, expect, it } from 'vitest'
import { MAX_ANSWERS, nameResolver } from '../../../src/egress/guard/resolver.ts'
import { type DnsZone, TestDns } from '../../support/dns.ts'

const ten = (prefix: string, first = 1) => Array.from({ length: 10 }, (_, index) => `${prefix}${index + first}`)

const ZONE: DnsZone = {
  'both.test': { A: [['192.0.2.1', '192.0.2.2']], AAAA: [['2001:db8::1']] },
  'four.test': { A: [['192.0.2.1']] },
  'six.test': { AAAA: [['2001:db8::1', '::ffff:127.0.0.1', '::127.0.0.1']] },
  'none.test': {},
  'alias.test': { CNAME: 'alias2.test' },
  'alias2.test': { CNAME: 'both.test' },
  'dangling.test': { CNAME: 'nowhere.test' },
  'turning.test': { A: [['192.0.2.1'], ['192.0.2.2', '192.0.2.3']] },
  'many.test': { A: [ten('192.0.2.')], AAAA: [ten('2001:db8::')] },
  'twice.test': { A: [['192.0.2.1', '192.0.2.1']] },
  'large.test': { A: [[...ten('192.0.2.'), ...ten('192.0.2.', 11)]], tcpOnly: true },
  'silent.test': { drop: true },
  'broken.test': { rcode: 2 },
  'half.test': { A: [['192.0.2.1']], rcode: 2 },
  'worse.test': { A: [[]], rcode: 2 },
}

async function resolve(host: string, dns: TestDns): Promise<string[]> {
  const answers = await nameResolver({ servers: [dns.server] })(host)
  for (const { address, family } of answers) expect(family).toBe(address.includes(':') ? 6 : 4)
  return answers.map(({ address }) => address)
}

describe('nameResolver', () => {
  it.each([
    ['both.test', ['192.0.2.1', '2001:db8::1', '192.0.2.2']],
    ['BOTH.test.', ['192.0.2.1', '2001:db8::1', '192.0.2.2']],
    ['four.test', ['192.0.2.1']],
    ['half.test', ['192.0.2.1']],
    ['six.test', ['2001:db8::1', '::ffff:127.0.0.1', '::127.0.0.1']],
    ['alias.test', ['192.0.2.1', '2001:db8::1', '192.0.2.2']],
    ['twice.test', ['192.0.2.1']],
  ])('finds the addresses of %s', async (host, expected) => {
    await using dns = await TestDns.start(ZONE)

    expect(await resolve(host, dns)).toEqual(expected)
  })

  it('looks at no more than 16 addresses, of both families', async () => {
    await using dns = await TestDns.start(ZONE)
    const addresses = await resolve('many.test', dns)

    expect(addresses).toHaveLength(MAX_ANSWERS)
    expect(addresses.filter((address) => address.includes(':'))).toHaveLength(MAX_ANSWERS / 2)
  })

  it('asks over TCP what does not fit', async () => {
    await using dns = await TestDns.start(ZONE)

    expect(await resolve('large.test', dns)).toHaveLength(MAX_ANSWERS)
  })

  it.each([
    ['none.test', 'ENODATA'],
    ['nowhere.test', 'ENOTFOUND'],
    ['dangling.test', 'ENOTFOUND'],
  ])('fails for %s with %s', async (host, code) => {
    await using dns = await TestDns.start(ZONE)

    await expect(resolve(host, dns)).rejects.toMatchObject({ code })
  })

  it.each(['broken.test', 'worse.test'])(
    'says for %s that a server failed, not that there is no address',
    async (host) => {
      await using dns = await TestDns.start(ZONE)

      await expect(resolve(host, dns)).rejects.toMatchObject({ code: 'ESERVFAIL' })
    },
  )

  it('asks once a family, for the name alone, and each time anew', async () => {
    await using dns = await TestDns.start(ZONE)

    expect(await resolve('turning.test', dns)).toEqual(['192.0.2.1'])
    expect(dns.queries('turning.test')).toBe(2)
    expect(await resolve('turning.test', dns)).toEqual(['192.0.2.2', '192.0.2.3'])
    expect(dns.queries()).toBe(4)
  })

  it.each(['192.0.2.1', '2001:db8::1'])('asks nobody for %s', async (address) => {
    await using dns = await TestDns.start(ZONE)

    expect(await resolve(address, dns)).toEqual([address])
    expect(dns.queries()).toBe(0)
  })

  it('knows nothing of the hosts file', async () => {
    await using dns = await TestDns.start(ZONE)

    await expect(resolve('localhost.', dns)).rejects.toMatchObject({ code: 'ENOTFOUND' })
    expect(dns.queries('localhost')).toBe(2)
  })

  // Without the abort it takes three seconds.
  it('stops asking at an abort, with its reason', { timeout: 2_000 }, async () => {
    await using dns = await TestDns.start(ZONE)
    const controller = new AbortController()
    const reason = new Error('enough')
    const resolving = nameResolver({ servers: [dns.server] })('silent.test', controller.signal)

    await dns.asked('silent.test', 2)
    controller.abort(reason)

    await expect(resolving).rejects.toBe(reason)
  })

  it('leaves other lookups alone at an abort', async () => {
    await using dns = await TestDns.start({ ...ZONE, 'slow.test': { drop: true } })
    const resolveName = nameResolver({ servers: [dns.server] })
    const controller = new AbortController()
    const aborted = resolveName('silent.test', controller.signal)
    const other = resolveName('both.test')
    controller.abort(new Error('enough'))

    await expect(aborted).rejects.toThrow('enough')
    expect(await other).toHaveLength(3)
  })

  it('asks nobody when it is aborted before', async () => {
    await using dns = await TestDns.start(ZONE)
    const reason = new Error('too late')

    await expect(nameResolver({ servers: [dns.server] })('both.test', AbortSignal.abort(reason))).rejects.toBe(reason)
    expect(dns.queries()).toBe(0)
  })

  it('gives up on a server that never answers before a connection would', { timeout: 8_000 }, async () => {
    await using dns = await TestDns.start(ZONE)
    const start = performance.now()

    await expect(resolve('silent.test', dns)).rejects.toMatchObject({ code: 'ETIMEOUT' })
    expect(performance.now() - start).toBeLessThan(4_900)
  })

  it.each(['nonsense', '127.0.0.1:99999999', ''])('refuses %j as a server when it is made', (server) => {
    expect(() => nameResolver({ servers: [server] })).toThrow()
  })

  it('asks the servers of the system when none are given', () => {
    expect(() => nameResolver()).not.toThrow()
    expect(() => nameResolver({ servers: [] })).not.toThrow()
  })
})
