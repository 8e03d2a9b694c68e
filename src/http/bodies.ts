import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { type Readable, Transform } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Clock } from '../clock.ts'
import type { Config } from '../config.ts'
import { BodyBudget, type Reservation, SMALL_BODY_BYTES } from './body-budget.ts'

/** How much larger than the largest body the budget is when no setting says so: one tenant's two, and another's. */
const BODIES_AT_ONCE = 4

/** How long the sender of a body that is not wanted has to see the answer to it. */
const LINGER_MS = 1_000

type BodySettings = Pick<Config, 'bodyLimitBytes' | 'maxInflightBodyBytes'>

const reservations = new WeakMap<FastifyRequest, Reservation>()

/**
 * Bounds what the bodies of all requests take: reserved before anything is read, by `Content-Length` or in steps as chunks come, and
 * given back when the request is over. The operator's own are not counted. Who waits for `100 Continue` has it no sooner, and a
 * large body that nobody is going to read closes its connection.
 */
export function boundBodies(app: FastifyInstance, settings: BodySettings, clock: Clock): BodyBudget {
  const { bodyLimitBytes, maxInflightBodyBytes } = settings
  const maxBytes = maxInflightBodyBytes || BODIES_AT_ONCE * bodyLimitBytes
  const budget = new BodyBudget({ maxBytes, largestBytes: bodyLimitBytes })
  const waiting = holdBackContinue(app)
  app.addHook('preParsing', async (request, reply, payload) => {
    const bytes = declaredBytes(request.headers)
    // What is larger than the limit is refused by its length alone; of a GET no body is read.
    if (bytes === 0 || bytes > bodyLimitBytes || isUnread(request)) return payload
    const counted = isCounted(request) ? reserve(budget, request, { bytes, payload, bodyLimitBytes }) : payload
    reply.raw.once('close', () => letGoOfBody(request))
    if (reply.raw.destroyed) letGoOfBody(request)
    if (waiting.has(request.raw)) reply.raw.writeContinue()
    return counted
  })
  app.addHook('onSend', (request, reply, _payload, done) => {
    if (!request.raw.complete && isLarge(request.headers) && !reply.raw.headersSent) {
      reply.raw.setHeader('connection', 'close')
      closeLate(request.raw.socket, clock)
    }
    done()
  })
  return budget
}

/** The body is not needed any more: what was reserved for it is given back, though the answer is still to come. */
export function letGoOfBody(request: FastifyRequest): void {
  request.body = undefined
  reservations.get(request)?.release()
  reservations.delete(request)
}

/**
 * The end of an answer, when it closes its connection, is not at once the end of that: to close on bytes that nobody has read resets it, and
 * the caller would see that, in the middle of its body, before it sees the answer. What comes meanwhile is dropped as it comes.
 */
function closeLate(socket: IncomingMessage['socket'], clock: Clock): void {
  socket.destroySoon = () => {
    socket.end()
    const timer = clock.after(LINGER_MS, () => socket.destroy())
    socket.once('close', () => timer.cancel())
  }
}

/** Those who said `Expect: 100-continue`: Node would tell them to go on before anybody has looked at their key. */
function holdBackContinue(app: FastifyInstance): WeakSet<IncomingMessage> {
  const waiting = new WeakSet<IncomingMessage>()
  app.server.on('checkContinue', (request, response) => {
    waiting.add(request)
    app.server.emit('request', request, response)
  })
  return waiting
}

/** A body to come, of so many bytes; NaN: nobody knows. */
interface Coming {
  bytes: number
  payload: Readable
  bodyLimitBytes: number
}

function reserve(budget: BodyBudget, request: FastifyRequest, coming: Coming): Readable {
  const { bytes, payload, bodyLimitBytes } = coming
  const isChunked = Number.isNaN(bytes)
  const reservation = budget.reserve(request.tenantId, isChunked ? Math.min(SMALL_BODY_BYTES, bodyLimitBytes) : bytes)
  reservations.set(request, reservation)
  return isChunked ? payload.pipe(counter(reservation, coming)) : payload
}

/** Passes on what comes, each byte reserved before. What is over the limit for one body is for whoever reads it to refuse. */
function counter(reservation: Reservation, { payload, bodyLimitBytes }: Coming): Transform {
  let bytes = 0
  const counting = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length
      try {
        reservation.growTo(Math.min(Math.ceil(bytes / SMALL_BODY_BYTES) * SMALL_BODY_BYTES, bodyLimitBytes))
        done(null, chunk)
      } catch (refusal) {
        // The only thing that it throws is why there is no more room; whoever reads the body answers with it.
        done(refusal as Error)
      }
    },
  })
  payload.once('error', (error) => counting.destroy(error))
  return counting
}

/** By `Content-Length`; 0: there is no body; NaN: it comes in chunks, and nobody knows. */
function declaredBytes(headers: IncomingHttpHeaders): number {
  return headers['transfer-encoding'] === undefined ? Number(headers['content-length'] ?? 0) : Number.NaN
}

function isLarge(headers: IncomingHttpHeaders): boolean {
  return !(declaredBytes(headers) <= SMALL_BODY_BYTES)
}

function isUnread({ method }: FastifyRequest): boolean {
  return method === 'GET' || method === 'HEAD'
}

function isCounted({ routeOptions: { config } }: FastifyRequest): boolean {
  return config.scope === 'jobs'
}
