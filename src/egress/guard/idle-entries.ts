import { parseAddress, unmapped } from './address.ts'
import { type AddressEntry, HostSet, parseAddressEntry, parseHostEntry } from './entries.ts'
import { isMetadataName } from './name.ts'
import { isRefusedPort } from './ports.ts'
import { formatRange, isSingle, isWithin, type Range, rangeOf } from './range.ts'
import type { EgressSettings } from './settings.ts'
import { SPECIAL, type Special } from './special.ts'

/** An entry of the operator's that can be used, and opens nothing. */
export interface IdleEntry {
  field: 'allow' | 'allowHosts'
  /** As given. */
  entry: string
  /** Goes on after the entry: why, and what would open something. */
  why: string
}

/**
 * The entries of `allow` and `allowHosts` that change nothing: whoever wrote them had something else in mind. Settings must be usable.
 * What names mean is not resolved.
 */
export function idleEntries(settings: EgressSettings): IdleEntry[] {
  return [...idleAddresses(settings), ...idleHosts(settings)]
}

function idleAddresses(settings: EgressSettings): IdleEntry[] {
  const deny = (settings.deny ?? []).map((text) => ({ text, entry: parseAddressEntry(text) }))
  const seen = new Set<string>()
  return (settings.allow ?? []).flatMap((text) => {
    const entry = parseAddressEntry(text)
    const spelling = `${formatRange(entry.range)} ${entry.port ?? ''}`
    const denied = deny.find((one) => covers(one.entry, entry))
    const why = seen.has(spelling)
      ? 'is there twice'
      : denied
        ? `is denied by "${denied.text}" of the denied ones, which go before`
        : whyClosed(entry, settings)
    seen.add(spelling)
    return why === undefined ? [] : [{ field: 'allow' as const, entry: text, why }]
  })
}

function covers(outer: AddressEntry, inner: AddressEntry): boolean {
  return isWithin(inner.range, outer.range) && (outer.port === undefined || outer.port === inner.port)
}

function whyClosed({ range, port }: AddressEntry, { mode, own = [] }: EgressSettings): string | undefined {
  const around = specialAround(range)
  if (isSingle(range) || around?.opening === 'block') return isOpenAnyway() ? PUBLIC : undefined
  if (around) return `is in ${formatRange(around.range)}, ${around.name}, of which only single addresses can be opened`
  return isOpenAnyway() ? WIDE : undefined

  function isOpenAnyway(): boolean {
    if (around || mode === 'allow-list' || (port !== undefined && isRefusedPort(port))) return false
    return !(isSingle(range) && own.some((text) => isSame(text, range)))
  }
}

const PUBLIC = 'is public, and public addresses are open without it'
const WIDE =
  'is no block inside a private range: of what is in it, public addresses are open without it, and a special range is opened only by an entry inside it'

/** The narrowest special range that all of a range is in. */
function specialAround(range: Range): Special | undefined {
  return SPECIAL.filter((one) => isWithin(range, one.range)).sort((a, b) => b.range.bits - a.range.bits)[0]
}

function isSame(text: string, range: Range): boolean {
  const address = parseAddress(text.replace(/%.*$/, ''))
  return address !== undefined && isWithin(rangeOf(unmapped(address)), range)
}

function idleHosts({ allowHosts = [], denyHosts = [] }: EgressSettings): IdleEntry[] {
  const denied = new HostSet(denyHosts)
  const wild = new HostSet(allowHosts.filter((text) => text.startsWith('*.')))
  const seen = new Set<string>()
  return allowHosts.flatMap((text) => {
    const entry = parseHostEntry(text)
    const why = seen.has(entry) ? 'is there twice' : whyHostClosed(entry, denied, wild)
    seen.add(entry)
    return why === undefined ? [] : [{ field: 'allowHosts' as const, entry: text, why }]
  })
}

function whyHostClosed(entry: string, denied: HostSet, wild: HostSet): string | undefined {
  // Any name under it stands for all that a wildcard has.
  const name = entry.replace(/^\*/, 'x')
  const isDenied = entry.startsWith('*.') ? denied.has(name) && denied.has(name.replace(/^x/, 'y')) : denied.has(name)
  if (isDenied) return 'is denied by the denied hosts, which go before'
  if (wild.has(entry.replace(/^\*\./, ''))) return 'is under a "*." entry that is there as well'
  return isMetadataName(name)
    ? "is the name of a cloud's metadata service, and no name opens its usual addresses; an entry of exactly the address does"
    : undefined
}
