import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import type { JsonText } from '../engine/engine.ts'
import { SMALL_PAGE_BYTES, type Unread } from './unread.ts'

/** The content type of every answer that is no error and no stream. */
export const JSON_TYPE = 'application/json; charset=utf-8'

/** Send JSON text as it is: nobody parses it to write it again. */
export function sendJson(reply: FastifyReply, text: string): FastifyReply {
  return reply.type(JSON_TYPE).send(text)
}

/** `[…]` of JSON texts. */
export function arrayOf(texts: readonly JsonText[]): string {
  return `[${texts.join(',')}]`
}

/**
 * Send an object whose field `name` is an array of JSON texts that come a page at a time, with `head`'s fields before
 * it. Written as fast as the reader takes it.
 */
export function sendSpliced(
  reply: FastifyReply,
  head: object,
  name: string,
  pages: AsyncIterable<JsonText[]>,
  { tail = {}, unread }: { tail?: Record<string, unknown>; unread: Unread },
): FastifyReply {
  const text = spliced(JSON.stringify(head), name, pages, JSON.stringify(tail))
  return reply.type(JSON_TYPE).send(inPieces(unread, text))
}

/** Send JSON text that was read through `unread`; what is long goes as fast as the reader takes it. */
export function sendRead(reply: FastifyReply, text: string, unread: Unread): FastifyReply {
  if (text.length < SMALL_PAGE_BYTES) return sendJson(reply, text)
  const bytes = Buffer.from(text)
  return reply
    .header('content-length', bytes.length)
    .type(JSON_TYPE)
    .send(inPieces(unread, [bytes]))
}

/** A stream that asks for the next piece when the connection has taken the one before, and not sooner. */
export function inPieces(unread: Unread, text: AsyncIterable<string | Buffer> | Iterable<string | Buffer>): Readable {
  return Readable.from(unread.pieces(text), { objectMode: false, highWaterMark: 0 })
}

async function* spliced(
  head: string,
  name: string,
  pages: AsyncIterable<JsonText[]>,
  tail: string,
): AsyncGenerator<string> {
  let separator = `${head.slice(0, -1)}${head === '{}' ? '' : ','}${JSON.stringify(name)}:[`
  for await (const page of pages) {
    if (page.length === 0) continue
    yield separator + page.join(',')
    separator = ','
  }
  const opening = separator === ',' ? '' : separator
  yield tail === '{}' ? `${opening}]}` : `${opening}],${tail.slice(1)}`
}
