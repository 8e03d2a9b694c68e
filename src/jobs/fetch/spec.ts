import { z } from 'zod'
import { MAX_JSON_DEPTH } from '../../contract.ts'
import { checkUrl, MAX_URL_LENGTH } from '../../egress/url.ts'
import { fitsDepth } from '../../json/depth.ts'
import { isObject } from '../../json/object.ts'
import { HEADER_NAME, HEADER_VALUE, headerProblems, MAX_REQUEST_HEADER_BYTES } from './header-rules.ts'
import type { FetchLimits } from './limits.ts'

/** The methods that can be fetched with. */
export const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const

/** What can be kept of a response. */
export const RESPONSES = ['full', 'json', 'head', 'none'] as const

/** Redirects that are followed unless the job says. */
export const DEFAULT_REDIRECTS = 5

/** What is a success unless the job says; one for all of them, so nobody may change it. */
export const DEFAULT_OK_STATUS = Object.freeze(['2xx', '3xx']) as (string | number)[]

const MAX_REDIRECTS = 10
const MAX_OK_STATUS = 64
const MAX_HEADER_NAME_LENGTH = 256

/**
 * zod skips an object's own checks when a field of it is wrong. Ours run all the same, so that every wrong field is named at once; they
 * must therefore expect any value.
 */
const ALWAYS = { when: () => true }

/**
 * For a field's second rule: each field is named once. Not zod's `abort`, which would skip {@link ALWAYS}.
 */
const IF_RIGHT_SO_FAR = { when: ({ issues }: z.core.ParsePayload) => issues.length === 0 }

const Url = z
  .string()
  .check(({ value, issues }) => {
    const url = checkUrl(value)
    if (typeof url === 'string') issues.push({ code: 'custom', input: value, message: url, continue: true })
  })
  .meta({
    description: `What to fetch: an absolute http or https URL of at most ${MAX_URL_LENGTH} characters, without user name and password.`,
    examples: ['https://api.example.com/users?page=1'],
    format: 'uri',
    maxLength: MAX_URL_LENGTH,
  })

const Headers = z
  .record(
    z
      .string()
      .max(MAX_HEADER_NAME_LENGTH)
      .refine((name) => HEADER_NAME.test(name), {
        error: "A header is named with A-Z, a-z, 0-9 and !#$%&'*+-.^_`|~.",
        ...IF_RIGHT_SO_FAR,
      })
      .meta({ pattern: HEADER_NAME.source }),
    z
      .string()
      .max(MAX_REQUEST_HEADER_BYTES)
      .refine((value) => HEADER_VALUE.test(value), {
        error: 'Must be visible ASCII characters, blanks and tabs only inside.',
        ...IF_RIGHT_SO_FAR,
      })
      .meta({ pattern: HEADER_VALUE.source }),
  )
  .superRefine((headers, context) => {
    if (!isObject(headers)) return
    for (const [name, message] of headerProblems(headers)) refuse(context, name === undefined ? [] : [name], message)
  }, ALWAYS)
  .optional()
  .meta({
    description:
      'Request headers, at most 64 and 16 KiB. What frames the message or speaks for a proxy or a cloud is refused: `host`, `content-length`, `x-forwarded-*`, …',
    examples: [{ accept: 'application/json' }],
  })

const OkStatus = z
  .array(
    z.union([
      z.string().regex(/^[1-5]xx$/, 'A class of statuses is 1xx, 2xx, 3xx, 4xx or 5xx.'),
      z.int().min(100).max(599),
    ]),
  )
  .superRefine((list, context) => {
    // Not .min() and .max(): a list that zod finds too long hides what is wrong beside it.
    if (Array.isArray(list) && (list.length < 1 || list.length > MAX_OK_STATUS)) {
      context.addIssue({ code: 'custom', message: `Between 1 and ${MAX_OK_STATUS} statuses are needed.` })
    }
  }, ALWAYS)
  .default(DEFAULT_OK_STATUS)
  .meta({
    description:
      'Statuses that are a success: classes or numbers. Any other ends the job `failed` with `http_status`; its response is kept.',
    examples: [['2xx', 404]],
    minItems: 1,
    maxItems: MAX_OK_STATUS,
  })

