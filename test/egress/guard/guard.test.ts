import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Guard } from '../../../src/egress/guard/guard.ts'

const RULES = { allow: ['127.0.0.1:8080', '10.1.0.0/16'], allowHosts: ['app.corp'], denyHosts: ['evil.example.com'] }

const HOSTS = [
  '127.0.0.1:8080',
  '127.0.0.1',
  '0x7f.1:8080',
  '10.1.2.3',
  '10.2.2.3',
  '[::1]',
  'app.corp',
  'APP.corp.',
  'db.internal',
  'evil.example.com',
  'example.com',
  'example.com:22',
  'user@example.com',
  'a..b',
  'exämple.com',
  'example.com:65535',
  'example.com:000443',
  '127.0.0.1:008080',
  '127.0.0.1:73616',
  `${'0'.repeat(300)}10.1.2.3`,
  '',
]
const url = fc
  .tuple(
    fc.constantFrom('http', 'https', 'HTTP', 'ftp'),
    fc.constantFrom('://', ':/', ':///'),
    fc.constantFrom(...HOSTS),
    fc.constantFrom('', '/', '/a?b#c', '?q=@x', '#f', '/@10.0.0.1', '\\@10.1.2.3'),
  )
  .map((parts) => parts.join(''))

describe('Guard', () => {
  it('lets the same URLs pass whether it remembers their hosts or not', () => {
    fc.assert(
      fc.property(fc.array(url, { minLength: 1, maxLength: 30 }), (urls) => {
        const guard = new Guard(RULES)
        // What is no URL is not asked about: the schema has refused it.
        for (const text of urls.filter((one) => URL.canParse(one) && !one.includes('\\')))
          expect([text, guard.passes('acme', text)]).toEqual([
            text,
            new Guard(RULES).checkUrl('acme', text) instanceof URL,
          ])
      }),
      { numRuns: 300 },
    )
  })

  it('forgets what it let pass when the tenant is narrowed, for that tenant alone', () => {
    const guard = new Guard(RULES)
    const passing = (tenant: string) => guard.passes(tenant, 'http://10.1.2.3/a')
    expect([passing('acme'), passing('other')]).toEqual([true, true])

    guard.narrow('acme', { deny: ['10.1.2.0/24'] })
    expect([passing('acme'), passing('other'), passing('acme')]).toEqual([false, true, false])

    guard.narrow('acme', undefined)
    expect(passing('acme')).toBe(true)
  })

  it('remembers no more than so many hosts', () => {
    const guard = new Guard(RULES)
    for (let i = 0; i < 5_000; i++) expect(guard.passes('acme', `http://h${i}.example.com/`)).toBe(true)

    expect(guard.passes('acme', 'http://10.2.0.1/')).toBe(false)
  })

  it('tells the operator of each refusal with its kind and detail, and the tenant nothing of it', () => {
    const told: unknown[] = []
    const guard = new Guard({}, (facts) => told.push(facts))

    expect(() => guard.passage('acme', new URL('http://10.0.0.1/'))).toThrow('The destination is not allowed.')
    expect(() =>
      guard.passage('acme', new URL('http://example.com/')).judge([{ address: '10.0.0.2', family: 4 }]),
    ).toThrow('The destination is not allowed.')
    expect(() => guard.passage('acme', new URL('http://example.com/')).recheck('127.0.0.1')).toThrow(
      'The destination is not allowed.',
    )

    expect(told).toHaveLength(3)
    expect(told).toEqual(told.map(() => expect.objectContaining({ tenantId: 'acme', kind: 'address' })))
    expect(JSON.stringify(told[1])).toContain('10.0.0.2')
  })
})
