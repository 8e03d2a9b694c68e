import { type Address, formatAddress } from './address.ts'
import { type Denial, denied } from './denial.ts'
import type { AddressEntry, HostSet } from './entries.ts'
import { checkName } from './name.ts'
import { isRefusedPort } from './ports.ts'
import { formatRange, isSingle, isWithin } from './range.ts'
import type { RangeMap } from './range-map.ts'
import { type Special, specialRange } from './special.ts'

/** `public`: the public internet, and what an entry opens. `allow-list`: only what an entry names. */
export type EgressMode = 'public' | 'allow-list'

/** The rules of an operator, or of a tenant, compiled. */
export interface Layer {
  mode: EgressMode
  allow: RangeMap<AddressEntry>
  allowHosts: HostSet
  deny: RangeMap<AddressEntry>
  denyHosts: HostSet
  /** Ports that an entry of `allow` names. */
  allowedPorts: ReadonlySet<number>
}

/** Where a connection would go. */
export interface Destination {
  /** As the socket knows it. */
  raw: Address
  /** What that stands for: the IPv4 address in a mapped one or behind a NAT64. */
  address: Address
  port: number
  /** One of this machine's own, loopback not among them. */
  isOwn: boolean
}

/**
 * The refusal of a host name and port before anything is resolved. A port that is refused, and a name that no entry of an allow-list
 * has, pass if an entry may open the address that comes of it.
 */
export function checkHost(layer: Layer, name: string, port: number): Denial | undefined {
  if (layer.denyHosts.has(name)) return denied('deny', `${name} is denied`)
  const isNamed = layer.allowHosts.has(name)
  const local = isNamed ? undefined : checkName(name)
  if (local) return local
  if (layer.mode === 'allow-list' && !isNamed && layer.allow.isEmpty)
    return denied('not-allowed', `${name} is not on the allow-list`)
  return isRefusedPort(port) && !layer.allowedPorts.has(port) ? denied('port', `${name}:${port}`) : undefined
}

/**
 * The refusal of an address and port.
 * @param isNamed - It is an address of a host that `allowHosts` has.
 */
export function checkDestination(layer: Layer, to: Destination, isNamed: boolean): Denial | undefined {
  const special = specialRange(to.address)
  if (isDenied(layer, to)) return refuse('deny', to, 'is denied')
  if (isRefusedPort(to.port) && !isOpen(layer, to, special, hasPort)) return refuse('port', to, 'is on a refused port')
  if (isNamed && special?.opening !== 'address') return undefined
  if (to.isOwn && !isOpen(layer, to, special, isAlone)) return refuse('own', to, "is this machine's own")
  return isOpen(layer, to, special, anyEntry) ? undefined : checkUnopened(layer, to, special)
}

function checkUnopened({ mode }: Layer, to: Destination, special: Special | undefined): Denial | undefined {
  if (special) return refuse(special.kind, to, `is in ${formatRange(special.range)}, ${special.name}`)
  return mode === 'allow-list' ? refuse('not-allowed', to, 'is not on the allow-list') : undefined
}

const anyEntry = () => true
const hasPort = ({ port }: AddressEntry) => port !== undefined
const isAlone = ({ range }: AddressEntry) => isSingle(range)

function isDenied({ deny }: Layer, { raw, address, port }: Destination): boolean {
  const holds = (entry: AddressEntry) => isForPort(entry, port)
  return deny.find(address, holds) !== undefined || deny.find(raw, holds) !== undefined
}

/** Whether an entry that is `like` this opens the destination. One wider than the special range around it does not: 0.0.0.0/0 is no off switch. */
function isOpen(
  { allow }: Layer,
  { address, port }: Destination,
  special: Special | undefined,
  like: (entry: AddressEntry) => boolean,
): boolean {
  const opens = (entry: AddressEntry) => isForPort(entry, port) && isNarrowEnough(entry, special) && like(entry)
  return allow.find(address, opens) !== undefined
}

function isForPort(entry: AddressEntry, port: number): boolean {
  return entry.port === undefined || entry.port === port
}

function isNarrowEnough({ range }: AddressEntry, special: Special | undefined): boolean {
  if (!special) return true
  return special.opening === 'address' ? isSingle(range) : isWithin(range, special.range)
}

function refuse(kind: Denial['kind'], { raw, port }: Destination, why: string): Denial {
  const text = formatAddress(raw)
  return denied(kind, `${raw.family === 6 ? `[${text}]` : text}:${port} ${why}`)
}
