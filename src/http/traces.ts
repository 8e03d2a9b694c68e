import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Clock } from '../clock.ts'
import { parseTraceparent } from '../contract.ts'
import { whenLeft } from './hang-up.ts'
import { traceparentOf } from './traceparent.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Of a submission, where traces are made. */
    trace: RequestTrace | null
  }
}

/** The span of a request that submits a batch. */
export interface RequestTrace {
  /** 32 hexadecimal digits. */
  readonly traceId: string
  /** The W3C header that what the request leads to is below of. */
  readonly traceparent: string
  /** The batch is on disk. */
  accepted(batchId: string): void
  /** It was answered, or nobody was there any more. */
  end(facts: { at: number; status: number; tenantId: string }): void
}

/** Who makes traces of requests. */
export interface RequestTraces {
  /** @param request.traceparent - The caller's, if it is a good one. */
  submission(request: { method: string; route: string; at: number; traceparent: string | undefined }): RequestTrace
}

/** What proxies write down for a caller that goes before it is answered. */
const LEFT = 499

/** The route whose requests have a span. */
const SUBMISSION = { method: 'POST', route: '/v1/batches' }

/** Trace what submits, and have the log name the trace of each request that has one. Without `traces`: nothing of it. */
export function traceRequests(app: FastifyInstance, traces: RequestTraces | undefined, clock: Clock): void {
  app.decorateRequest('trace', null)
  if (traces === undefined) return
  const end = ({ trace, tenantId }: FastifyRequest, status: number) => trace?.end({ at: clock.now(), status, tenantId })
  app.addHook('onRequest', async (request, reply) => {
    const traceparent = traceparentOf(request.headers.traceparent)
    if (isSubmission(request)) {
      request.trace = traces.submission({ ...SUBMISSION, at: clock.now(), traceparent })
      // What it had been answered by then, a stream perhaps; nothing has a status of its own.
      whenLeft(reply, () => end(request, reply.raw.headersSent ? reply.statusCode : LEFT))
    }
    nameTrace(request, reply, request.trace?.traceId ?? (traceparent && parseTraceparent(traceparent)?.traceId))
  })
  app.addHook('onResponse', async (request, reply) => end(request, reply.statusCode))
}

function isSubmission({ method, routeOptions }: FastifyRequest): boolean {
  return method === SUBMISSION.method && routeOptions.url === SUBMISSION.route
}

function nameTrace(request: FastifyRequest, reply: FastifyReply, traceId: string | undefined): void {
  if (traceId === undefined) return
  request.log = request.log.child({ traceId })
  reply.log = request.log
}
