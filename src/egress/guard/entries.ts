import { domainToASCII } from 'node:url'
import { parseAddress, unmapped } from './address.ts'
import { Domains } from './domains.ts'
import { canonicalName, isHostName } from './name.ts'
import { BadEntryError, firstOf, isSingle, isWithin, parseRange, type Range, rangeOf } from './range.ts'

/** Addresses that the operator names, on one port or on all. */
export interface AddressEntry {
  range: Range
  /** Undefined: any. */
  port: number | undefined
}

/** `[…]` or an IPv4 literal, each with a prefix length in it, and a port. */
const BRACKETED = /^\[([^\]]*)\](?::(\d+))?$/
const IPV4_WITH_PORT = /^(\d+\.\d+\.\d+\.\d+(?:\/\d+)?):(\d+)$/
const MAPPED = parseRange('::ffff:0:0/96')

/**
 * `10.1.0.0/16`, `10.9.9.9:9000`, `10.1.0.0/16:443`, `fd00:1::/32`, `[fd00::1]:80`, `[fd00::/8]:80`. A mapped IPv4 address or block is
 * the IPv4 one.
 * @throws {BadEntryError}
 */
export function parseAddressEntry(text: string): AddressEntry {
  const [, literal = text, port] = BRACKETED.exec(text) ?? IPV4_WITH_PORT.exec(text) ?? []
  if (!/^[\d.:/a-f]*$/i.test(literal) || !/[.:]/.test(literal)) throw new BadEntryError(notAnAddress(literal))
  return { range: unmappedRange(parseRange(literal)), port: port === undefined ? undefined : portOf(port) }
}

/** Host names, each alone (`app.corp`) or all under one (`*.svc.corp`, without `svc.corp` itself). */
export class HostSet {
  readonly #names: Domains
  readonly #parents: Domains

  /** @throws {BadEntryError} for the first entry that is wrong. */
  constructor(entries: readonly string[]) {
    const { names = [], parents = [] } = Object.groupBy(entries.map(parseHostEntry), (entry) =>
      entry.startsWith('*.') ? 'parents' : 'names',
    )
    this.#names = new Domains(names)
    this.#parents = new Domains(parents.map((entry) => entry.slice(2)))
  }

  /** @param name - Canonical. */
  has(name: string): boolean {
    return this.#names.has(name) || this.#parents.hasAbove(name)
  }
}

/**
 * A host entry in its one spelling: lower case, no dot at the end, Unicode as `xn--`.
 * @throws {BadEntryError}
 */
export function parseHostEntry(text: string): string {
  const [wildcard, host] = text.startsWith('*.') ? ['*.', text.slice(2)] : ['', text]
  if (parseAddress(host.replace(/^\[|\]$/g, '')) || /^[\d.]+(\/\d+)?$/.test(host))
    throw new BadEntryError('is an address; it belongs in the list of addresses')
  // Only what is no name in ASCII already: domainToASCII would also repair.
  const name = canonicalName(/^[ -~]*$/.test(host) ? host : domainToASCII(host))
  if (isHostName(name)) return wildcard + name
  throw new BadEntryError('is no host name, such as app.corp or *.svc.corp; it has no scheme, port or path')
}

function notAnAddress(literal: string): string {
  return /[g-z]/i.test(literal)
    ? 'is no IP address or CIDR block; a name belongs in the list of hosts'
    : 'is no IP address or CIDR block, such as 10.1.0.0/16, 10.9.9.9:9000 or [fd00::1]:80'
}

function portOf(text: string): number {
  const port = Number(text)
  if (port < 1 || port > 65_535) throw new BadEntryError('has a port that is not 1 to 65535')
  return port
}

function unmappedRange(range: Range): Range {
  if (!isWithin(range, MAPPED)) return range
  if (isSingle(range)) return rangeOf(unmapped(firstOf(range)))
  return { family: 4, bits: range.bits - 96, prefix: range.prefix - (MAPPED.prefix << BigInt(range.bits - 96)) }
}
