import { describe, expect, it } from 'vitest'
import { HostSet, parseAddressEntry, parseHostEntry } from '../../../src/egress/guard/entries.ts'
import { BadEntryError, formatRange } from '../../../src/egress/guard/range.ts'

describe('parseAddressEntry', () => {
  it.each([
    ['10.1.0.0/16', '10.1.0.0/16', undefined],
    ['10.9.9.9', '10.9.9.9', undefined],
    ['10.9.9.9:9000', '10.9.9.9', 9_000],
    ['10.1.0.0/16:443', '10.1.0.0/16', 443],
    ['fd00:1::/32', 'fd00:1::/32', undefined],
    ['fd00::1', 'fd00::1', undefined],
    ['[fd00::1]', 'fd00::1', undefined],
    ['[fd00::1]:80', 'fd00::1', 80],
    ['[fd00::/8]:65535', 'fd00::/8', 65_535],
    ['[10.0.0.1]:1', '10.0.0.1', 1],
    ['::ffff:10.0.0.1', '10.0.0.1', undefined],
    ['::ffff:10.1.0.0/112', '10.1.0.0/16', undefined],
    ['::ffff:0:0/96', '0.0.0.0/0', undefined],
    ['::/0', '::/0', undefined],
  ])('reads %s', (text, range, port) => {
    const entry = parseAddressEntry(text)

    expect([formatRange(entry.range), entry.port]).toEqual([range, port])
  })

  it.each([
    ['10.1.2.3/16', 'has bits set after its prefix; the block is 10.1.0.0/16'],
    ['10.9.9.9:0', 'has a port that is not 1 to 65535'],
    ['10.9.9.9:65536', 'has a port that is not 1 to 65535'],
    ['10.9.9.9:', 'is no IP address or CIDR block'],
    ['[fd00::1]:', 'is no IP address or CIDR block'],
    ['[fd00::1', 'is no IP address or CIDR block'],
    ['fe80::1%eth0', 'is no IP address or CIDR block'],
    ['010.0.0.1', 'is no IP address or CIDR block'],
    ['10.1', 'is no IP address or CIDR block'],
    ['', 'is no IP address or CIDR block'],
    ['app.corp', 'a name belongs in the list of hosts'],
    ['http://10.0.0.1', 'a name belongs in the list of hosts'],
    ['cafe', 'is no IP address or CIDR block'],
  ])('refuses %j', (text, why) => {
    expect(() => parseAddressEntry(text)).toThrow(BadEntryError)
    expect(() => parseAddressEntry(text)).toThrow(why)
  })
})

describe('parseHostEntry', () => {
  it.each([
    ['app.corp', 'app.corp'],
    ['APP.Corp.', 'app.corp'],
    ['*.Svc.Corp', '*.svc.corp'],
    ['*.corp', '*.corp'],
    ['redis', 'redis'],
    ['bücher.example', 'xn--bcher-kva.example'],
  ])('reads %s as %s', (text, entry) => {
    expect(parseHostEntry(text)).toBe(entry)
  })

  it.each([
    ['10.0.0.1', 'belongs in the list of addresses'],
    ['[::1]', 'belongs in the list of addresses'],
    ['fd00::1', 'belongs in the list of addresses'],
    ['10.0.0.0/8', 'belongs in the list of addresses'],
    ['127.1', 'belongs in the list of addresses'],
    ['*', 'is no host name'],
    ['*.', 'is no host name'],
    ['', 'is no host name'],
    ['a.*.corp', 'is no host name'],
    ['*app.corp', 'is no host name'],
    ['app.corp:80', 'is no host name'],
    ['http://app.corp', 'is no host name'],
    ['app corp', 'is no host name'],
    ['.corp', 'is no host name'],
    ['ap\u0000p.corp', 'is no host name'],
  ])('refuses %j', (text, why) => {
    expect(() => parseHostEntry(text)).toThrow(BadEntryError)
    expect(() => parseHostEntry(text)).toThrow(why)
  })
})

describe('HostSet', () => {
  const hosts = new HostSet(['app.corp', '*.svc.corp'])

  it.each([
    ['app.corp', true],
    ['a.svc.corp', true],
    ['a.b.svc.corp', true],
    ['svc.corp', false],
    ['evilapp.corp', false],
    ['x.app.corp', false],
    ['app.corp.example.com', false],
    ['evilsvc.corp', false],
    ['corp', false],
  ])('%s: %s', (name, expected) => {
    expect(hosts.has(name)).toBe(expected)
  })
})
