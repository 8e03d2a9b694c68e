import { createHash } from 'node:crypto'
import type { LookupAddress } from 'node:dns'
import type { Judge } from '../resolve.ts'
import { type Address, formatAddress, parseAddress, unmapped } from './address.ts'
import { type Denial, denied, EgressDeniedError } from './denial.ts'
import { checkDestination, checkHost, type Layer } from './layer.ts'
import { canonicalName } from './name.ts'
import { Decoder, parseNat64 } from './nat64.ts'
import { parseRange, rangeOf } from './range.ts'
import { RangeMap } from './range-map.ts'
import { assertUsable, compile, type EgressRules, type EgressSettings } from './settings.ts'

/** What is asked for. */
export interface Target {
  /** A name, or an address without brackets. */
  host: string
  port: number
}

/** Always this machine's: their own rules hold, whatever the interfaces are. */
const LOOPBACK = new RangeMap(['127.0.0.0/8', '::1'].map((text) => [parseRange(text), true]))

/**
 * Where connections may go: the operator's rules, and a tenant's, which narrow them. Immutable.
 *
 * Denied is what any rule denies. A special address (see `special.ts`) is open only to an entry that names it or a block inside its range, or
 * to an allowed host name; an address of this machine only to an entry of exactly that address, or to an allowed host name.
 */
export class EgressPolicy {
  /** The same for the same rules, in whatever order they are given: what pools are keyed by. */
  readonly version: string
  readonly #settings: EgressSettings
  readonly #tenants: readonly EgressRules[]
  /** The operator's, then the tenant's: all have to agree. */
  readonly #layers: readonly Layer[]
  readonly #own: RangeMap<boolean>
  readonly #nat64: Decoder

  /** @throws {EgressRulesError} naming every entry that cannot be used. */
  constructor(settings: EgressSettings = {}, tenants: readonly EgressRules[] = []) {
    assertUsable(settings)
    tenants.forEach(assertUsable)
    const rules: EgressRules[] = [settings]
    for (const tenant of tenants) rules.push(inherited(rules.at(-1) ?? settings, tenant))
    this.#settings = settings
    this.#tenants = tenants
    this.#layers = rules.map(compile)
    this.#own = new RangeMap(ownAddresses(settings.own ?? []).map((address) => [rangeOf(address), true]))
    this.#nat64 = new Decoder((settings.nat64 ?? []).map(parseNat64))
    this.version = digest(rules)
  }

  /**
   * This policy, narrowed to a tenant's rules: open is what both open. A tenant that gives neither `allow` nor `allowHosts` has the
   * operator's; one that gives no `mode` has the operator's. May be narrowed again.
   *
   * @throws {EgressRulesError} naming every entry that cannot be used.
   */
  narrowed(tenant: EgressRules): EgressPolicy {
    return new EgressPolicy(this.#settings, [...this.#tenants, tenant])
  }

  /** The refusal of what can be refused before a name is resolved; for an address all. */
  check({ host, port }: Target): Denial | undefined {
    const address = parseAddress(host)
    if (address) return this.#checkAddress(address, port, undefined)
    const name = canonicalName(host)
    return firstOf(this.#layers, (layer) => checkHost(layer, name, port))
  }

  /**
   * Those of a host's addresses that may be connected to.
   * @throws {EgressDeniedError} When there is none.
   */
  readonly judge: Judge = (target, addresses) => {
    const early = this.check(target)
    if (early) throw new EgressDeniedError(early)
    const name = parseAddress(target.host) ? undefined : canonicalName(target.host)
    const refusals: Denial[] = []
    const open = addresses.filter((one) => {
      const refusal = this.#checkText(one.address, target.port, name)
      if (refusal) refusals.push(refusal)
      return !refusal
    })
    if (open.length === 0) throw new EgressDeniedError(allOf(target.host, refusals))
    return open
  }

  /**
   * Look once more at where a socket is connected, before the first byte.
   *
   * @param remoteAddress - Of the socket; undefined when it is closed already.
   * @throws {EgressDeniedError}
   */
  recheck(target: Target, remoteAddress: string | undefined): void {
    const address = remoteAddress ?? ''
    this.judge(target, [{ address, family: address.includes(':') ? 6 : 4 }] satisfies LookupAddress[])
  }

  /** One spelling for every address of one destination: a mapped one and one behind a NAT64 are the IPv4 address. */
  canonical(text: string): string {
    const address = parseAddress(text)
    return address ? formatAddress(this.#nat64.decode(address) ?? address) : text
  }

  #checkText(text: string, port: number, name: string | undefined): Denial | undefined {
    const address = parseAddress(text)
    return address ? this.#checkAddress(address, port, name) : denied('address', 'an address that cannot be read')
  }

  #checkAddress(raw: Address, port: number, name: string | undefined): Denial | undefined {
    const address = this.#nat64.decode(raw)
    if (!address) return denied('address', `[${formatAddress(raw)}]:${port} is malformed for its NAT64`)
    const to = { raw, address, port, isOwn: this.#own.find(address) !== undefined }
    return firstOf(this.#layers, (layer) =>
      checkDestination(layer, to, name !== undefined && layer.allowHosts.has(name)),
    )
  }
}

/** What a tenant leaves to the operator. */
function inherited(operator: EgressRules, tenant: EgressRules): EgressRules {
  const hasLists = tenant.allow !== undefined || tenant.allowHosts !== undefined
  const { allow, allowHosts } = hasLists ? tenant : operator
  return { ...tenant, mode: tenant.mode ?? operator.mode, allow, allowHosts }
}

function ownAddresses(texts: readonly string[]): Address[] {
  return texts.flatMap((text) => {
    // What is the address of an interface has a zone at most, which means nothing elsewhere.
    const address = parseAddress(text.replace(/%.*$/, ''))
    return address && !LOOPBACK.find(unmapped(address)) ? [unmapped(address)] : []
  })
}

function firstOf(layers: readonly Layer[], check: (layer: Layer) => Denial | undefined): Denial | undefined {
  for (const layer of layers) {
    const refusal = check(layer)
    if (refusal) return refusal
  }
  return undefined
}

/** One refusal of many addresses: of the first's kind, which is as good as any. */
function allOf(host: string, refusals: Denial[]): Denial {
  const details = refusals.map(({ detail }) => detail).join('; ')
  return denied(refusals[0]?.kind ?? 'address', `${host}: ${details || 'no address'}`)
}

/** An absent list and an empty one are the same by now. */
function digest(rules: readonly EgressSettings[]): string {
  const canonical = rules.map(({ mode = 'public', ...lists }) => [
    mode,
    ...Object.entries(lists)
      .filter(([, entries]) => entries !== undefined && entries.length > 0)
      .map(([name, entries]) => [name, [...new Set(entries)].sort()])
      .sort(),
  ])
  return createHash('sha256').update(JSON.stringify(canonical)).digest('base64url').slice(0, 22)
}
