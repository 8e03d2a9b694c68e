import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { json, KEYED, problems, SHED } from '../src/http/responses.ts'
import { sendJson } from '../src/http/splice.ts'
import { NoQuery } from '../src/schema/requests.ts'
import { TenantView } from '../src/schema/views.ts'
import type { RouteParts } from './parts.ts'

/** `/v1/tenant`: the caller's own limits and use. */
export const tenant: FastifyPluginAsyncZod<RouteParts> = async (app, { engine }) => {
  app.route({
    method: 'GET',
    url: '/v1/tenant',
    config: { scope: 'jobs' },
    schema: {
      operationId: 'readTenant',
      summary: 'Read your limits and what you use of them',
      description: 'The limits are what this service enforces for you now.',
      tags: ['tenant'],
      security: [{ key: [] }],
      querystring: NoQuery,
      response: { 200: json(TenantView, 'The tenant.'), ...problems(...KEYED, ...SHED) },
    },
    async handler(request, reply) {
      return sendJson(reply, JSON.stringify(await engine.inspect(request.tenantId)))
    },
  })
}
