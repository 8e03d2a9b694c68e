import { isIPv4, isIPv6 } from 'node:net'

/** An IP address as a number: 32 bits of IPv4 or 128 of IPv6, the first byte on the wire the most significant. */
export interface Address {
  family: 4 | 6
  value: bigint
}

/** Bits of an address. */
export const BITS = { 4: 32, 6: 128 } as const

/** `::ffff:0:0/96` (RFC 4291, 2.5.5.2): what a dual-stack socket calls an IPv4 address. */
const MAPPED = 0xffffn

/**
 * The address that a text is, in the spellings of inet_pton (four decimal numbers without leading zeroes; RFC 4291, 2.2). Undefined for
 * anything else, and for an address with a zone id. Odd spellings (octal, hex, short forms) are the WHATWG URL parser's to make
 * canonical first.
 */
export function parseAddress(text: string): Address | undefined {
  if (isIPv4(text)) return { family: 4, value: ipv4Value(text) }
  if (isIPv6(text) && !text.includes('%')) return { family: 6, value: ipv6Value(text) }
  return undefined
}

/** The canonical text (RFC 5952, but a mapped address has its last 32 bits in hex, as URLs print them). */
export function formatAddress({ family, value }: Address): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 0xffn).join('.')
  const groups = value.toString(16).padStart(32, '0').match(/.{4}/g)?.join(':')
  return new URL(`http://[${groups}]`).hostname.slice(1, -1)
}

/** An IPv4-mapped address as the IPv4 address that a connection goes to; any other as it is. */
export function unmapped(address: Address): Address {
  if (address.family === 4 || address.value >> 32n !== MAPPED) return address
  return { family: 4, value: BigInt.asUintN(32, address.value) }
}

function ipv4Value(text: string): bigint {
  return BigInt(text.split('.').reduce((value, part) => value * 256 + Number(part), 0))
}

function ipv6Value(text: string): bigint {
  const [head = '', tail = ''] = text.split('::')
  const [front, back] = [hexOf(head), hexOf(tail)]
  return BigInt(`0x${front}${back.padStart(32 - front.length, '0')}`)
}

/** The groups of one side of `::` as hex digits without colons. */
function hexOf(groups: string): string {
  return groups === '' ? '' : groups.split(':').map(hexOfGroup).join('')
}

/** The last group may be an IPv4 address, which stands for two. */
function hexOfGroup(group: string): string {
  return group.includes('.') ? ipv4Value(group).toString(16).padStart(8, '0') : group.padStart(4, '0')
}
