import type { FastifyPluginAsync } from 'fastify'
import { sendJson } from '../src/http/splice.ts'

/** `/`, `/openapi.json` and `/openapi.yaml`: the contract, as generated from the schemas. */
export const docs: FastifyPluginAsync = async (app) => {
  // Whoever opens the service in a browser wants to see what it can do.
  app.route({
    method: 'GET',
    url: '/',
    config: { produces: ['text/html', 'application/json', 'text/plain'] },
    schema: { hide: true },
    handler: async (_request, reply) => reply.redirect('/docs', 302),
  })

  app.route({
    method: 'GET',
    url: '/openapi.json',
    schema: { hide: true },
    handler: async (_request, reply) => sendJson(reply, JSON.stringify(app.swagger())),
  })

  app.route({
    method: 'GET',
    url: '/openapi.yaml',
    config: { produces: ['application/yaml', 'text/yaml', 'text/plain'] },
    schema: { hide: true },
    handler: async (request, reply) =>
      reply.type(`${request.answerType}; charset=utf-8`).send(app.swagger({ yaml: true })),
  })
}
