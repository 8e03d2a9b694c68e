import { BlockList } from 'node:net'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { BITS, formatAddress, parseAddress } from '../../../src/egress/guard/address.ts'
import {
  BadEntryError,
  firstOf,
  formatRange,
  isSingle,
  isWithin,
  parseRange,
  type Range,
  rangeOf,
} from '../../../src/egress/guard/range.ts'
import { RangeMap } from '../../../src/egress/guard/range-map.ts'

const address = (text: string) => {
  const parsed = parseAddress(text)
  if (!parsed) throw new Error(`${text} is no address.`)
  return parsed
}

const anyAddress = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 32n - 1n }).map((value) => ({ family: 4 as const, value })),
  fc.bigInt({ min: 0n, max: 2n ** 128n - 1n }).map((value) => ({ family: 6 as const, value })),
)

/** Small prefixes, so that ranges are in each other often. */
const anyRange = fc
  .tuple(anyAddress, fc.nat({ max: 12 }))
  .map(([{ family, value }, bits]): Range => ({ family, bits, prefix: value >> BigInt(BITS[family] - bits) }))

describe('parseRange', () => {
  it.each(['0.0.0.0/0', '10.0.0.0/8', '10.1.2.3', '10.1.2.2/31', '::/0', 'fd00:1::/32', '::1', '2001:db8::/127'])(
    'reads %s',
    (text) => {
      expect(formatRange(parseRange(text))).toBe(text)
    },
  )

  it.each([
    ['10.1.2.3/32', '10.1.2.3'],
    ['::1/128', '::1'],
  ])('takes %s for the one address %s', (text, single) => {
    expect(parseRange(text)).toEqual(parseRange(single))
    expect(isSingle(parseRange(text))).toBe(true)
  })

  it.each([
    ['10.1.2.3/16', '10.1.0.0/16'],
    ['10.1.0.1/31', '10.1.0.0/31'],
    ['fd00:1::1/32', 'fd00:1::/32'],
    ['0.0.0.1/0', '0.0.0.0/0'],
  ])('refuses %s, whose block is %s', (text, block) => {
    expect(() => parseRange(text)).toThrow(new BadEntryError(`has bits set after its prefix; the block is ${block}`))
  })

  it.each([
    ['10.0.0.0/33', 'longer than /32'],
    ['::/129', 'longer than /128'],
    ['10.0.0.0/08', 'no IP address'],
    ['10.0.0.0/', 'no IP address'],
    ['10.0.0.0/8/8', 'no IP address'],
    ['10.0.0.0/-1', 'no IP address'],
    ['10.0.0/8', 'no IP address'],
    ['fe80::1%lo/128', 'no IP address'],
    ['', 'no IP address'],
  ])('refuses %j', (text, why) => {
    expect(() => parseRange(text)).toThrow(why)
  })
})

describe('isWithin', () => {
  it.each([
    ['10.1.0.0/16', '10.0.0.0/8', true],
    ['10.0.0.0/8', '10.0.0.0/8', true],
    ['10.0.0.0/8', '10.1.0.0/16', false],
    ['11.0.0.0/16', '10.0.0.0/8', false],
    ['10.0.0.0/8', '0.0.0.0/0', true],
    ['10.0.0.0/8', '::/0', false],
    ['fd00::1', 'fc00::/7', true],
  ])('%s in %s: %s', (inner, outer, expected) => {
    expect(isWithin(parseRange(inner), parseRange(outer))).toBe(expected)
  })

  it('holds for each address of a range, first of all', () => {
    fc.assert(
      fc.property(anyRange, (range) => {
        expect(isWithin(rangeOf(firstOf(range)), range)).toBe(true)
      }),
    )
  })
})

describe('RangeMap', () => {
  const map = new RangeMap([
    [parseRange('0.0.0.0/0'), 'all'],
    [parseRange('10.0.0.0/8'), 'ten'],
    [parseRange('10.0.0.0/8'), 'ten again'],
    [parseRange('10.1.0.0/16'), 'ten one'],
    [parseRange('10.1.2.3'), 'one'],
    [parseRange('fd00::/8'), 'local'],
  ])

  it.each([
    ['10.1.2.3', 'one'],
    ['10.1.2.4', 'ten one'],
    ['10.2.0.0', 'ten'],
    ['11.0.0.0', 'all'],
    ['fd12::1', 'local'],
    ['fc00::1', undefined],
  ])('finds the narrowest range of %s: %s', (text, expected) => {
    expect(map.find(address(text))).toBe(expected)
  })

  it('goes on to wider ranges, and to more of the same, until a value is accepted', () => {
    expect(map.find(address('10.1.2.3'), (value) => value === 'ten again')).toBe('ten again')
    expect(map.find(address('10.1.2.3'), (value) => value === 'local')).toBeUndefined()
  })

  it('knows whether it is empty', () => {
    expect([new RangeMap([]).isEmpty, map.isEmpty]).toEqual([true, false])
  })

  it('finds what a list of the same ranges finds, one after the other', () => {
    fc.assert(
      fc.property(fc.array(anyRange, { maxLength: 20 }), anyAddress, (ranges, one) => {
        const list = new BlockList()
        // It mixes the families up: ::/0 holds IPv4 as well.
        for (const range of ranges) if (range.family === 4) list.addSubnet(formatAddress(firstOf(range)), range.bits)
        const containing = ranges.filter((range) => isWithin(rangeOf(one), range))
        const found = new RangeMap(ranges.map((range) => [range, range.bits])).find(one)

        expect(found).toBe(containing.length > 0 ? Math.max(...containing.map(({ bits }) => bits)) : undefined)
        if (one.family === 4) expect(found !== undefined).toBe(list.check(formatAddress(one)))
      }),
    )
  })
})
