import type { FastifySchemaCompiler } from 'fastify'
import type { z } from 'zod'
import { InvalidArgumentError, ServiceError } from '../errors.ts'
import { check, checkForm } from '../schema/check.ts'
import { pointerOf } from '../schema/pointer.ts'
import { emptyBody } from './body.ts'

/** How a label is asked for: `label.<key>=<value>`. */
const LABEL_PREFIX = 'label.'

/** How the detail of a name that the schema does not have begins (`issues.ts`). */
const UNKNOWN_FIELD = 'Is not a field here;'

/** Checks a request's parts by the zod schemas of its route; what is wrong becomes an error of ours, not of Fastify's. */
export const validatorCompiler: FastifySchemaCompiler<z.ZodType> =
  ({ schema, httpPart }) =>
  (data) => {
    try {
      return { value: httpPart === 'querystring' ? readQuery(schema, data) : readPart(schema, data, httpPart) }
    } catch (thrown) {
      if (thrown instanceof ServiceError) return { error: thrown }
      throw thrown
    }
  }

/** For a body that the handler checks by itself, with more than a schema to go by. */
// biome-ignore lint/suspicious/noExplicitAny: each route has a schema type of its own, and only their zod base is used.
export const documentationOnly: FastifySchemaCompiler<any> = (route) =>
  route.httpPart === 'body' ? () => true : validatorCompiler(route)

function readPart(schema: z.ZodType, data: unknown, httpPart = ''): unknown {
  // A malformed id is an id that is not found.
  if (httpPart === 'params') return checkForm(schema, data, [httpPart])
  if (httpPart !== 'body') return check(schema, data, [httpPart])
  // Fastify hands over no body as null.
  if (data !== null) return check(schema, data)
  if (!schema.safeParse(undefined).success) throw emptyBody()
  return undefined
}

/**
 * A query string as its schema has it. Numbers arrive as text: digits are a number where text is not wanted. The
 * `label.<key>` parameters are gathered under `labels` where the schema has that. A wrong parameter is pointed at as
 * `/query/<name>`.
 */
function readQuery(schema: z.ZodType, data: unknown): unknown {
  // Fastify's parser gives an object of strings, and arrays of them for what is repeated.
  const raw = data as Record<string, string | string[]>
  const wrong = Object.keys(raw).flatMap((name) => [
    ...(Array.isArray(raw[name]) ? [{ pointer: pointerOf(['query', name]), detail: 'Must be given once.' }] : []),
    ...(name === 'labels'
      ? [{ pointer: '/query/labels', detail: 'Is no parameter here; write label.<key>=<value>.' }]
      : []),
  ])
  if (wrong.length > 0) throw new InvalidArgumentError(wrong)
  return atParameters(() => check(schema, gather(shapeOf(schema), raw), ['query']))
}

/** A label is gathered under `labels`, and to the caller it is a parameter like any other; of fields he knows nothing. */
function atParameters<T>(checked: () => T): T {
  try {
    return checked()
  } catch (thrown) {
    if (!(thrown instanceof InvalidArgumentError)) throw thrown
    throw new InvalidArgumentError(
      thrown.errors.map((each) => ({
        ...each,
        pointer: each.pointer.replace('/query/labels/', '/query/'),
        detail: ofParameters(each.detail),
      })),
    )
  }
}

function ofParameters(detail: string): string {
  if (!detail.startsWith(UNKNOWN_FIELD)) return detail
  const known = detail.slice(UNKNOWN_FIELD.length).replace('the fields are', 'the parameters are')
  return `Is no parameter here;${known.replace(/\blabels\b/, `${LABEL_PREFIX}<key>`)}`
}

function shapeOf(schema: z.ZodType): Record<string, z.ZodType> {
  // Every query schema of ours is an object, and its shape is made of schemas.
  return 'shape' in schema ? (schema.shape as Record<string, z.ZodType>) : {}
}

function gather(shape: Record<string, z.ZodType>, raw: Record<string, unknown>): Record<string, unknown> {
  // Without prototypes: a parameter may be called __proto__, and is told that there is none of that name.
  const query: Record<string, unknown> = Object.create(null)
  const labels: Record<string, unknown> = Object.create(null)
  for (const [name, value] of Object.entries(raw)) {
    const field = Object.hasOwn(shape, name) ? shape[name] : undefined
    if (shape.labels && name.startsWith(LABEL_PREFIX)) labels[name] = value
    else query[name] = field?.safeParse(value).success ? value : numeric(value)
  }
  if (shape.labels) query.labels = labels
  return query
}

function numeric(value: unknown): unknown {
  return typeof value === 'string' && /^-?\d{1,15}$/.test(value) ? Number(value) : value
}
