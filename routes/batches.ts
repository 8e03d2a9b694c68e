import type { FastifyReply, FastifyRequest } from 'fastify'
import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod'
import type { BatchSubmission, BatchView } from '../src/engine/engine.ts'
import { BatchDeletedError } from '../src/errors.ts'
import { letGoOfBody } from '../src/http/bodies.ts'
import { emptyBody } from '../src/http/body.ts'
import { checked } from '../src/http/checked.ts'
import { etagOf, noneMatchHits } from '../src/http/etag.ts'
import { sendEvents } from '../src/http/events.ts'
import { idempotencyOf } from '../src/http/idempotency.ts'
import { preferredWait } from '../src/http/prefer.ts'
import { empty, json, jsonOrStream, KEYED, OBSERVED, problems, SHED, WITH_BODY } from '../src/http/responses.ts'
import { sendJson, sendSpliced } from '../src/http/splice.ts'
import { traceparentOf } from '../src/http/traceparent.ts'
import { documentationOnly } from '../src/http/validator.ts'
import { BatchListQuery, BatchParams, BatchQuery, NoQuery, readHeaders, submitHeaders } from '../src/schema/requests.ts'
import { submissionSteps } from '../src/schema/submission.ts'
import { BatchPage, BatchView as BatchSchema, BatchWithJobs, Event } from '../src/schema/views.ts'
import type { RouteParts } from './parts.ts'

/** `/v1/batches`: submit work, list it, read it. */
export const batches: FastifyPluginAsyncZod<RouteParts> = async (app, parts) => {
  submit(app, parts)
  list(app, parts)
  read(app, parts)
}

type App = Parameters<typeof batches>[0]

function submit(app: App, parts: RouteParts): void {
  const { engine, config, bodies, clock, observers } = parts
  app.route({
    method: 'POST',
    url: '/v1/batches',
    config: { scope: 'jobs', produces: ['application/json', 'text/event-stream', 'application/x-ndjson'] },
    validatorCompiler: documentationOnly,
    schema: {
      operationId: 'createBatch',
      summary: 'Submit a batch of jobs',
      description: [
        `All of its jobs are accepted or none; they are on disk when the answer comes. \`Prefer: wait=N\` (seconds, at most`,
        `${config.maxWaitMs / 1_000}) holds the answer until the batch has settled: 200 with its jobs then, else 202. While your queue is full it`,
        `waits, in the same time, for room first; if you hang up before there is, nothing is accepted. With \`Accept: text/event-stream\` or`,
        `\`application/x-ndjson\` the answer is the stream of the batch's events from the start. Hanging up cancels nothing.`,
      ].join(' '),
      tags: ['batches'],
      security: [{ key: [] }],
      headers: submitHeaders(config.maxWaitMs),
      querystring: NoQuery,
      body: bodies.batch,
      response: {
        200: jsonOrStream(
          BatchWithJobs,
          Event,
          'The settled batch with its jobs (`Prefer: wait`), or the stream of its events (`Accept`).',
        ),
        202: json(BatchSchema, 'Accepted; `Location` is where to read it.'),
        ...problems(
          ...KEYED,
          ...WITH_BODY,
          ...OBSERVED,
          'idempotency_conflict',
          'idempotency_mismatch',
          'batch_too_large',
          'queue_full',
          'shutting_down',
        ),
      },
    },
    async handler(request, reply) {
      if (request.body === undefined) throw emptyBody()
      const { tenantId } = request
      const idempotency = idempotencyOf(request.headers['idempotency-key'], request.body)
      const first = idempotency ? await engine.replay(tenantId, idempotency) : null
      const isStream = request.answerType !== 'application/json'
      const wait = preferredWait(request.headers.prefer, config.maxWaitMs)
      // Counted before anything is accepted: one too many is refused whole.
      const signal = isStream || wait ? observers.watch(request, reply) : undefined
      if (wait) reply.header('preference-applied', wait.applied)
      const until = clock.now() + (wait?.waitMs ?? 0)
      const hold = wait ? { timeoutMs: wait.waitMs, bytes: bodyBytes(request, config), signal } : undefined
      const accepted =
        first ?? (await engine.submit(tenantId, await submissionOf(request, parts), { idempotency, hold }))
      request.trace?.accepted(accepted.id)
      letGoOfBody(request)
      reply.header('location', accepted.links.self)
      if (isStream) return sendEvents(request, reply, parts, accepted.id, { after: 0 })
      if (!wait) return sendJson(reply.code(202), JSON.stringify(accepted))
      const view = await engine
        .untilSettled(tenantId, accepted.id, Math.max(until - clock.now(), 0), signal)
        .catch((error) => {
          // A repeated Idempotency-Key can outlive its batch: then the first answer is all there is.
          if (error instanceof BatchDeletedError) return accepted
          throw error
        })
      if (view.settledAt === null) return sendJson(reply.code(202), JSON.stringify(view))
      return sendWithJobs(reply.code(200), parts, tenantId, view)
    },
  })
}

