import type { FastifyRequest } from 'fastify'
import { EdgeError, unauthenticated } from '../http/errors.ts'
import type { Caller, KeyRing, Scope } from './keyring.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The tenant of the caller's key; empty on routes that no tenant calls. */
    tenantId: string
  }
  interface FastifyContextConfig {
    /** What a key must be good for to call this route; the app does not start when a route under `/v1` has none. */
    scope?: Scope
  }
}

/**
 * Lets a request with a good key on, and knows its tenant from then on; a hook for `onRequest`, before any body is read.
 * @throws {EdgeError} `unauthenticated` without a good key, `forbidden` with one for something else.
 */
export function guard(keys: KeyRing): (request: FastifyRequest) => Promise<void> {
  return async (request) => {
    const caller = isRepeated(request) ? null : keys.authenticate(request.headers.authorization)
    if (caller === null) throw unauthenticated()
    if (!mayCall(caller, request.routeOptions.config.scope)) throw new EdgeError('forbidden', refusalOf(caller))
    request.tenantId = caller === 'admin' ? '' : caller.tenantId
  }
}

/** Two `Authorization` headers are no authorization: Node keeps the first, and somebody else may go by the second. */
function isRepeated({ raw }: FastifyRequest): boolean {
  const names = raw.rawHeaders.filter((_, index) => index % 2 === 0)
  return names.filter((name) => name.toLowerCase() === 'authorization').length > 1
}

function mayCall(caller: Caller, scope: Scope | undefined): boolean {
  if (scope === undefined) return false
  return caller === 'admin' ? scope === 'admin' : caller.scopes.includes(scope)
}

function refusalOf(caller: Caller): string {
  return caller === 'admin'
    ? "The admin key belongs to no tenant: use a tenant's key here."
    : 'This key is not good for this route.'
}
