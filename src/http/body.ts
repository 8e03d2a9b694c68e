import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { Turns } from '../json/turns.ts'
import { flawOf, malformed, SCAN_ABOVE_BYTES, scanInTurns } from './body-scan.ts'
import { EdgeError } from './errors.ts'

/**
 * Take JSON bodies and no others: UTF-8 without mistakes, no keys that poison prototypes. An empty body is `undefined`,
 * whatever its content type, so that the route says whether it needs one. Large ones are looked at first, so that nobody
 * waits long while they are parsed.
 *
 * @param turns - Default: its own.
 */
export function takeJsonOnly(app: FastifyInstance, turns = new Turns()): void {
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addHook('preParsing', async ({ headers }) => {
    const wrong = hasBody(headers) ? codingFlaw(headers) : null
    if (wrong !== null) throw new EdgeError('unsupported_media_type', wrong)
  })
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    const bytes = body as Buffer // `parseAs` says so.
    if (bytes.length === 0) return done(null, undefined)
    const parsed = () => {
      const text = decode(bytes)
      if (text === null) return done(malformed('The body is not valid UTF-8.'))
      void parse(request, text, (error, value) => (error ? done(malformed(flawOf(bytes, text))) : done(null, value)))
    }
    if (bytes.length <= SCAN_ABOVE_BYTES) return parsed()
    scanInTurns(turns, request, bytes).then(parsed, done)
  })
}

/** The request needs a body, and has none. */
export function emptyBody(): EdgeError {
  return malformed('The body is empty; it must be a JSON document.')
}

/** Without a body, what its headers would say of it means nothing (RFC 9112, 6). */
function hasBody(headers: IncomingHttpHeaders): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}

/** Bodies come as they are and in UTF-8 (RFC 8259): in anything else they would be misread. */
function codingFlaw(headers: IncomingHttpHeaders): string | null {
  const coding = headers['content-encoding'] ?? 'identity'
  if (coding.toLowerCase() !== 'identity') return 'Bodies are taken without a Content-Encoding.'
  const charset = /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(headers['content-type'] ?? '')?.[1] ?? 'utf-8'
  return /^utf-?8$/i.test(charset) ? null : 'Bodies are JSON in UTF-8.'
}

function decode(body: Buffer): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body)
  } catch {
    // The only thing a fatal decoder throws is that the bytes are no UTF-8.
    return null
  }
}
