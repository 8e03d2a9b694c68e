import type { FastifyReply } from 'fastify'

/** Call `left` when the caller goes before its answer is there to the end, for which Fastify has no hook: `onResponse` is not called then. */
export function whenLeft({ raw }: Pick<FastifyReply, 'raw'>, left: () => void): void {
  raw.once('close', () => {
    if (!raw.writableFinished) left()
  })
}
