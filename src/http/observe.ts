import type { FastifyReply, FastifyRequest } from 'fastify'

/**
 * A signal for what only watches: it aborts when the caller is gone or the server closes, and never touches a job.
 * @param closing - The server's own: aborts when it closes.
 */
export function observing(reply: FastifyReply, closing: AbortSignal): AbortSignal {
  const gone = new AbortController()
  reply.raw.once('close', () => gone.abort())
  if (reply.raw.destroyed) gone.abort()
  return AbortSignal.any([gone.signal, closing])
}

/** Streams may be silent for longer than an idle connection is kept: a dead peer is found by TCP instead. */
export function keepOpen(request: FastifyRequest): void {
  request.raw.socket.setTimeout(0)
  request.raw.socket.setKeepAlive(true, 30_000)
}
