import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { sendEvents } from '../src/http/events.ts'
import { empty, json, KEYED, OBSERVED, problems, stream } from '../src/http/responses.ts'
import { sendSpliced } from '../src/http/splice.ts'
import { BatchParams, EventsHeaders, EventsQuery, waitQuery } from '../src/schema/requests.ts'
import { Event, WaitResult } from '../src/schema/views.ts'
import type { RouteParts } from './parts.ts'

/** `/v1/batches/{batchId}/events` and `/wait`: watch a batch without touching it. */
export const events: FastifyPluginAsyncZod<RouteParts> = async (app, parts) => {
  wait(app, parts)
  log(app, parts)
}

type App = Parameters<typeof events>[0]

function wait(app: App, { engine, config, observers, unread }: RouteParts): void {
  app.route({
    method: 'GET',
    url: '/v1/batches/:batchId/wait',
    config: { scope: 'jobs' },
    schema: {
      operationId: 'waitForJobs',
      summary: 'Wait for jobs, as asyncio.wait',
      description: 'Over the jobs that the batch has now. Expiry is no error: `pending` names what had not ended.',
      tags: ['events'],
      security: [{ key: [] }],
      params: BatchParams,
      querystring: waitQuery(config.maxWaitMs),
      response: {
        200: json(WaitResult, 'The two sets.'),
        ...problems(...KEYED, ...OBSERVED, 'not_found', 'empty_wait_set'),
      },
    },
    async handler(request, reply) {
      const query = { ...request.query, signal: observers.watch(request, reply) }
      const pages = unread.answer(request.tenantId, reply.raw)
      const { done, pending } = await engine.wait(request.tenantId, request.params.batchId, query, pages)
      return sendSpliced(reply, {}, 'done', done, { tail: { pending }, unread: pages })
    },
  })
}

function log(app: App, parts: RouteParts): void {
  app.route({
    method: 'GET',
    url: '/v1/batches/:batchId/events',
    exposeHeadRoute: false,
    config: { scope: 'jobs', produces: ['text/event-stream', 'application/x-ndjson'] },
    schema: {
      operationId: 'followEvents',
      summary: 'Follow the events of a batch',
      description: [
        `The log so far, then live, until \`batch.drained\`. Server-sent events unless \`Accept\` prefers \`application/x-ndjson\`. A`,
        `reconnect sends \`Last-Event-ID\` or \`after\` and misses nothing. A stream that ends without \`batch.drained\`, \`stream.timeout\` or`,
        `\`stream.shutdown\` was cut. Hanging up cancels nothing.`,
      ].join(' '),
      tags: ['events'],
      security: [{ key: [] }],
      headers: EventsHeaders,
      params: BatchParams,
      querystring: EventsQuery,
      response: {
        200: stream(Event, 'The stream.'),
        204: empty('The batch has drained and there is nothing after that number.'),
        ...problems(...KEYED, ...OBSERVED, 'not_found'),
      },
    },
    async handler(request, reply) {
      const { after = 0, ...query } = request.query
      const resumed = request.headers['last-event-id'] || after
      return sendEvents(request, reply, parts, request.params.batchId, { ...query, after: Number(resumed) })
    },
  })
}
