import { randomUUID } from 'node:crypto'
import { fastifySwagger } from '@fastify/swagger'
import { fastifySwaggerUi } from '@fastify/swagger-ui'
import { type FastifyBaseLogger, type FastifyInstance, type FastifyRequest, fastify, LogController } from 'fastify'
import { routes } from '../routes/index.ts'
import type { KeyRing } from './auth/keyring.ts'
import { type Clock, systemClock, type TimerHandle } from './clock.ts'
import type { Config } from './config.ts'
import type { Engine } from './engine/engine.ts'
import { InvalidArgumentError } from './errors.ts'
import { boundBodies } from './http/bodies.ts'
import { takeJsonOnly } from './http/body.ts'
import { boundConnections, slowness } from './http/connections.ts'
import {
  answerClientError,
  answerForNode,
  answerProblems,
  type EdgeWatch,
  routableUrl,
  sendProblem,
} from './http/edge.ts'
import { whenLeft } from './http/hang-up.ts'
import { documentationCsp } from './http/headers.ts'
import { refuseOtherSites } from './http/local.ts'
import { Observers } from './http/observers.ts'
import { componentsOf, openApiOptions } from './http/openapi.ts'
import { shedUnderPressure } from './http/pressure.ts'
import { trustedProxies, warnOfUnknownProxies } from './http/proxies.ts'
import { RequestLimits } from './http/rate-limit.ts'
import { RouteTable } from './http/route-table.ts'
import { type RequestTraces, traceRequests } from './http/traces.ts'
import { UnreadBytes } from './http/unread.ts'
import { validatorCompiler } from './http/validator.ts'
import type { JobKind } from './jobs/kind.ts'
import { Turns } from './json/turns.ts'
import { buildLogger } from './log.ts'
import { HttpCounts, httpReadings } from './metrics/http-counts.ts'
import { Metrics } from './metrics/metrics.ts'
import type { OnRefused } from './refusals.ts'
import { buildJobSchema } from './schema/jobs.ts'
import { type EgressEntryCheck, tenantBody } from './schema/requests.ts'
import { submissionSchemas } from './schema/submission.ts'
import type { DirectoryStore } from './store/store.ts'

/** What the app is built of. It owns none of it: who made a part closes it. */
export interface AppParts {
  engine: Engine
  keys: KeyRing
  directory: DirectoryStore
  config: Config
  kinds: readonly JobKind[]
  clock: Clock
  /** Judges the entries of a tenant's `egress`. */
  egressProblem: EgressEntryCheck
  logger: FastifyBaseLogger
  /** Told of a submission or append whose destinations are refused. */
  onRefused: OnRefused
  /** Shows what is measured here as well, at `/metrics`. Absent: this alone. */
  metrics?: Metrics
  /** Who makes traces of requests; absent: nobody. */
  traces?: RequestTraces | undefined
  /** Shown in the OpenAPI document. */
  version?: string
  /** What the container of the process may have in memory, as Node tells it; absent: nobody knows. */
  memoryLimitBytes?: number | undefined
}

/** A connection on which nothing moves for this much longer than the longest wait is closed; streams are kept. */
const IDLE_MARGIN_MS = 60_000
/** How long a reader may take for the end of its stream when the server closes. */
const CLOSE_GRACE_MS = 2_000

/** The HTTP service over its parts: no environment, no port. Listen on it, or inject; `close()` ends every stream. */
export function buildApp(parts: AppParts): FastifyInstance {
  const { config, logger } = parts
  const newId = () => randomUUID()
  const counts = new HttpCounts()
  const watch = { log: logger, newId, noRequest: (code: string) => counts.noRequest(code) }
  const app = fastify({
    loggerInstance: logger,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: newId,
    bodyLimit: config.bodyLimitBytes,
    requestTimeout: config.requestTimeoutMs,
    trustProxy: trustedProxies(config.trustProxy),
    connectionTimeout: config.maxWaitMs + IDLE_MARGIN_MS,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    // Node's answer to a missing Host has no body; ours has.
    http: { requireHostHeader: false, ...slowness(config) },
    // A malformed id, however long, is an id that is not found.
    routerOptions: { maxParamLength: 16_384 },
    rewriteUrl: ({ url }) => routableUrl(url),
    frameworkErrors: (error, request, reply) => void sendProblem(error, request, reply),
    clientErrorHandler: (error, socket) => answerClientError(watch, error, socket),
  })
  traceRequests(app, parts.traces, parts.clock)
  logAnswers(app, parts.clock, counts)
  warnOfUnknownProxies(app)
  // Before anything is answered, a path that there is none of included.
  refuseOtherSites(app, config)
  const turns = new Turns()
  prepare(app, watch, turns)
  boundConnections(app, config, { clock: parts.clock, onDropped: () => counts.connectionDropped() })
  const bodies = boundBodies(app, config, parts.clock)
  tellRefusals(app, parts.onRefused)
  shedUnderPressure(app, config, { clock: parts.clock, memoryLimitBytes: parts.memoryLimitBytes })
  const { observers, unread, metrics } = serve(app, { ...parts, turns }, closingSignal(app, parts.clock))
  metrics.add(() => counts.readings())
  metrics.add(() => httpReadings({ observers, unread, bodies, isPressed: () => app.isPressed() }))
  return app
}

