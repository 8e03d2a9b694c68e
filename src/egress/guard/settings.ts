import { ServiceError } from '../../errors.ts'
import { type AddressEntry, HostSet, parseAddressEntry, parseHostEntry } from './entries.ts'
import type { EgressMode, Layer } from './layer.ts'
import { parseNat64 } from './nat64.ts'
import { BadEntryError } from './range.ts'
import { RangeMap } from './range-map.ts'

/** What an operator, or a tenant's `egress`, says; the text of each entry as given. */
export interface EgressRules {
  /** Default `public`. */
  mode?: EgressMode | undefined
  /** Addresses and CIDR blocks, each with a port or for all: `10.1.0.0/16`, `10.9.9.9:9000`, `[fd00::1]:80`. */
  allow?: readonly string[] | undefined
  /** `app.corp`, or `*.svc.corp` for all names under `svc.corp`. */
  allowHosts?: readonly string[] | undefined
  /** As `allow`; what is in both is denied. */
  deny?: readonly string[] | undefined
  /** As `allowHosts`; what is in both is denied. */
  denyHosts?: readonly string[] | undefined
}

/** The operator's rules and what is known of the network. */
export interface EgressSettings extends EgressRules {
  /** Prefixes of NAT64 translators: `64:ff9b::/96`. */
  nat64?: readonly string[] | undefined
  /** Addresses of this machine's interfaces (`os.networkInterfaces()`). */
  own?: readonly string[] | undefined
}

/** An entry that cannot be used. */
export interface EntryProblem {
  field: 'allow' | 'allowHosts' | 'deny' | 'denyHosts' | 'nat64'
  index: number
  /** As given. */
  entry: string
  /** A sentence that names the entry and says what would be right. */
  detail: string
}

/** Entries of a policy cannot be used; all that cannot are named. */
export class EgressRulesError extends ServiceError {
  readonly code = 'egress_rules'
  readonly problems: readonly EntryProblem[]
  constructor(problems: readonly EntryProblem[]) {
    super(problems.map(({ field, detail }) => `${field}: ${detail}`).join(' '))
    this.problems = problems
  }
}

const PARSERS = {
  allow: parseAddressEntry,
  allowHosts: parseHostEntry,
  deny: parseAddressEntry,
  denyHosts: parseHostEntry,
  nat64: parseNat64,
} as const satisfies Record<EntryProblem['field'], (text: string) => unknown>

/** Every entry that cannot be used, in order. */
export function findProblems(settings: EgressSettings): EntryProblem[] {
  return Object.entries(PARSERS).flatMap(([name, parse]) => {
    // The keys of PARSERS are the fields.
    const field = name as EntryProblem['field']
    return (settings[field] ?? []).flatMap((entry, index) => {
      const why = problemOf(entry, parse)
      return why ? [{ field, index, entry, detail: `${JSON.stringify(entry)} ${why}.` }] : []
    })
  })
}

/** @throws {EgressRulesError} */
export function assertUsable(settings: EgressSettings): void {
  const problems = findProblems(settings)
  if (problems.length > 0) throw new EgressRulesError(problems)
}

/** Rules made fast to ask. Their entries must be usable. */
export function compile({
  mode = 'public',
  allow = [],
  allowHosts = [],
  deny = [],
  denyHosts = [],
}: EgressRules): Layer {
  const entries = allow.map(parseAddressEntry)
  return {
    mode,
    allow: byRange(entries),
    allowHosts: new HostSet(allowHosts),
    deny: byRange(deny.map(parseAddressEntry)),
    denyHosts: new HostSet(denyHosts),
    allowedPorts: new Set(entries.flatMap(({ port }) => (port === undefined ? [] : [port]))),
  }
}

function byRange(entries: AddressEntry[]): RangeMap<AddressEntry> {
  return new RangeMap(entries.map((entry) => [entry.range, entry]))
}

function problemOf(entry: string, parse: (text: string) => unknown): string | undefined {
  try {
    parse(entry)
    return undefined
  } catch (error) {
    if (error instanceof BadEntryError) return error.message
    throw error
  }
}