const Json = z
  .unknown()
  .refine((value) => fitsDepth(value, MAX_JSON_DEPTH), `JSON is nested at most ${MAX_JSON_DEPTH} deep.`)
  .optional()
  .meta({
    description: `Request body: any JSON, nested at most ${MAX_JSON_DEPTH} deep, sent as application/json unless the headers say otherwise.`,
    examples: [{ n: 1 }],
  })

/** The fields of a fetch, with the caps that are in force as their limits. */
export function fetchSpec(limits: FetchLimits) {
  const { maxRequestBytes, maxResponseBytes } = limits
  const maxBase64Length = 4 * Math.ceil(maxRequestBytes / 3)
  return z
    .strictObject({
      url: Url,
      method: z
        .enum(METHODS)
        .default('GET')
        .meta({ description: 'Request method.', examples: ['GET'] }),
      headers: Headers,
      body: z
        .string()
        .max(maxRequestBytes)
        .optional()
        .meta({
          description:
            'Request body: text, sent as text/plain;charset=utf-8 unless the headers say otherwise. GET and HEAD have none.',
          examples: ['hello'],
        }),
      json: Json,
      bodyBase64: z
        .base64({ error: ({ code }) => (code === 'invalid_format' ? 'Must be base64 (RFC 4648, 4).' : undefined) })
        .refine((text) => text.length <= maxBase64Length, {
          error: `Must be at most ${maxBase64Length} characters long.`,
          ...IF_RIGHT_SO_FAR,
        })
        .optional()
        .meta({
          description: 'Request body: bytes in base64 (RFC 4648, 4).',
          examples: ['aGVsbG8='],
          maxLength: maxBase64Length,
        }),
      redirects: z
        .int()
        .min(0)
        .max(MAX_REDIRECTS)
        .default(DEFAULT_REDIRECTS)
        .meta({ description: 'Redirects to follow; 0: a redirect is the result itself.', examples: [5] }),
      okStatus: OkStatus,
      maxResponseBytes: z
        .int()
        .min(0)
        .max(maxResponseBytes)
        .default(maxResponseBytes)
        .meta({
          description:
            'Bytes of the decoded response body; a larger one ends the job `failed` with `response_too_large`.',
          examples: [1_048_576],
        }),
      response: z
        .enum(RESPONSES)
        .default('full')
        .meta({
          description:
            'What is kept: `full` the body as text, or as base64 when it is not UTF-8; `json` the JSON of the body, as received but for white space; `head` no body; `none` no headers either.',
          examples: ['json'],
        }),
    })
    .superRefine((spec, context) => bodyProblems(spec, limits, context), ALWAYS)
}

/** A validated fetch, its defaults filled in. */
export type FetchFields = z.output<ReturnType<typeof fetchSpec>>

const BODIES = ['body', 'json', 'bodyBase64'] as const

/** The rules between fields: one body at most, none with GET and HEAD, and its size on the wire. */
function bodyProblems(spec: unknown, { maxRequestBytes }: FetchLimits, context: z.RefinementCtx): void {
  if (!isObject(spec)) return
  const given = BODIES.filter((field) => spec[field] !== undefined)
  given.forEach((field, nth) => {
    if (spec.method === 'GET' || spec.method === 'HEAD')
      refuse(context, [field], `A ${spec.method} request has no body.`)
    else if (nth > 0) refuse(context, [field], 'Only one of body, json and bodyBase64 may be given.')
    if (bytesOf(field, spec[field]) > maxRequestBytes)
      refuse(context, [field], `A request body has at most ${maxRequestBytes} bytes.`)
  })
}

/** Name a field as wrong, unless it has been named: one mistake at a time is enough for one field. */
function refuse(context: z.RefinementCtx, path: string[], message: string): void {
  const isNamed = context.issues.some((issue) => issue.path?.length === path.length && issue.path[0] === path[0])
  if (!isNamed) context.addIssue({ code: 'custom', message, path })
}

/** Bytes that a body of the right type has on the wire; 0 for what its own field refuses. */
function bytesOf(field: (typeof BODIES)[number], value: unknown): number {
  if (field === 'json') return fitsDepth(value, MAX_JSON_DEPTH) ? Buffer.byteLength(JSON.stringify(value)) : 0
  return typeof value === 'string' ? Buffer.byteLength(value, field === 'body' ? 'utf8' : 'base64') : 0
}
