import type { LookupAddress } from 'node:dns'
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'

/** The addresses of a host. Rejects when there are none. */
export type Resolve = (host: string) => Promise<LookupAddress[]>

/**
 * Which of a host's addresses may be connected to: the place of the egress guard. Throws an `EgressError` when none may be.
 * It is asked once, between the name and the connection, and the connection goes to exactly what it answers.
 */
export type Judge = (target: { host: string; port: number }, addresses: LookupAddress[]) => LookupAddress[]

/** The system's resolver. A literal address is its own answer. */
export const systemResolve: Resolve = async (host) => {
  const family = isIP(host)
  return family ? [{ address: host, family }] : lookup(host, { all: true })
}

/** Every address may be connected to. */
export const allowAll: Judge = (_target, addresses) => addresses
