import { type FastifyInstance, fastify } from 'fastify'
import { describe, expect, it } from 'vitest'
import { refuseTenants, refuseWithoutScope } from '../../routes/index.ts'
import { startFake } from '../support/fake-parts.ts'

const SCOPELESS = 'The route /v1/new does not say which scope it needs.'
const BEHIND_A_KEY = 'The route /v1/new belongs behind a key, and is among those without.'

/** An app with one route, in a scope with one rule, as far as its start. */
async function started(rule: (app: FastifyInstance) => void, url: string, scope?: 'jobs'): Promise<string> {
  const app = fastify()
  void app.register(async (inside) => {
    rule(inside)
    inside.route({ method: 'GET', url, ...(scope && { config: { scope } }), handler: async () => 'x' })
  })
  const ready = Promise.resolve(app.ready())
  const outcome = await ready.then(
    () => 'started',
    (error: Error) => error.message,
  )
  await app.close()
  return outcome
}

describe('the start', () => {
  it('is refused when a route behind a key does not say which scope it needs', async () => {
    expect(await started(refuseWithoutScope, '/v1/new')).toBe(SCOPELESS)
    expect(await started(refuseWithoutScope, '/v1/new', 'jobs')).toBe('started')
  })

  it('is refused when a route of the API, or one with a scope, is among those that need no key', async () => {
    expect(await started(refuseTenants, '/v1/new')).toBe(BEHIND_A_KEY)
    expect(await started(refuseTenants, '/new', 'jobs')).toBe(BEHIND_A_KEY.replace('/v1', ''))
    expect(await started(refuseTenants, '/new')).toBe('started')
  })

  it('is not refused with the routes that there are, and both rules are in force', async () => {
    await using service = await startFake()

    expect((await service.http.get('/v1/tenant')).status).toBe(200)
    expect((await service.anybody.get('/livez')).status).toBe(200)
  })
})
