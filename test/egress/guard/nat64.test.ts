import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Address, formatAddress, parseAddress } from '../../../src/egress/guard/address.ts'
import { Decoder, parseNat64 } from '../../../src/egress/guard/nat64.ts'

function decode(text: string, ...prefixes: string[]): string | undefined {
  const address = parseAddress(text)
  const decoded = address && new Decoder(prefixes.map(parseNat64)).decode(address)
  return decoded && formatAddress(decoded)
}

/** The drawing of RFC 6052, 2.2, byte by byte: where the four bytes are, for each length of prefix. */
const PLACES: Record<number, number[]> = {
  32: [4, 5, 6, 7],
  40: [5, 6, 7, 9],
  48: [6, 7, 9, 10],
  56: [7, 9, 10, 11],
  64: [9, 10, 11, 12],
  96: [12, 13, 14, 15],
}

describe('a decoder', () => {
  // RFC 6052, 2.4.
  it.each([
    ['2001:db8::/32', '2001:db8:c000:221::'],
    ['2001:db8:100::/40', '2001:db8:1c0:2:21::'],
    ['2001:db8:122::/48', '2001:db8:122:c000:2:2100::'],
    ['2001:db8:122:300::/56', '2001:db8:122:3c0:0:221::'],
    ['2001:db8:122:344::/64', '2001:db8:122:344:c0:2:2100::'],
    ['2001:db8:122:344::/96', '2001:db8:122:344::192.0.2.33'],
    ['64:ff9b::/96', '64:ff9b::192.0.2.33'],
  ])('finds 192.0.2.33 behind %s in %s', (prefix, text) => {
    expect(decode(text, prefix)).toBe('192.0.2.33')
  })

  it('finds each byte where the specification draws it, whatever comes after', () => {
    const prefix = fc.constantFrom(...Object.keys(PLACES).map(Number))
    const bytes = fc.uint8Array({ minLength: 16, maxLength: 16 })

    fc.assert(
      fc.property(prefix, bytes, (bits, address) => {
        address[0] = 0x2a
        address[8] = 0
        const value = BigInt(`0x${Buffer.from(address).toString('hex')}`)
        const range = { family: 6 as const, bits, prefix: value >> BigInt(128 - bits) }
        const inside = PLACES[bits]?.map((place) => address[place]).join('.')

        expect(new Decoder([range]).decode({ family: 6, value })).toEqual(parseAddress(inside ?? ''))
      }),
    )
  })

  it.each([32, 40, 48, 56, 64])('finds nothing behind a /%i when the u-octet is set', (bits) => {
    expect(decode('2001:db8::100:0:0:0', `2001:db8::/${bits}`)).toBeUndefined()
  })

  it('follows the longest of overlapping prefixes', () => {
    expect(decode('64:ff9b:1::1.2.3.4', '64:ff9b:1::/48', '64:ff9b:1::/96')).toBe('1.2.3.4')
  })

  it('decodes mapped addresses with no prefix', () => {
    expect(decode('::ffff:10.0.0.1')).toBe('10.0.0.1')
  })

  it.each(['10.0.0.1', '64:ff9b::a00:1', '2606:4700::1', '::1'])('leaves %s alone without a prefix for it', (text) => {
    expect(decode(text, '2001:67c:2960:6464::/96')).toBe(text)
  })

  it('decodes every address of a prefix to an IPv4 address, or to nothing', () => {
    const inPrefix = fc.bigInt({ min: 0n, max: 2n ** 80n - 1n })

    fc.assert(
      fc.property(inPrefix, (suffix) => {
        const address: Address = { family: 6, value: (0x64_ff9b_0001n << 80n) | suffix }

        expect(new Decoder([parseNat64('64:ff9b:1::/48')]).decode(address)?.family ?? 4).toBe(4)
      }),
    )
  })
})

describe('parseNat64', () => {
  it.each([
    ['10.0.0.0/8', 'is no NAT64 prefix: an IPv6 block'],
    ['64:ff9b::/95', 'is no NAT64 prefix: an IPv6 block'],
    ['64:ff9b::', 'is no NAT64 prefix: an IPv6 block'],
    ['64:ff9b::1/96', 'bits set after its prefix'],
    ['2001:db8:0:0:100::/96', 'bits 64 to 71 have to be zero'],
    ['::ffff:0:0/96', 'these are IPv4 addresses already'],
    ['example.com', 'is no IP address'],
  ])('refuses %s', (text, why) => {
    expect(() => parseNat64(text)).toThrow(why)
  })
})
