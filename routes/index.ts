import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import { guard } from '../src/auth/guard.ts'
import { acceptable } from '../src/http/accept.ts'
import { FailedKeys } from '../src/http/failures.ts'
import { refuseLoops } from '../src/http/loop.ts'
import { admin } from './admin.ts'
import { batches } from './batches.ts'
import { docs } from './docs.ts'
import { events } from './events.ts'
import { health } from './health.ts'
import { jobs } from './jobs.ts'
import { lifecycle } from './lifecycle.ts'
import { metrics } from './metrics.ts'
import type { RouteParts } from './parts.ts'
import { tenant } from './tenant.ts'
import { validate } from './validate.ts'

/** Every route: those of the API behind a key, and those that anybody may call. */
export const routes: FastifyPluginAsync<RouteParts> = async (app, parts) => {
  await app.register(async (open) => {
    refuseTenants(open)
    open.addHook('onRequest', acceptable)
    await open.register(health, parts)
    await open.register(docs)
  })
  await app.register(async (keyed) => {
    refuseWithoutScope(keyed)
    keyed.addHook('onRequest', refuseLoops)
    guard(keyed, { keys: parts.keys, failures: new FailedKeys({ clock: parts.clock }) })
    limitRequests(keyed, parts)
    keyed.addHook('onRequest', acceptable)
    for (const plugin of [batches, validate, lifecycle, events, jobs, tenant, admin, metrics])
      await keyed.register(plugin, parts)
  })
}

/** Counts the requests of tenants, and tells in each answer what is left. */
function limitRequests(app: FastifyInstance, { limits }: RouteParts): void {
  app.addHook('onRequest', async (request) => limits.admit(request))
  app.addHook('onSend', (request, reply, payload, done) => {
    limits.show(request, reply)
    done(null, payload)
  })
}

/** What belongs to tenants is behind a key: a route of the API that is put among the others is found at the start. */
export function refuseTenants(app: FastifyInstance): void {
  app.addHook('onRoute', ({ url, config }) => {
    if (url.startsWith('/v1') || config?.scope !== undefined)
      throw new Error(`The route ${url} belongs behind a key, and is among those without.`)
  })
}

/** A route that says nothing about who may call it is a mistake, and is found at the start. */
export function refuseWithoutScope(app: FastifyInstance): void {
  app.addHook('onRoute', ({ url, config }) => {
    if (config?.scope === undefined) throw new Error(`The route ${url} does not say which scope it needs.`)
  })
}
