import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { emptyBody } from '../src/http/body.ts'
import { checked } from '../src/http/checked.ts'
import { json, KEYED, problems, SHED, WITH_BODY } from '../src/http/responses.ts'
import { arrayOf, sendJson } from '../src/http/splice.ts'
import { documentationOnly } from '../src/http/validator.ts'
import { BatchParams, CancelBody, NoBody, NoQuery } from '../src/schema/requests.ts'
import { appendSteps } from '../src/schema/submission.ts'
import { CancelledBatch, ClosedBatch, JobList } from '../src/schema/views.ts'
import type { RouteParts } from './parts.ts'

/** `/v1/batches/{batchId}/…`: what is done to a batch that runs. */
export const lifecycle: FastifyPluginAsyncZod<RouteParts> = async (app, parts) => {
  append(app, parts)
  close(app, parts)
  stop(app, parts)
  cancel(app, parts)
}

type App = Parameters<typeof lifecycle>[0]

const COMMON = { tags: ['batches'], security: [{ key: [] }], params: BatchParams, querystring: NoQuery }

function append(app: App, { engine, jobSchema, bodies, turns }: RouteParts): void {
  app.route({
    method: 'POST',
    url: '/v1/batches/:batchId/jobs',
    config: { scope: 'jobs' },
    validatorCompiler: documentationOnly,
    schema: {
      ...COMMON,
      operationId: 'appendJobs',
      summary: 'Append jobs to a running batch',
      description: 'Accepted while the batch is open or has a job that has not ended; all of them or none.',
      body: bodies.append,
      response: {
        201: json(JobList, 'The new jobs, in input order.'),
        ...problems(...KEYED, ...WITH_BODY, 'not_found', 'batch_shutting_down', 'batch_finished'),
        ...problems('batch_too_large', 'body_too_large', 'queue_full', 'overloaded', 'shutting_down'),
      },
    },
    async handler(request, reply) {
      if (request.body === undefined) throw emptyBody()
      const { tenantId } = request
      const steps = appendSteps(request.body, jobSchema, engine.tenant(tenantId))
      const jobs = await checked(turns, request, steps)
      const views = await engine.append(tenantId, request.params.batchId, jobs)
      return sendJson(reply.code(201), `{"data":${arrayOf(views)}}`)
    },
  })
}

function close(app: App, { engine }: RouteParts): void {
  app.route({
    method: 'POST',
    url: '/v1/batches/:batchId/close',
    config: { scope: 'jobs', relieves: true },
    schema: {
      ...COMMON,
      operationId: 'closeBatch',
      summary: 'Say that no more jobs will come',
      description: 'The batch ends when its jobs have. May be said again.',
      body: NoBody,
      response: { 200: json(ClosedBatch, 'The batch.'), ...problems(...KEYED, ...WITH_BODY, ...SHED, 'not_found') },
    },
    async handler(request, reply) {
      const batch = await engine.close(request.tenantId, request.params.batchId)
      return sendJson(reply, JSON.stringify({ batch }))
    },
  })
}

const CANCELLED = {
  200: json(CancelledBatch, '`cancelled` is false: the batch had its outcome already, and nothing changed.'),
  202: json(CancelledBatch, '`cancelled` is true: asked for; the jobs end as soon as they have unwound.'),
  ...problems(...KEYED, ...WITH_BODY, ...SHED, 'not_found'),
}

function stop(app: App, { engine }: RouteParts): void {
  app.route({
    method: 'POST',
    url: '/v1/batches/:batchId/stop',
    config: { scope: 'jobs', relieves: true },
    schema: {
      ...COMMON,
      operationId: 'stopBatch',
      summary: 'End a batch early, as a success',
      description: 'What has not ended is cancelled and the batch ends `succeeded`. May be said again.',
      body: NoBody,
      response: CANCELLED,
    },
    async handler(request, reply) {
      const answer = await engine.stop(request.tenantId, request.params.batchId)
      return sendJson(reply.code(answer.cancelled ? 202 : 200), JSON.stringify(answer))
    },
  })
}

function cancel(app: App, { engine }: RouteParts): void {
  app.route({
    method: 'POST',
    url: '/v1/batches/:batchId/cancel',
    config: { scope: 'jobs', relieves: true },
    schema: {
      ...COMMON,
      operationId: 'cancelBatch',
      summary: 'Cancel a batch',
      description: 'Every unshielded job that has not ended is cancelled. The first reason is kept.',
      body: CancelBody,
      response: CANCELLED,
    },
    async handler(request, reply) {
      const answer = await engine.cancel(request.tenantId, request.params.batchId, request.body?.reason ?? null)
      return sendJson(reply.code(answer.cancelled ? 202 : 200), JSON.stringify(answer))
    },
  })
}
