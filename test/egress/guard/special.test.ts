import { BlockList } from 'node:net'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatAddress, parseAddress } from '../../../src/egress/guard/address.ts'
import { formatRange } from '../../../src/egress/guard/range.ts'
import { SPECIAL, specialRange } from '../../../src/egress/guard/special.ts'

/** Every row of the table with two addresses that are in no narrower one: the ends, where they are. */
const ROWS: [range: string, first: string, last: string, kind?: 'metadata'][] = [
  ['0.0.0.0/8', '0.0.0.0', '0.255.255.255'],
  ['10.0.0.0/8', '10.0.0.0', '10.255.255.255'],
  ['100.64.0.0/10', '100.64.0.0', '100.127.255.255'],
  ['100.100.100.200', '100.100.100.200', '100.100.100.200', 'metadata'],
  ['127.0.0.0/8', '127.0.0.0', '127.255.255.255'],
  ['168.63.129.16', '168.63.129.16', '168.63.129.16', 'metadata'],
  ['169.254.0.0/16', '169.254.0.0', '169.254.255.255', 'metadata'],
  ['172.16.0.0/12', '172.16.0.0', '172.31.255.255'],
  ['192.0.0.0/24', '192.0.0.0', '192.0.0.255'],
  ['192.0.0.192', '192.0.0.192', '192.0.0.192', 'metadata'],
  ['192.0.2.0/24', '192.0.2.0', '192.0.2.255'],
  ['192.31.196.0/24', '192.31.196.0', '192.31.196.255'],
  ['192.52.193.0/24', '192.52.193.0', '192.52.193.255'],
  ['192.88.99.0/24', '192.88.99.0', '192.88.99.255'],
  ['192.168.0.0/16', '192.168.0.0', '192.168.255.255'],
  ['192.175.48.0/24', '192.175.48.0', '192.175.48.255'],
  ['198.18.0.0/15', '198.18.0.0', '198.19.255.255'],
  ['198.51.100.0/24', '198.51.100.0', '198.51.100.255'],
  ['203.0.113.0/24', '203.0.113.0', '203.0.113.255'],
  ['224.0.0.0/4', '224.0.0.0', '239.255.255.255'],
  ['240.0.0.0/4', '240.0.0.0', '255.255.255.255'],
  ['::/96', '::', '::ffff:ffff'],
  ['::1', '::1', '::1'],
  ['::/3', '::1:0:0', '1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['::ffff:0:0:0/96', '::ffff:0:0:0', '::ffff:0:ffff:ffff'],
  ['64:ff9b::/96', '64:ff9b::', '64:ff9b::ffff:ffff'],
  ['64:ff9b:1::/48', '64:ff9b:1::', '64:ff9b:1:ffff:ffff:ffff:ffff:ffff'],
  ['100::/64', '100::', '100::ffff:ffff:ffff:ffff'],
  ['100:0:0:1::/64', '100:0:0:1::', '100:0:0:1:ffff:ffff:ffff:ffff'],
  ['2001::/23', '2001::', '2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['2001:db8::/32', '2001:db8::', '2001:db8:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['2002::/16', '2002::', '2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['2620:4f:8000::/48', '2620:4f:8000::', '2620:4f:8000:ffff:ffff:ffff:ffff:ffff'],
  ['3fff::/20', '3fff::', '3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['4000::/2', '4000::', '7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['5f00::/16', '5f00::', '5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['8000::/1', '8000::', 'fbff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['fc00::/7', 'fc00::', 'fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['fd00:42::42', 'fd00:42::42', 'fd00:42::42', 'metadata'],
  ['fd00:100::100:200', 'fd00:100::100:200', 'fd00:100::100:200', 'metadata'],
  ['fd00:a9fe:a9fe::1', 'fd00:a9fe:a9fe::1', 'fd00:a9fe:a9fe::1', 'metadata'],
  ['fd00:c1::a9fe:a9fe', 'fd00:c1::a9fe:a9fe', 'fd00:c1::a9fe:a9fe', 'metadata'],
  ['fd00:ec2::/32', 'fd00:ec2::', 'fd00:ec2:ffff:ffff:ffff:ffff:ffff:ffff', 'metadata'],
  ['fd20:ce::254', 'fd20:ce::254', 'fd20:ce::254', 'metadata'],
  ['fe80::/10', 'fe80::', 'febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'metadata'],
  ['fec0::/10', 'fec0::', 'feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
  ['ff00::/8', 'ff00::', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
]

/** The public neighbours of what is special. */
const PUBLIC = [
  ...['1.0.0.0', '9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '126.255.255.255', '128.0.0.0'],
  ...['168.63.129.15', '168.63.129.17', '169.253.255.255', '169.255.0.0', '172.15.255.255', '172.32.0.0'],
  ...['191.255.255.255', '192.0.1.0', '192.0.1.255', '192.0.3.0', '192.31.195.255', '192.31.197.0', '192.52.192.255'],
  ...['192.52.194.0', '192.88.98.255', '192.88.100.0', '192.167.255.255', '192.169.0.0', '192.175.47.255'],
  ...['192.175.49.0', '198.17.255.255', '198.20.0.0', '198.51.99.255', '198.51.101.0', '203.0.112.255', '203.0.114.0'],
  ...['223.255.255.255', '8.8.8.8', '1.1.1.1'],
  ...['2000::', '2000:ffff::1', '2001:200::', '2001:db7:ffff::', '2001:db9::', '2003::', '2620:4f:7fff:ffff::'],
  ...[
    '2620:4f:8001::',
    '3ffe:ffff:ffff::',
    '3fff:1000::',
    '3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
    '2606:4700::1111',
  ],
]

/** The same again from the registries, in the words of another implementation. */
const REGISTRY = new BlockList()
for (const [net, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.31.196.0', 24],
  ['192.52.193.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['192.175.48.0', 24],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
  ['168.63.129.16', 32],
] as const)
  REGISTRY.addSubnet(net, bits)

const special = (text: string) => {
  const address = parseAddress(text)
  if (!address) throw new Error(`${text} is no address.`)
  return specialRange(address)
}

describe('specialRange', () => {
  it.each(ROWS)('knows %s from %s to %s', (range, first, last, kind = 'address' as 'metadata') => {
    for (const end of [first, last]) {
      const found = special(end)

      expect(found && { range: formatRange(found.range), kind: found.kind }).toEqual({ range, kind })
    }
  })

  it('has no row that is not tried here', () => {
    expect(SPECIAL.map(({ range }) => formatRange(range)).sort()).toEqual(ROWS.map(([range]) => range).sort())
  })

  it.each(PUBLIC)('finds nothing special in %s', (text) => {
    expect(special(text)).toBeUndefined()
  })

  it('agrees with the IPv4 registry on every address', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }), (value) => {
        const isSpecial = specialRange({ family: 4, value }) !== undefined

        expect(isSpecial).toBe(REGISTRY.check(formatAddress({ family: 4, value })))
      }),
      { numRuns: 2_000 },
    )
  })

  it('finds all of IPv6 special that is not in 2000::/3', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }), (value) => {
        fc.pre(value >> 125n !== 1n)

        expect(specialRange({ family: 6, value })).toBeDefined()
      }),
    )
  })

  it('lets an operator open by block or name only what a network of his may use', () => {
    const openable = SPECIAL.filter(({ opening }) => opening === 'block').map(({ range }) => formatRange(range))

    expect(openable).toEqual([
      ...['10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '172.16.0.0/12', '192.0.0.0/24', '192.0.2.0/24'],
      ...['192.31.196.0/24', '192.52.193.0/24', '192.88.99.0/24', '192.168.0.0/16', '192.175.48.0/24'],
      ...['198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24'],
      ...['::1', '2001:db8::/32', '2620:4f:8000::/48', '3fff::/20', 'fc00::/7', 'fec0::/10'],
    ])
  })
})
