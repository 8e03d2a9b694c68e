import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { KEYED, problems } from '../src/http/responses.ts'
import { CONTENT_TYPES, FORMATS, type Format } from '../src/metrics/metrics.ts'
import { NoQuery } from '../src/schema/requests.ts'
import type { RouteParts } from './parts.ts'

/** `/metrics`, for Prometheus and whoever else reads its format. */
export const metrics: FastifyPluginAsyncZod<RouteParts> = async (app, { metrics }) => {
  app.route({
    method: 'GET',
    url: '/metrics',
    config: { scope: 'admin', produces: FORMATS },
    schema: {
      operationId: 'readMetrics',
      summary: 'Read the metrics',
      description: [
        'In the text format of Prometheus, or as OpenMetrics if `Accept` prefers that. Of the whole service, without a name or an id of',
        'anybody. `GATHERD_METRICS_PORT` has the same on a port of its own, without a key.',
      ].join(' '),
      tags: ['operations'],
      security: [{ key: [] }],
      querystring: NoQuery,
      response: {
        200: {
          description: 'The metrics.',
          content: Object.fromEntries(FORMATS.map((format) => [format, { schema: z.string() }])),
        },
        ...problems(...KEYED),
      },
    },
    async handler(request, reply) {
      // The route's `produces` are these.
      const format = request.answerType as Format
      return reply.header('content-type', CONTENT_TYPES[format]).send(await metrics.text(format))
    },
  })
}
