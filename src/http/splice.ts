import { Readable } from 'node:stream'
import type { FastifyReply } from 'fastify'
import type { JsonText } from '../engine/engine.ts'

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
  tail: Record<string, unknown> = {},
): FastifyReply {
  const text = spliced(JSON.stringify(head), name, pages, JSON.stringify(tail))
  return reply.type(JSON_TYPE).send(Readable.from(text, { objectMode: false }))
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
