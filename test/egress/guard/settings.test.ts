import { describe, expect, it } from 'vitest'
import { EgressPolicy } from '../../../src/egress/guard/policy.ts'
import { EgressRulesError, findProblems } from '../../../src/egress/guard/settings.ts'

describe('findProblems', () => {
  it('finds nothing wrong with what is right', () => {
    const settings = {
      allow: ['10.1.0.0/16', '[fd00::1]:80'],
      allowHosts: ['*.svc.corp'],
      deny: ['0.0.0.0/0'],
      denyHosts: ['evil.test'],
      nat64: ['64:ff9b::/96'],
      own: ['fe80::1%eth0', 'anything'],
    }

    expect(findProblems(settings)).toEqual([])
    expect(findProblems({})).toEqual([])
  })

  it('names every entry that is wrong, where it is, and what would be right', () => {
    const problems = findProblems({
      allow: ['10.0.0.0/8', '10.1.2.3/16'],
      allowHosts: ['app.corp:80'],
      deny: ['app.corp'],
      denyHosts: ['10.0.0.1'],
      nat64: ['64:ff9b::/97'],
    })

    expect(problems).toEqual([
      {
        field: 'allow',
        index: 1,
        entry: '10.1.2.3/16',
        detail: '"10.1.2.3/16" has bits set after its prefix; the block is 10.1.0.0/16.',
      },
      {
        field: 'allowHosts',
        index: 0,
        entry: 'app.corp:80',
        detail: '"app.corp:80" is no host name, such as app.corp or *.svc.corp; it has no scheme, port or path.',
      },
      {
        field: 'deny',
        index: 0,
        entry: 'app.corp',
        detail: '"app.corp" is no IP address or CIDR block; a name belongs in the list of hosts.',
      },
      {
        field: 'denyHosts',
        index: 0,
        entry: '10.0.0.1',
        detail: '"10.0.0.1" is an address; it belongs in the list of addresses.',
      },
      {
        field: 'nat64',
        index: 0,
        entry: '64:ff9b::/97',
        detail: '"64:ff9b::/97" is no NAT64 prefix: an IPv6 block of /32, /40, /48, /56, /64 or /96.',
      },
    ])
  })
})

describe('a policy', () => {
  it('is not made of entries that are wrong', () => {
    const make = () => new EgressPolicy({ allow: ['10.0.0.1/8', 'x'], denyHosts: ['*'] })

    expect(make).toThrow(EgressRulesError)
    expect(make).toThrow(
      'allow: "10.0.0.1/8" has bits set after its prefix; the block is 10.0.0.0/8. allow: "x" is no IP address',
    )
    expect(() => new EgressPolicy().narrowed({ deny: ['10.0.0.1/8'] })).toThrow(EgressRulesError)
  })
})
