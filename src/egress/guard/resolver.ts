import { type LookupAddress, Resolver } from 'node:dns'
import { isIP } from 'node:net'

/** A target has at most this many addresses; what a name server sends beyond is not looked at. */
export const MAX_ANSWERS = 16

/** How long c-ares waits for each server's answer at first, in milliseconds; twice as long the second time, which is the last. */
const FIRST_TRY_MS = 1_000
const TRIES = 2

/** How names are resolved. */
export interface ResolverOptions {
  /** Name servers as `address[:port]`, IPv6 in brackets if with a port. Default: those of /etc/resolv.conf. */
  servers?: readonly string[] | undefined
}

/** The addresses of a host. */
export type CancellableResolve = (host: string, signal?: AbortSignal) => Promise<LookupAddress[]>

/**
 * A resolve that asks name servers itself (c-ares), A and AAAA at once, for exactly this name: /etc/hosts and search lists are not looked at,
 * and nothing is cached, so that what is judged is what was just answered. A literal address is its own answer. An abort cancels the
 * queries at once and rejects with `signal.reason`.
 *
 * Answers alternate between the families, IPv4 first, without duplicates, at most {@link MAX_ANSWERS}. One family without an answer is fine; the
 * promise rejects when both have none, with c-ares' error: `ENODATA` and `ENOTFOUND` if the name has no address, else what went wrong
 * (`ESERVFAIL`, `ETIMEOUT`, …).
 */
export function nameResolver({ servers }: ResolverOptions = {}): CancellableResolve {
  // A bad server is found now, not by the first job.
  newResolver(servers)
  return async (host, signal) => {
    signal?.throwIfAborted()
    const family = isIP(host)
    return family ? [{ address: host, family }] : lookUp(newResolver(servers), host, signal)
  }
}

/** A resolver for one name alone (30 µs): `cancel` cancels all that it was asked. */
function newResolver(servers: readonly string[] | undefined): Resolver {
  const resolver = new Resolver({ timeout: FIRST_TRY_MS, tries: TRIES })
  if (servers?.length) resolver.setServers(servers)
  return resolver
}

async function lookUp(resolver: Resolver, host: string, signal: AbortSignal | undefined): Promise<LookupAddress[]> {
  const cancel = () => resolver.cancel()
  signal?.addEventListener('abort', cancel)
  const name = host.replace(/\.$/, '')
  const [ipv4, ipv6] = await Promise.allSettled([query(resolver, 4, name), query(resolver, 6, name)])
  signal?.removeEventListener('abort', cancel)
  signal?.throwIfAborted()
  const addresses = alternating(answersOf(ipv4), answersOf(ipv6))
  if (addresses.length === 0) throw failureOf([ipv4, ipv6])
  return addresses.slice(0, MAX_ANSWERS)
}

function query(resolver: Resolver, family: 4 | 6, name: string): Promise<LookupAddress[]> {
  return new Promise((resolve, reject) => {
    const answered = (error: Error | null, addresses: string[]) =>
      error ? reject(error) : resolve([...new Set(addresses)].map((address) => ({ address, family })))
    if (family === 4) resolver.resolve4(name, answered)
    else resolver.resolve6(name, answered)
  })
}

function answersOf(settled: PromiseSettledResult<LookupAddress[]>): LookupAddress[] {
  return settled.status === 'fulfilled' ? settled.value : []
}

function alternating(first: LookupAddress[], second: LookupAddress[]): LookupAddress[] {
  const longer = Math.max(first.length, second.length)
  return Array.from({ length: longer }, (_, index) => [
    ...first.slice(index, index + 1),
    ...second.slice(index, index + 1),
  ]).flat()
}

/** Of two failures the one that does not merely say that there is no such address. */
function failureOf(settled: PromiseSettledResult<unknown>[]): unknown {
  const failures = settled.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []))
  return failures.find(({ code }) => code !== 'ENODATA' && code !== 'ENOTFOUND') ?? failures[0]
}
