import type { FastifyRequest } from 'fastify'
import { EdgeError } from './errors.ts'
import { negotiate } from './negotiate.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The media type of the answer, as the caller wants it. */
    answerType: string
  }
  interface FastifyContextConfig {
    /** The media types a route can answer with, the default first. Absent: JSON. */
    produces?: readonly string[]
  }
}

/**
 * Finds the media type of the answer before anything is done for it; a hook for `onRequest`.
 * @throws {EdgeError} `not_acceptable` when the caller wants none of the route's.
 */
export async function acceptable(request: FastifyRequest): Promise<void> {
  const offers = request.routeOptions.config.produces ?? ['application/json']
  const best = negotiate(request.headers.accept, offers)
  if (best === null) throw new EdgeError('not_acceptable', `This route answers with ${offers.join(' or ')}.`)
  request.answerType = best
}
