import { type Address, unmapped } from './address.ts'
import { BadEntryError, firstOf, isWithin, parseRange, type Range } from './range.ts'
import { RangeMap } from './range-map.ts'

/** The prefixes that a translator may have (RFC 6052, 2.2). */
const LENGTHS: readonly number[] = [32, 40, 48, 56, 64, 96]

/** Bits 64 to 71 of an address with an IPv4 address inside: "MUST be set to zero". */
const U_OCTET = 0xffn << 56n

/**
 * A prefix behind which a NAT64 of the operator's has the IPv4 internet.
 * @throws {BadEntryError}
 */
export function parseNat64(text: string): Range {
  const range = parseRange(text)
  const isPrefix = range.family === 6 && LENGTHS.includes(range.bits)
  if (!isPrefix) throw new BadEntryError('is no NAT64 prefix: an IPv6 block of /32, /40, /48, /56, /64 or /96')
  if (firstOf(range).value & U_OCTET) throw new BadEntryError('is no NAT64 prefix: bits 64 to 71 have to be zero')
  if (isWithin(range, MAPPED)) throw new BadEntryError('is no NAT64 prefix: these are IPv4 addresses already')
  return range
}

const MAPPED = parseRange('::ffff:0:0/96')

/** Addresses with an IPv4 address inside, made what they stand for. */
export class Decoder {
  readonly #prefixes: RangeMap<Range>

  /** @param prefixes - Of {@link parseNat64}; of those that overlap the longest holds. */
  constructor(prefixes: readonly Range[]) {
    this.#prefixes = new RangeMap(prefixes.map((prefix) => [prefix, prefix]))
  }

  /**
   * Where a connection to the address goes: the IPv4 address inside a mapped one or behind a NAT64, otherwise the address itself.
   * Undefined for one behind a NAT64 that is malformed.
   */
  decode(address: Address): Address | undefined {
    const plain = unmapped(address)
    const prefix = this.#prefixes.find(plain)
    return prefix ? embedded(plain.value, prefix.bits) : plain
  }
}

/** The 32 bits after the prefix, the u-octet left out (RFC 6052, 2.2); the suffix after them is ignored, as translators do. */
function embedded(value: bigint, bits: number): Address | undefined {
  if (value & U_OCTET) return undefined
  if (bits === 96) return { family: 4, value: BigInt.asUintN(32, value) }
  // Cut the u-octet out: 120 bits are left.
  const compact = ((value >> 64n) << 56n) | BigInt.asUintN(56, value)
  return { family: 4, value: BigInt.asUintN(32, compact >> BigInt(120 - bits - 32)) }
}