/** The service's OpenAPI document as YAML, for its kinds and limits; nothing listens. */
export async function openApiYaml(parts: Pick<AppParts, 'config' | 'kinds' | 'version'>): Promise<string> {
  // A document is made of schemas alone: no route is called, so none of these is.
  const none = {} as Pick<AppParts, 'engine' | 'keys' | 'directory' | 'egressProblem' | 'onRefused'>
  const app = buildApp({ ...none, ...parts, clock: systemClock, logger: buildLogger({ level: 'silent' }) })
  try {
    await app.ready()
    return app.swagger({ yaml: true })
  } finally {
    await app.close()
  }
}

function prepare(app: FastifyInstance, watch: EdgeWatch, turns: Turns): void {
  const table = new RouteTable()
  app.addHook('onRoute', (route) => table.add(route))
  app.decorateRequest('tenantId', '')
  app.decorateRequest('session', null)
  app.decorateRequest('answerType', '')
  app.decorateReply('problemCode', undefined)
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(() => (data) => JSON.stringify(data))
  takeJsonOnly(app, turns)
  answerProblems(app, table)
  answerForNode(app, watch)
}

function serve(app: FastifyInstance, parts: AppParts & { turns: Turns }, closing: AbortSignal) {
  const jobSchema = buildJobSchema(parts.kinds)
  const tenant = tenantBody(parts.egressProblem)
  const bodies = { ...submissionSchemas(jobSchema.job, parts.config), tenant }
  const observers = new Observers({ closing, limit: parts.config.maxObservers })
  const unread = new UnreadBytes({ limit: parts.config.maxUnreadBytes, clock: parts.clock })
  const limits = new RequestLimits(parts)
  const named = { BatchSubmission: bodies.batch, JobAppend: bodies.append, TenantSettings: bodies.tenant }
  const registry = componentsOf(jobSchema, named)
  // A plugin that cannot be registered makes `ready` and `listen` fail; the promises here are the same news.
  void app.register(fastifySwagger, openApiOptions(registry, parts.version ?? '0.0.0'))
  void app.register(fastifySwaggerUi, {
    routePrefix: '/docs',
    staticCSP: documentationCsp([]),
    uiConfig: { persistAuthorization: false, tryItOutEnabled: true, validatorUrl: null },
    // The bar above the page has Swagger's logo and a field for another document, and this page has but one.
    theme: { title: 'gatherd', css: [{ filename: 'gatherd.css', content: '.swagger-ui .topbar { display: none }' }] },
  })
  const { metrics = new Metrics() } = parts
  void app.register(routes, { ...parts, jobSchema, bodies, observers, unread, limits, metrics })
  return { observers, unread, metrics }
}

/** What a submission is refused for, once for all of its jobs. A dry run answers with it, and is none. */
function tellRefusals(app: FastifyInstance, onRefused: OnRefused): void {
  app.addHook('onError', async ({ tenantId }, _reply, error: unknown) => {
    if (!(error instanceof InvalidArgumentError) || error.refusals.size === 0) return
    onRefused({ tenantId, stage: 'submission', kinds: error.refusals })
  })
}

/**
 * One line a request, and of it only its method and the route's pattern: ids, queries and bodies stay out. Its hook goes before all that
 * answer, so that every answer has a beginning.
 */
function logAnswers(app: FastifyInstance, clock: Clock, counts: HttpCounts): void {
  const starts = new WeakMap<object, number>()
  const factsOf = (request: FastifyRequest) => {
    const { method, tenantId, routeOptions } = request
    const now = clock.now()
    return { method, route: routeOptions.url, tenantId, ms: now - (starts.get(request) ?? now) }
  }
  app.addHook('onRequest', async (request, reply) => {
    starts.set(request, clock.now())
    whenLeft(reply, () => {
      const { method, route, tenantId, ms } = factsOf(request)
      counts.left({ method, route, ms })
      request.log.info({ method, route: route ?? null, tenantId, ms: Math.round(ms) }, 'the caller hung up')
    })
  })
  app.addHook('onResponse', async (request, reply) => {
    const { method, route, tenantId, ms } = factsOf(request)
    const { statusCode: status, problemCode: problem } = reply
    counts.answered({ method, route, status, ms, problem })
    request.log.info({ method, route: route ?? null, status, tenantId, ms: Math.round(ms) }, 'answered')
  })
}

/** Aborts when the server begins to close, so that streams and waits end; readers that do not read are cut off after a while. */
function closingSignal(app: FastifyInstance, clock: Clock): AbortSignal {
  const closing = new AbortController()
  let cutOff: TimerHandle | undefined
  app.addHook('preClose', async () => {
    closing.abort()
    cutOff = clock.after(CLOSE_GRACE_MS, () => app.server.closeAllConnections())
  })
  app.addHook('onClose', async () => cutOff?.cancel())
  return closing.signal
}
