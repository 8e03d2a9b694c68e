import type { LookupAddress } from 'node:dns'

/** The addresses of a host. Rejects when there are none; an abort gives the queries up at once. */
export type Resolve = (host: string, signal?: AbortSignal) => Promise<LookupAddress[]>

/**
 * Which of a host's addresses may be connected to: the place of the egress guard. Throws when none may be.
 * It is asked once, between the name and the connection, and the connection goes to exactly what it answers.
 */
export type Judge = (target: { host: string; port: number }, addresses: LookupAddress[]) => LookupAddress[]
