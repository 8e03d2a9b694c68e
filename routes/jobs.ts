import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import { json, KEYED, problems, SHED, WITH_BODY } from '../src/http/responses.ts'
import { arrayOf, sendJson, sendRead } from '../src/http/splice.ts'
import { BatchParams, CancelBody, JobListQuery, JobParams, NoQuery, RescheduleBody } from '../src/schema/requests.ts'
import { CancelledJob, JobPage, JobView } from '../src/schema/views.ts'
import { linkNext } from './batches.ts'
import type { RouteParts } from './parts.ts'

/** `/v1/batches/{batchId}/jobs` and `/v1/jobs/{jobId}`: look at jobs, stop one, move its deadline. */
export const jobs: FastifyPluginAsyncZod<RouteParts> = async (app, parts) => {
  list(app, parts)
  read(app, parts)
  cancel(app, parts)
  reschedule(app, parts)
}

type App = Parameters<typeof jobs>[0]

const COMMON = { tags: ['jobs'], security: [{ key: [] }] }

function list(app: App, { engine, unread }: RouteParts): void {
  app.route({
    method: 'GET',
    url: '/v1/batches/:batchId/jobs',
    config: { scope: 'jobs' },
    schema: {
      ...COMMON,
      operationId: 'listJobs',
      summary: "List a batch's jobs with their results",
      description: 'In input order, or in the order in which they ended. `Link: rel="next"` is the next page.',
      params: BatchParams,
      querystring: JobListQuery,
      response: { 200: json(JobPage, 'A page of jobs.'), ...problems(...KEYED, ...SHED, 'not_found') },
    },
    async handler(request, reply) {
      const { tenantId, params, query } = request
      const pages = unread.answer(tenantId, reply.raw)
      const { data, nextCursor } = await engine.jobs(tenantId, params.batchId, query, pages)
      linkNext(reply, request.url, nextCursor)
      return sendRead(reply, `{"data":${arrayOf(data)},"nextCursor":${JSON.stringify(nextCursor)}}`, pages)
    },
  })
}

function read(app: App, { engine }: RouteParts): void {
  app.route({
    method: 'GET',
    url: '/v1/jobs/:jobId',
    config: { scope: 'jobs' },
    schema: {
      ...COMMON,
      operationId: 'readJob',
      summary: 'Read a job',
      description: 'While it is queued, `waitingOn` says what holds it back.',
      params: JobParams,
      querystring: NoQuery,
      response: { 200: json(JobView, 'The job.'), ...problems(...KEYED, ...SHED, 'not_found') },
    },
    async handler(request, reply) {
      return sendJson(reply, await engine.job(request.tenantId, request.params.jobId))
    },
  })
}

function cancel(app: App, { engine }: RouteParts): void {
  app.route({
    method: 'POST',
    url: '/v1/jobs/:jobId/cancel',
    config: { scope: 'jobs', relieves: true },
    schema: {
      ...COMMON,
      operationId: 'cancelJob',
      summary: 'Cancel one job',
      description: 'Shielded or not. The first reason is kept.',
      params: JobParams,
      querystring: NoQuery,
      body: CancelBody,
      response: {
        200: json(CancelledJob, '`cancelled` is false: the job had ended.'),
        202: json(CancelledJob, '`cancelled` is true: asked for; the job ends as soon as it has unwound.'),
        ...problems(...KEYED, ...WITH_BODY, ...SHED, 'not_found'),
      },
    },
    async handler(request, reply) {
      const { cancelled, job } = await engine.cancelJob(
        request.tenantId,
        request.params.jobId,
        request.body?.reason ?? null,
      )
      return sendJson(reply.code(cancelled ? 202 : 200), `{"cancelled":${cancelled},"job":${job}}`)
    },
  })
}

function reschedule(app: App, { engine }: RouteParts): void {
  app.route({
    method: 'PATCH',
    url: '/v1/jobs/:jobId',
    config: { scope: 'jobs' },
    schema: {
      ...COMMON,
      operationId: 'rescheduleJob',
      summary: "Move a job's deadline, timeout or priority",
      description: 'What is absent stays as it was; null removes. One that is past already ends the job now.',
      params: JobParams,
      querystring: NoQuery,
      body: RescheduleBody,
      response: {
        200: json(JobView, 'The job.'),
        ...problems(...KEYED, ...WITH_BODY, ...SHED, 'not_found', 'job_finished'),
      },
    },
    async handler(request, reply) {
      return sendJson(reply, await engine.reschedule(request.tenantId, request.params.jobId, request.body))
    },
  })
}