/** The batch that a request describes. @throws {InvalidArgumentError} {BatchTooLargeError} */
async function submissionOf(
  request: FastifyRequest,
  { engine, jobSchema, turns }: RouteParts,
): Promise<BatchSubmission> {
  const steps = submissionSteps(request.body, jobSchema, engine.tenant(request.tenantId))
  const batch = await checked(turns, request, steps)
  const traceparent = request.trace?.traceparent ?? traceparentOf(request.headers.traceparent)
  return traceparent ? { ...batch, traceparent } : batch
}

/** What the request takes in memory while it is held; one that does not say counts as the largest. */
function bodyBytes({ headers }: FastifyRequest, { bodyLimitBytes }: RouteParts['config']): number {
  return Number(headers['content-length'] ?? bodyLimitBytes)
}

function list(app: App, { engine }: RouteParts): void {
  app.route({
    method: 'GET',
    url: '/v1/batches',
    config: { scope: 'jobs' },
    schema: {
      operationId: 'listBatches',
      summary: 'List batches, newest first',
      description: 'Filter by state and by labels, `label.<key>=<value>`. `Link: rel="next"` is the next page.',
      tags: ['batches'],
      security: [{ key: [] }],
      querystring: BatchListQuery,
      response: { 200: json(BatchPage, 'A page of batches.'), ...problems(...KEYED, ...SHED) },
    },
    async handler(request, reply) {
      const { labels, ...query } = request.query
      const plain = Object.fromEntries(
        Object.entries(labels).map(([name, value]) => [name.slice('label.'.length), value]),
      )
      const page = await engine.batches(request.tenantId, { ...query, labels: plain })
      linkNext(reply, request.url, page.nextCursor)
      return sendJson(reply, JSON.stringify(page))
    },
  })
}

function read(app: App, parts: RouteParts): void {
  const { engine, config, observers } = parts
  app.route({
    method: 'GET',
    url: '/v1/batches/:batchId',
    config: { scope: 'jobs' },
    schema: {
      operationId: 'readBatch',
      summary: 'Read a batch',
      description: [
        `\`Prefer: wait=N\` (seconds, at most ${config.maxWaitMs / 1_000}) holds the answer until the batch has settled. \`ETag\` with`,
        `\`If-None-Match\` saves reading what has not changed. \`include=jobs\` adds all its jobs in input order.`,
      ].join(' '),
      tags: ['batches'],
      security: [{ key: [] }],
      headers: readHeaders(config.maxWaitMs),
      params: BatchParams,
      querystring: BatchQuery,
      response: {
        200: json(BatchWithJobs, 'The batch.'),
        304: empty('Not changed since the `ETag` in `If-None-Match`.'),
        ...problems(...KEYED, ...OBSERVED, 'not_found'),
      },
    },
    async handler(request, reply) {
      const { tenantId } = request
      const { batchId } = request.params
      const wait = preferredWait(request.headers.prefer, config.maxWaitMs)
      if (wait) reply.header('preference-applied', wait.applied)
      const view = wait
        ? await engine.untilSettled(tenantId, batchId, wait.waitMs, observers.watch(request, reply))
        : await engine.batch(tenantId, batchId)
      const text = JSON.stringify(view)
      const withJobs = request.query.include === 'jobs'
      const etag = withJobs ? etagOf(`${text}+jobs`, true) : etagOf(text)
      reply.header('etag', etag)
      if (noneMatchHits(request.headers['if-none-match'], etag)) return reply.code(304).send()
      return withJobs ? sendWithJobs(reply, parts, tenantId, view) : sendJson(reply, text)
    },
  })
}

async function sendWithJobs(
  reply: FastifyReply,
  { engine, unread }: RouteParts,
  tenantId: string,
  view: BatchView,
): Promise<FastifyReply> {
  const pages = unread.answer(tenantId, reply.raw)
  return sendSpliced(reply, view, 'jobs', await engine.allJobs(tenantId, view.id, pages), { unread: pages })
}

/** `Link: rel="next"` (RFC 8288): this request with the next page's cursor. */
export function linkNext(reply: FastifyReply, url: string, nextCursor: string | null): void {
  if (nextCursor === null) return
  const [path, query] = url.split('?', 2)
  const parameters = new URLSearchParams(query)
  parameters.set('cursor', nextCursor)
  reply.header('link', `<${path}?${parameters}>; rel="next"`)
}
