import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Clock } from '../clock.ts'
import type { Engine } from '../engine/engine.ts'
import { follow } from '../stream/follow.ts'
import { FRAMINGS, type StreamType } from '../stream/frames.ts'
import { keepOpen, type Observers } from './observers.ts'
import { inPieces } from './splice.ts'
import type { UnreadBytes } from './unread.ts'

/** What of a batch's log is sent; as the engine takes it. */
export type EventsQuery = Omit<Parameters<Engine['events']>[2], 'signal'>

/**
 * Answer with the events of a batch in the framing the caller wants, or with 204 when there are none and never will be.
 * What is written waits for the reader; when the reader goes, or the server closes, the engine is told to let go.
 */
export async function sendEvents(
  request: FastifyRequest,
  reply: FastifyReply,
  { engine, clock, observers, unread }: { engine: Engine; clock: Clock; observers: Observers; unread: UnreadBytes },
  batchId: string,
  query: EventsQuery,
): Promise<FastifyReply> {
  const signal = observers.watch(request, reply)
  const pages = unread.answer(request.tenantId, reply.raw)
  const events = await engine.events(request.tenantId, batchId, { ...query, signal }, pages)
  if (events === null) return reply.code(204).send()
  // The route's `produces` holds nothing but JSON and these two, and JSON is answered elsewhere.
  const framing = FRAMINGS[request.answerType as StreamType]
  const text = withHeadNow(reply, follow(events, framing, clock))
  keepOpen(request)
  observers.stream(reply)
  reply.code(200).headers({ 'content-type': framing.contentType, 'x-accel-buffering': 'no' })
  return reply.send(inPieces(pages, text))
}

/** The status and headers go out before the first event, so that the caller knows the stream is open. */
async function* withHeadNow(
  reply: FastifyReply,
  text: AsyncIterable<string | Buffer>,
): AsyncGenerator<string | Buffer> {
  reply.raw.flushHeaders()
  yield* text
}
