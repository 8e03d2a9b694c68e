import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyBaseLogger, FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { NotFoundError, type ServiceError } from '../errors.ts'
import { EdgeError } from './errors.ts'
import { SECURITY_HEADERS } from './headers.ts'
import { knownError, type ProblemAnswer, problemOf } from './problem.ts'
import type { RouteTable } from './route-table.ts'

declare module 'fastify' {
  interface FastifyReply {
    /** The code of the problem that is the answer, for who counts them; undefined: it is none. */
    problemCode: string | undefined
  }
}

/** Answer with the problem document of an error; one that nobody foresaw goes to the log under the request's id. */
export function sendProblem(thrown: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const known = knownError(thrown)
  if (known === null) request.log.error({ err: thrown, instance: request.id }, 'request failed')
  const { problem, headers } = problemOf(known, request.id)
  reply.problemCode = problem.code
  return reply
    .code(problem.status)
    .headers({ ...SECURITY_HEADERS, ...headers })
    .send(JSON.stringify(problem))
}

/** Every error of the app, Fastify's own and unknown routes included, becomes a problem document. */
export function answerProblems(app: FastifyInstance, routes: RouteTable): void {
  app.setErrorHandler((error: FastifyError, request, reply) => sendProblem(error, request, reply))
  app.setNotFoundHandler((request, reply) => sendProblem(unknownRoute(routes, request), request, reply))
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(SECURITY_HEADERS)
    // Node's own answer to a missing Host has no body; RFC 9112 3.2 wants a 400.
    if (request.raw.httpVersion === '1.1' && request.headers.host === undefined)
      throw new EdgeError('bad_request', 'The Host header is missing.')
    if (hasTwoHosts(request.raw)) throw new EdgeError('bad_request', 'The Host header is there more than once.')
    // Now: Fastify would read and parse a body first, whoever sends it.
    if (request.is404) throw unknownRoute(routes, request)
  })
}

/** Node keeps the first of them; whoever is in front may have looked at another (RFC 9112, 3.2). */
function hasTwoHosts({ rawHeaders }: IncomingMessage): boolean {
  let hosts = 0
  for (let at = 0; at < rawHeaders.length; at += 2) if (rawHeaders[at]?.toLowerCase() === 'host') hosts++
  return hosts > 1
}

/**
 * The URL that a request is routed by. A path that is no percent-encoded UTF-8 is taken by the letter: the router would answer it
 * before any hook, and so without a key.
 */
export function routableUrl(url = '/'): string {
  const [path = '', ...query] = url.split('?')
  if (!path.includes('%') || isDecodable(path)) return url
  return [path.replaceAll('%', '%25'), ...query].join('?')
}

function isDecodable(path: string): boolean {
  try {
    decodeURIComponent(path)
    return true
  } catch {
    // The only thing that it throws is that the text is malformed.
    return false
  }
}

function unknownRoute(routes: RouteTable, request: FastifyRequest): ServiceError {
  const methods = routes.methodsOf(request.url)
  if (methods.length === 0 || methods.includes(request.method)) return new NotFoundError()
  const allow = methods.join(', ')
  return new EdgeError('method_not_allowed', `This path takes ${allow}.`, { allow })
}

/** Who is told of what was answered without ever having been a request. */
export interface EdgeWatch {
  log: FastifyBaseLogger
  /** Makes the id of such a one. */
  newId(): string
  /** It was answered with the problem of this code. */
  noRequest(code: string): void
}

/** What Node would answer by itself, without a body: expectations it does not know and CONNECT. */
export function answerForNode(app: FastifyInstance, watch: EdgeWatch): void {
  const unmet = new EdgeError('expectation_failed', 'Only "Expect: 100-continue" is met.')
  app.server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) => {
    const { problem, headers } = told(watch, unmet)
    response
      .writeHead(problem.status, { ...SECURITY_HEADERS, ...headers, connection: 'close' })
      .end(JSON.stringify(problem))
  })
  const noProxy = new EdgeError('method_not_allowed', 'This is no proxy.', { allow: 'GET, POST' })
  app.server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
    endWithProblem(socket, told(watch, noProxy))
  })
}

/** What is answered without a request, and so without the line that every request has. */
function told({ log, newId, noRequest }: EdgeWatch, error: ServiceError): ProblemAnswer {
  const answer = problemOf(error, newId())
  const { instance, status, code } = answer.problem
  log.info({ instance, status, code }, 'answered what is no request')
  noRequest(code)
  return answer
}

/** A parser's error: there is no request to answer, only the socket. */
export function answerClientError(watch: EdgeWatch, error: Error, socket: Duplex): void {
  if (!socket.writable || isAnswering(socket)) {
    socket.destroy()
    return
  }
  const known = knownError(error) ?? new EdgeError('bad_request', 'The request is not well-formed HTTP.')
  endWithProblem(socket, told(watch, known))
}

function endWithProblem(socket: Duplex, { problem, headers }: ProblemAnswer): void {
  const body = JSON.stringify(problem)
  const length = String(Buffer.byteLength(body))
  const all = { ...SECURITY_HEADERS, ...headers, connection: 'close', 'content-length': length }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  // Not half of it: whoever never closes his own half would keep it.
  socket.end(`HTTP/1.1 ${problem.status} ${problem.title}\r\n${lines.join('')}\r\n${body}`, () => socket.destroy())
}

/** True when the head of another answer is on this socket already: nothing can be put after it. */
function isAnswering(socket: Duplex): boolean {
  // Node keeps the response a socket is busy with there; its own default handler looks at the same field.
  const { _httpMessage: message } = socket as Duplex & { _httpMessage?: ServerResponse | null }
  return message?.headersSent ?? false
}
