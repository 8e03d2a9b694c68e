import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Turns } from '../json/turns.ts'
import { GroupParse, type GroupPlace, type ParseText } from './body-groups.ts'
import { flawOf, malformed, SCAN_ABOVE_BYTES, scanInTurns, workInTurns } from './body-scan.ts'
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
    const parsed: ParseText = (part, place) => textParsed(parse, request, part, place)
    parseInTurns(turns, request, bytes, parsed).then((value) => done(null, value), done)
  })
}

type FastifyParser = ReturnType<FastifyInstance['getDefaultJsonParser']>

/** A small body at once; a large one when it was looked at, and the entries of a long array a group at a time. */
async function parseInTurns(turns: Turns, request: FastifyRequest, bytes: Buffer, parse: ParseText): Promise<unknown> {
  if (bytes.length <= SCAN_ABOVE_BYTES) return parse(bytes, null)
  const seams = await scanInTurns(turns, request, bytes)
  if (seams === null) return parse(bytes, null)
  const groups = new GroupParse(bytes, seams, parse)
  await workInTurns(turns, request, () => groups.step())
  return groups.body
}

/** @throws {EdgeError} `malformed_json` */
function textParsed(parse: FastifyParser, request: FastifyRequest, bytes: Buffer, place: GroupPlace | null): unknown {
  const text = decode(bytes)
  if (text === null) throw malformed('The body is not valid UTF-8.')
  let parsed: unknown
  // It calls back before it returns.
  void parse(request, text, (error, value) => {
    if (error) throw malformed(flawOf(bytes, text, place))
    parsed = value
  })
  return parsed
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
