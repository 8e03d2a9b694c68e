import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { canonicalName, checkName, isHostName } from '../../../src/egress/guard/name.ts'

describe('canonicalName', () => {
  it.each([
    ['APP.Corp.', 'app.corp'],
    ['app.corp', 'app.corp'],
    ['app.corp..', 'app.corp.'],
  ])('spells %s as %s', (name, canonical) => {
    expect(canonicalName(name)).toBe(canonical)
  })
})

describe('isHostName', () => {
  it.each([
    'example.com',
    'a_b.example.com',
    '_dmarc.example.com',
    'r3---sn-x.example.com',
    'xn--nxasmq6b.example',
    '1.2.3.example.com',
    'localhost',
    `${'a'.repeat(63)}.example.com`,
    `${'a.'.repeat(126)}a`,
  ])('takes %s', (name) => {
    expect(isHostName(name)).toBe(true)
  })

  it.each([
    '',
    '.',
    'a..b',
    '.example.com',
    'example.com.',
    '-a.example.com',
    'a-.example.com',
    '*.example.com',
    'exam ple.com',
    'EXAMPLE.com',
    'exämple.com',
    'a!b.com',
    'a.com\n',
    `${'a'.repeat(64)}.example.com`,
    `${'a.'.repeat(126)}aa`,
  ])('refuses %j', (name) => {
    expect(isHostName(name)).toBe(false)
  })
})

describe('checkName', () => {
  const LOCAL = [
    ...['localhost', 'foo.localhost', 'localhost.localdomain', 'printer.local', 'a.b.c.local', 'db.internal'],
    ...['nas.home.arpa', 'wiki.corp', 'nas.lan', 'nas.home', 'wiki.intranet', 'x.private', 'x.onion'],
    ...[
      'kubernetes.default',
      'kubernetes.default.svc',
      'redis',
      'unix',
      'home',
      'x.kubernetes.default',
      'web.service.consul',
      'localhost4.localdomain4',
      'localhost6.localdomain6',
    ],
  ]

  it.each(LOCAL)('refuses %s as local', (name) => {
    expect(checkName(name)?.kind).toBe('name')
  })

  it.each([
    ...['metadata', 'metadata.google.internal', 'metadata.goog', 'x.metadata.goog', 'instance-data'],
    ...['instance-data.ec2.internal', 'metadata.tencentyun.com', 'metadata.azure.internal', 'metadata.packet.net'],
    'metadata.platformequinix.com',
  ])('refuses %s as a metadata service', (name) => {
    expect(checkName(name)?.kind).toBe('metadata')
  })

  it.each([
    ...['example.com', 'localhost.example.com', 'internal.example.com', 'notlocalhost.com', 'evillocal.com'],
    ...['mycorp.com', 'a.notcorp', 'xlocal.xn--p1ai', 'arpa.com', 'x.arpa', 'xhome.arpa', 'metadata.example.com'],
    ...['corp.internal.io', 'notkubernetes.default', 'xmetadata.goog'],
  ])('lets %s pass', (name) => {
    expect(checkName(name)).toBeUndefined()
  })

  it('refuses all that is under a local name, and only on label borders', () => {
    const label = fc.stringMatching(/^[a-z0-9]{1,10}$/)

    fc.assert(
      fc.property(fc.constantFrom(...LOCAL), label, (local, sub) => {
        expect(checkName(`${sub}.${local.includes('.') ? local : 'local'}`)).toBeDefined()
        expect(checkName(`${local.replaceAll('.', '')}.com`)).toBeUndefined()
      }),
    )
  })
})
