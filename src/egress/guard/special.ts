import type { Address } from './address.ts'
import { parseRange, type Range } from './range.ts'
import { RangeMap } from './range-map.ts'

/**
 * How the operator can open a special range:
 * - `block`: with a CIDR block inside it, an address, or the name of a host;
 * - `address`: with exactly the address. A block or a name would open more than whoever wrote it had in mind: metadata services,
 *   link-local addresses, what stands for an IPv4 address, what is no host's.
 */
export type Opening = 'block' | 'address'

/** A range of addresses that is not the public internet. */
export interface Special {
  range: Range
  /** What it is, for the operator. */
  name: string
  /** `metadata`: credentials are to be had there. */
  kind: 'address' | 'metadata'
  opening: Opening
}

type Row = readonly [cidr: string, name: string, opening?: Opening]

/** The IANA IPv4 Special-Purpose Address Registry (RFC 6890), and multicast. */
const IPV4: readonly Row[] = [
  ['0.0.0.0/8', 'this network (RFC 791; connects to loopback on Linux)', 'address'],
  ['10.0.0.0/8', 'private use (RFC 1918)'],
  ['100.64.0.0/10', 'shared address space (RFC 6598)'],
  ['127.0.0.0/8', 'loopback (RFC 1122)'],
  ['172.16.0.0/12', 'private use (RFC 1918)'],
  ['192.0.0.0/24', 'IETF protocol assignments (RFC 6890)'],
  ['192.0.2.0/24', 'TEST-NET-1 (RFC 5737)'],
  ['192.31.196.0/24', 'AS112 (RFC 7535)'],
  ['192.52.193.0/24', 'AMT (RFC 7450)'],
  ['192.88.99.0/24', '6to4 relay anycast (RFC 7526)'],
  ['192.168.0.0/16', 'private use (RFC 1918)'],
  ['192.175.48.0/24', 'AS112 (RFC 7534)'],
  ['198.18.0.0/15', 'benchmarking (RFC 2544)'],
  ['198.51.100.0/24', 'TEST-NET-2 (RFC 5737)'],
  ['203.0.113.0/24', 'TEST-NET-3 (RFC 5737)'],
  ['224.0.0.0/4', 'multicast (RFC 5771)', 'address'],
  ['240.0.0.0/4', 'reserved and broadcast (RFC 1112, RFC 8190)', 'address'],
]

/**
 * All but 2000::/3, in the three blocks that are left of it, with their parts from the IANA IPv6 Special-Purpose Address Registry; and the
 * registry's parts of 2000::/3 itself.
 */
const IPV6: readonly Row[] = [
  ['::/3', 'not global unicast (RFC 4291)', 'address'],
  ['4000::/2', 'not global unicast (RFC 4291)', 'address'],
  ['8000::/1', 'not global unicast (RFC 4291)', 'address'],
  ['::/96', 'IPv4-compatible (RFC 4291)', 'address'],
  ['::1/128', 'loopback (RFC 4291)'],
  ['::ffff:0:0:0/96', 'IPv4-translated (RFC 2765)', 'address'],
  ['64:ff9b::/96', 'NAT64 (RFC 6052)', 'address'],
  ['64:ff9b:1::/48', 'local-use NAT64 (RFC 8215)', 'address'],
  ['100::/64', 'discard-only (RFC 6666)', 'address'],
  ['100:0:0:1::/64', 'dummy prefix (RFC 9780)', 'address'],
  // Teredo 2001::/32, anycast 2001:1::/32, benchmarking 2001:2::/48, AMT 2001:3::/32, AS112 2001:4:112::/48, ORCHID
  // 2001:10::/28, ORCHIDv2 2001:20::/28, DRIP 2001:30::/28 are all in it.
  ['2001::/23', 'IETF protocol assignments: Teredo, ORCHID, benchmarking, … (RFC 2928)', 'address'],
  ['2001:db8::/32', 'documentation (RFC 3849)'],
  ['2002::/16', '6to4 (RFC 3056)', 'address'],
  ['2620:4f:8000::/48', 'AS112 (RFC 7534)'],
  ['3fff::/20', 'documentation (RFC 9637)'],
  ['5f00::/16', 'segment routing (RFC 9602)', 'address'],
  ['fc00::/7', 'unique local (RFC 4193)'],
  ['fec0::/10', 'site-local (RFC 3879)'],
  ['ff00::/8', 'multicast (RFC 4291)', 'address'],
]

/** Where clouds serve credentials and set-up data to their machines, by their own documentation. Link-local as a whole. */
const METADATA: readonly Row[] = [
  ['100.100.100.200', 'Alibaba Cloud metadata'],
  ['168.63.129.16', 'Azure WireServer'],
  ['169.254.0.0/16', 'link-local (RFC 3927): metadata of most clouds'],
  ['192.0.0.192', 'Oracle Cloud Classic metadata'],
  ['fd00:42::42', 'Scaleway metadata'],
  ['fd00:100::100:200', 'Alibaba Cloud metadata'],
  ['fd00:a9fe:a9fe::1', 'Linode metadata'],
  ['fd00:c1::a9fe:a9fe', 'Oracle Cloud metadata'],
  ['fd00:ec2::/32', 'AWS metadata, EKS Pod Identity, DNS'],
  ['fd20:ce::254', 'Google Cloud metadata'],
  ['fe80::/10', 'link-local (RFC 4291): OpenStack and Linode metadata'],
]

/** The table, for its tests. */
export const SPECIAL: readonly Special[] = [
  ...[...IPV4, ...IPV6].map(([cidr, name, opening = 'block']) => special(cidr, name, 'address', opening)),
  ...METADATA.map(([cidr, name]) => special(cidr, name, 'metadata', 'address')),
]

const BY_RANGE = new RangeMap(SPECIAL.map((one) => [one.range, one]))

/**
 * The narrowest special range that an address is in; undefined for one of the public internet. An IPv4-mapped address, or one of a
 * NAT64, has to be decoded before.
 */
export function specialRange(address: Address): Special | undefined {
  return BY_RANGE.find(address)
}

function special(cidr: string, name: string, kind: Special['kind'], opening: Opening): Special {
  return { range: parseRange(cidr), name, kind, opening }
}
