import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { OverloadedError, TooManyFailedKeysError } from '../errors.ts'
import { EdgeError, unauthenticated } from '../http/errors.ts'
import type { FailedKeys } from '../http/failures.ts'
import { SECURITY_HEADERS } from '../http/headers.ts'
import { problemOf } from '../http/problem.ts'
import type { Caller, KeyRing, Scope } from './keyring.ts'
import { Session } from './sessions.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The tenant of the caller's key; empty on routes that no tenant calls, and for the admin key. */
    tenantId: string
    /** Lasts as long as the caller's key; null without one that can end. */
    session: Session | null
  }
  interface FastifyContextConfig {
    /** What a key must be good for to call this route; the app does not start when a route under `/v1` has none. */
    scope?: Scope
  }
}

/** What the guard goes by. */
export interface GuardParts {
  keys: KeyRing
  failures: FailedKeys
}

/**
 * Lets requests with a good key on, and knows their tenant from then on, before any body is read. A key that is good no more
 * by the time of the call, or of its answer, is refused then.
 */
export function guard(app: FastifyInstance, { keys, failures }: GuardParts): void {
  app.addHook('onRequest', async (request, reply) => {
    const caller = await known(request, keys, failures)
    const { scope } = request.routeOptions.config
    if (!mayCall(caller, scope)) throw new EdgeError('forbidden', refusalOf(caller, scope))
    if (caller === 'admin') return
    request.tenantId = caller.tenantId
    if (caller.key !== null) request.session = opened(keys, caller.key, reply)
  })
  app.addHook('preHandler', (request, _reply, done) => {
    if (request.session?.over) done(unauthenticated())
    else done()
  })
  app.addHook('onSend', (request, reply, payload: unknown, done) => {
    done(null, request.session?.over ? refused(request, reply, payload) : payload)
  })
}

/** Takes the answer back, whatever it is by now; to throw would not do for one that is an error already. */
function refused(request: FastifyRequest, reply: FastifyReply, payload: unknown): string {
  if (payload instanceof Readable) payload.destroy()
  for (const name of Object.keys(reply.getHeaders())) reply.removeHeader(name)
  const { problem, headers } = problemOf(unauthenticated(), request.id)
  reply.code(problem.status).headers({ ...SECURITY_HEADERS, ...headers })
  // From now on it is nobody's: nothing is said of the tenant's limits.
  request.tenantId = ''
  return JSON.stringify(problem)
}

/**
 * Who calls. After too many failures of an address a bad key is told to wait, most of them unseen, and a good one is good all the same; a
 * request without a key fails without being counted.
 * @throws {EdgeError} {TooManyFailedKeysError} {OverloadedError} the key may be new, and the store cannot be asked.
 */
async function known(request: FastifyRequest, keys: KeyRing, failures: FailedKeys): Promise<Caller> {
  const { authorization = '' } = request.headers
  if (authorization.trim() === '') return keys.authenticate(undefined) ?? refuse(0)
  // A client that has gone has no address any more.
  const address = request.ip ?? ''
  const waitMs = failures.blockedFor(address)
  if (waitMs > 0 && !failures.looksAnyway(address, authorization)) refuse(waitMs)
  const isOne = !isRepeated(request)
  if (isOne && keys.isUnheardOf(authorization)) await lookFor(keys)
  const caller = isOne ? keys.authenticate(authorization) : null
  if (caller === null) {
    failures.failed(address, authorization)
    refuse(waitMs)
  }
  failures.succeeded(address, authorization)
  return caller
}

async function lookFor(keys: KeyRing): Promise<void> {
  try {
    await keys.look()
  } catch (cause) {
    throw new OverloadedError('New keys cannot be read now; try again.', 2, { cause })
  }
}

function refuse(waitMs: number): never {
  throw waitMs > 0 ? new TooManyFailedKeysError(waitMs / 1_000) : unauthenticated()
}

function opened(keys: KeyRing, key: { id: string; expiresAt: number | null }, { raw }: FastifyReply): Session {
  const session = new Session(raw)
  keys.sessions.open(key.id, key.expiresAt, session)
  raw.once('close', () => keys.sessions.close(key.id, session))
  return session
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

function refusalOf(caller: Caller, scope: Scope | undefined): string {
  if (caller === 'admin') return "The admin key belongs to no tenant: use a tenant's key here."
  return `This key is not good for this route${scope === undefined ? '' : `, which takes those with the scope "${scope}"`}.`
}
