import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { idleEntries } from '../../../src/egress/guard/idle-entries.ts'
import { EgressPolicy } from '../../../src/egress/guard/policy.ts'
import type { EgressSettings } from '../../../src/egress/guard/settings.ts'

const idle = (settings: EgressSettings) => idleEntries(settings).map(({ field, entry, why }) => [field, entry, why])

describe('entries that open nothing', () => {
  it.each([
    [{ allow: ['8.8.8.8'] }, 'is public'],
    [{ allow: ['8.8.8.8:443'] }, 'is public'],
    [{ allow: ['2606:4700::1111'] }, 'is public'],
    [{ allow: ['8.8.0.0/16'] }, 'is no block inside a private range'],
    [{ allow: ['0.0.0.0/0'] }, 'is no block inside a private range'],
    [{ allow: ['0.0.0.0/0:443'] }, 'is no block inside a private range'],
    [{ allow: ['169.254.0.0/16'] }, 'is in 169.254.0.0/16, link-local'],
    [{ allow: ['169.254.169.0/24'], mode: 'allow-list' }, 'is in 169.254.0.0/16, link-local'],
    [{ allow: ['fe80::/64'] }, 'is in fe80::/10, link-local'],
    [{ allow: ['::ffff:169.254.0.0/112'] }, 'is in 169.254.0.0/16, link-local'],
    [{ allow: ['10.1.0.0/16'], deny: ['10.0.0.0/8'] }, 'is denied by "10.0.0.0/8"'],
    [{ allow: ['10.1.0.0/16:80'], deny: ['10.1.0.0/16:80'] }, 'is denied by "10.1.0.0/16:80"'],
    [{ allowHosts: ['metadata.google.internal'] }, "is the name of a cloud's metadata service"],
    [{ allowHosts: ['App.corp.'], denyHosts: ['app.corp'] }, 'is denied by the denied hosts'],
    [{ allowHosts: ['a.app.corp'], denyHosts: ['*.app.corp'] }, 'is denied by the denied hosts'],
    [{ allowHosts: ['*.b.corp'], denyHosts: ['*.corp'] }, 'is denied by the denied hosts'],
    [{ allowHosts: ['a.svc.corp', '*.svc.corp'] }, 'is under a "*." entry'],
  ] satisfies [EgressSettings, string][])('%j: %s', (settings, why) => {
    expect(idle(settings)).toEqual([
      [
        'allow' in settings ? 'allow' : 'allowHosts',
        ('allow' in settings ? settings.allow : settings.allowHosts)[0],
        expect.stringContaining(why),
      ],
    ])
  })

  it.each<EgressSettings>([
    { allow: ['10.0.0.0/8', '10.1.0.0/16:80', '127.0.0.1', '::1', 'fd00:1::/32', '100.64.1.0/24'] },
    { allow: ['169.254.169.254', 'fe80::1', '224.0.0.1'] },
    { allow: ['8.8.8.8', '8.8.0.0/16', '0.0.0.0/0'], mode: 'allow-list' },
    // A port that is refused is opened by an entry that has it.
    { allow: ['8.8.8.8:6379', '8.8.0.0/16:6379'] },
    // An own address that is public is opened by exactly it.
    { allow: ['8.8.8.8'], own: ['8.8.8.8'] },
    { allow: ['10.1.0.0/16'], deny: ['10.1.2.0/24', '10.1.0.0/16:80', '10.2.0.0/16'] },
    { allow: ['10.1.0.0/16', '10.1.0.0/16:80'] },
    { allowHosts: ['app.corp', '*.svc.corp', 'svc.corp', 'api.example.com', 'localhost'] },
    { allowHosts: ['*.app.corp', 'b.corp'], denyHosts: ['a.app.corp', '*.b.corp'] },
  ])('are not those of %j', (settings) => {
    expect(idle(settings)).toEqual([])
  })

  it('are all after the first of the same, however it is spelled', () => {
    const allow = ['10.1.0.0/16', '10.2.0.0/16', '10.1.0.0/16', '::ffff:10.2.0.0/112', '10.1.0.0/16:80']

    expect(idle({ allow, allowHosts: ['app.corp', 'APP.corp.'] })).toEqual([
      ['allow', '10.1.0.0/16', 'is there twice'],
      ['allow', '::ffff:10.2.0.0/112', 'is there twice'],
      ['allowHosts', 'APP.corp.', 'is there twice'],
    ])
  })

  it('are single addresses exactly where the policy is the same without them', () => {
    const address = fc.constantFrom(
      '8.8.8.8',
      '10.0.0.1',
      '169.254.169.254',
      '127.0.0.1',
      '224.0.0.1',
      '2606:4700::1',
      'fd00::1',
      '9.9.9.9',
    )
    const port = fc.constantFrom(undefined, 80, 6379)
    const text = (host: string, to?: number) =>
      to === undefined ? host : host.includes(':') ? `[${host}]:${to}` : `${host}:${to}`
    const mode = fc.constantFrom('public' as const, 'allow-list' as const)
    fc.assert(
      fc.property(address, port, mode, fc.option(address), (host, entryPort, how, denied) => {
        const settings = { mode: how, deny: denied ? [denied] : [], own: ['9.9.9.9'] }
        // One that keeps the list from being empty.
        const allow = ['10.99.99.99', text(host, entryPort)]
        const [with_, without] = [
          new EgressPolicy({ ...settings, allow }),
          new EgressPolicy({ ...settings, allow: ['10.99.99.99'] }),
        ]
        const ports = entryPort === undefined ? [80, 6379, 8080] : [entryPort]
        const changes = ports.some((to) => !with_.check({ host, port: to }) !== !without.check({ host, port: to }))

        expect(idle({ ...settings, allow }).length).toBe(changes ? 0 : 1)
      }),
      { numRuns: 500 },
    )
  })
})
