import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatAddress, parseAddress, unmapped } from '../../../src/egress/guard/address.ts'

const parsed = (text: string) => {
  const address = parseAddress(text)
  if (!address) throw new Error(`${text} is no address.`)
  return address
}

describe('parseAddress', () => {
  it.each([
    ['0.0.0.0', 0n],
    ['127.0.0.1', 0x7f000001n],
    ['255.255.255.255', 0xffffffffn],
  ])('reads IPv4 %s', (text, value) => {
    expect(parseAddress(text)).toEqual({ family: 4, value })
  })

  it.each([
    ['::', 0n],
    ['::1', 1n],
    ['1::', 1n << 112n],
    ['::ffff:1.2.3.4', 0xffff01020304n],
    ['64:ff9b::1.2.3.4', (0x64_ff9bn << 96n) | 0x01020304n],
    ['1:2:3:4:5:6:7:8', 0x00010002000300040005000600070008n],
    ['1:2:3:4:5:6:1.2.3.4', 0x00010002000300040005000601020304n],
    ['FE80::aBcD', (0xfe80n << 112n) | 0xabcdn],
    ['1:2:3:4:5:6:7::', 0x00010002000300040005000600070000n],
  ])('reads IPv6 %s', (text, value) => {
    expect(parseAddress(text)).toEqual({ family: 6, value })
  })

  it.each([
    '',
    '1.2.3',
    '1.2.3.4.5',
    '01.2.3.4',
    '0x7f.0.0.1',
    '2130706433',
    '256.0.0.1',
    '1.2.3.4/8',
    ' 1.2.3.4',
    '1.2.3.4\n',
    '[::1]',
    '::1%lo',
    'fe80::1%25eth0',
    '1::2::3',
    '1:2:3:4:5:6:7:8:9',
    '::12345',
    '::ffff:01.2.3.4',
    'localhost',
  ])('does not read %j', (text) => {
    expect(parseAddress(text)).toBeUndefined()
  })

  it('reads back what it wrote', () => {
    const address = fc.oneof(
      fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }).map((value) => ({ family: 4 as const, value })),
      fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map((value) => ({ family: 6 as const, value })),
    )

    fc.assert(
      fc.property(address, (one) => {
        expect(parseAddress(formatAddress(one))).toEqual(one)
      }),
    )
  })

  it('reads what the URL parser makes of an IPv6 address, to the same number', () => {
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        const hostname = new URL(`http://[${text}]/`).hostname.slice(1, -1)

        expect(parseAddress(text)).toEqual(parsed(hostname))
      }),
    )
  })
})

describe('formatAddress', () => {
  it.each(['0.0.0.0', '10.0.0.255', '::', '::1', '2001:db8::1', 'ffff::', '1:0:2::3'])('writes %s', (text) => {
    expect(formatAddress(parsed(text))).toBe(text)
  })
})

describe('unmapped', () => {
  it.each([
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['::ffff:0:0', '0.0.0.0'],
    ['::ffff:ffff:ffff', '255.255.255.255'],
  ])('makes %s %s', (mapped, plain) => {
    expect(unmapped(parsed(mapped))).toEqual(parsed(plain))
  })

  it.each(['10.0.0.1', '::10.0.0.1', '::fffe:10.0.0.1', '::1:ffff:a00:1', '::ffff:0:a00:1', '::1'])(
    'leaves %s alone',
    (text) => {
      expect(unmapped(parsed(text))).toEqual(parsed(text))
    },
  )
})
