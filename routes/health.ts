import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { OverloadedError, ShuttingDownError } from '../src/errors.ts'
import { json, problems } from '../src/http/responses.ts'
import { sendJson } from '../src/http/splice.ts'
import { HealthView } from '../src/schema/views.ts'
import type { RouteParts } from './parts.ts'

const OK = '{"status":"ok"}'

/** `/livez` and `/readyz`, for whoever supervises the process. */
export const health: FastifyPluginAsyncZod<RouteParts> = async (app, { engine }) => {
  app.route({
    method: 'GET',
    url: '/livez',
    schema: {
      operationId: 'livez',
      summary: 'Whether the process answers',
      description: 'Restart it when this does not answer.',
      tags: ['operations'],
      response: { 200: json(HealthView, 'It does.'), ...problems('not_acceptable') },
    },
    handler: async (_request, reply) => sendJson(reply, OK),
  })

  app.route({
    method: 'GET',
    url: '/readyz',
    schema: {
      operationId: 'readyz',
      summary: 'Whether the service takes new work',
      description: 'Send new work elsewhere while this answers 503.',
      tags: ['operations'],
      response: { 200: json(HealthView, 'It does.'), ...problems('not_acceptable', 'overloaded', 'shutting_down') },
    },
    async handler(_request, reply) {
      if (!engine.accepting) throw new ShuttingDownError()
      if (!engine.healthy) throw new OverloadedError('The store cannot write now.', 5)
      if (app.isPressed()) throw new OverloadedError('The service has too much to do.')
      return sendJson(reply, OK)
    },
  })
}
