import { type Address, BITS, formatAddress, parseAddress } from './address.ts'

/** The addresses that share their first `bits` bits: a CIDR block. */
export interface Range {
  family: 4 | 6
  /** Of an address: 32 or 128 is one address alone. */
  bits: number
  /** The first `bits` bits, as a number. */
  prefix: bigint
}

/** An entry of the operator's that cannot be used: the message goes on after the entry itself and says what would be right. */
export class BadEntryError extends Error {}

const CIDR = /^([^/]*)(?:\/(0|[1-9]\d{0,2}))?$/

/**
 * The range that an address or a CIDR block is.
 * @throws {BadEntryError} For anything else, and for a block with bits set after its prefix.
 */
export function parseRange(text: string): Range {
  const [, literal = '', length] = CIDR.exec(text) ?? []
  const address = parseAddress(literal)
  if (!address) throw new BadEntryError('is no IP address or CIDR block, such as 10.1.0.0/16 or fd00:1::/32')
  const bits = length === undefined ? BITS[address.family] : Number(length)
  if (bits > BITS[address.family]) throw new BadEntryError(`has a prefix longer than /${BITS[address.family]}`)
  return withoutHostBits(address, bits)
}

/** Whether a range is a single address. */
export function isSingle({ family, bits }: Range): boolean {
  return bits === BITS[family]
}

/** Whether all of `inner` is in `outer`. */
export function isWithin(inner: Range, outer: Range): boolean {
  if (inner.family !== outer.family || inner.bits < outer.bits) return false
  return inner.prefix >> BigInt(inner.bits - outer.bits) === outer.prefix
}

/** The range of one address. */
export function rangeOf({ family, value }: Address): Range {
  return { family, bits: BITS[family], prefix: value }
}

/** The lowest address of a range. */
export function firstOf({ family, bits, prefix }: Range): Address {
  return { family, value: prefix << BigInt(BITS[family] - bits) }
}

/** `10.0.0.0/8`; a single address without its length. */
export function formatRange(range: Range): string {
  const first = formatAddress(firstOf(range))
  return isSingle(range) ? first : `${first}/${range.bits}`
}

function withoutHostBits({ family, value }: Address, bits: number): Range {
  const range = { family, bits, prefix: value >> BigInt(BITS[family] - bits) }
  if (firstOf(range).value !== value)
    throw new BadEntryError(`has bits set after its prefix; the block is ${formatRange(range)}`)
  return range
}
