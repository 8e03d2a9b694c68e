import type { FastifyDynamicSwaggerOptions } from '@fastify/swagger'
import { createJsonSchemaTransform, createJsonSchemaTransformObject } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { $ZodRegistry } from 'zod/v4/core'
import { COMPONENT_EXAMPLES, NEW_KEY_EXAMPLE, POLICY_EXAMPLES } from '../schema/examples.ts'
import type { JobSchema } from '../schema/jobs.ts'
import { MAX_BODY_DEPTH, MAX_BODY_NAMES, MAX_BODY_VALUES } from '../schema/limits.ts'
import { PROBLEMS } from './problem.ts'

type Meta = { id?: string | undefined; [key: string]: unknown }
// biome-ignore lint/suspicious/noExplicitAny: a document is any JSON.
type Document = Record<string, any>

const DESCRIPTION = [
  `asyncio's \`gather\`, \`as_completed\` and \`TaskGroup\` as an HTTP service: post a batch of jobs, read or`,
  `stream each end as it happens, stop what no longer matters. Every error is a problem document (RFC 9457) with a \`code\` that`,
  `never changes. Send a key as \`Authorization: Bearer gth_…\`. Each answer to a tenant says in \`RateLimit-Policy\` and \`RateLimit\``,
  `what its limits are and what is left of them. A request body of more than 256 KiB has at most ${MAX_BODY_VALUES} JSON values,`,
  `${MAX_BODY_NAMES} different names of members and ${MAX_BODY_DEPTH} levels (\`body_too_large\`).`,
].join(' ')

/** Looks a schema up here, then where zod keeps what `.meta()` said. */
class LayeredMap extends WeakMap<z.core.$ZodType, Meta> {
  override get(schema: z.core.$ZodType): Meta | undefined {
    return super.get(schema) ?? z.globalRegistry._map.get(schema)
  }
  override has(schema: z.core.$ZodType): boolean {
    return super.has(schema) || z.globalRegistry._map.has(schema)
  }
}

/**
 * The names of the components of one service's document: those of the contract, and a job schema for each of its kinds.
 * A registry of its own, so that two services in one process may have different kinds.
 */
export function componentsOf(jobs: JobSchema, more: Record<string, z.ZodType>): $ZodRegistry<Meta> {
  const registry = new $ZodRegistry<Meta>()
  // The type provider reads these two fields likewise; zod has no other way to layer registries.
  registry._map = new LayeredMap()
  registry._idmap = new Map(z.globalRegistry._idmap)
  for (const { id, description, schema } of jobs.components) registry.add(schema, { id, description })
  for (const [id, schema] of Object.entries(more)) registry.add(schema, { ...z.globalRegistry.get(schema), id })
  return registry
}

/** The options of `@fastify/swagger`: OpenAPI 3.1 out of the routes' zod schemas. */
export function openApiOptions(registry: $ZodRegistry<Meta>, version: string): FastifyDynamicSwaggerOptions {
  // @fastify/swagger has every body required.
  const bodyless = new Set<string>()
  const transform = createJsonSchemaTransform({ schemaRegistry: registry })
  const transformObject = createJsonSchemaTransformObject({ schemaRegistry: registry })
  return {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'gatherd', version, description: DESCRIPTION, license: { name: 'MIT', identifier: 'MIT' } },
      servers: [{ url: '/' }],
      tags: [
        { name: 'batches', description: 'Submit work, look at it, stop it.' },
        { name: 'jobs', description: 'One job of a batch.' },
        { name: 'events', description: 'What happens, as it happens.' },
        { name: 'tenant', description: "The caller's own limits and use." },
        { name: 'admin', description: 'Tenants and their keys, for the operator.' },
        { name: 'operations', description: 'Whether the service lives and takes work.' },
      ],
      components: {
        securitySchemes: {
          key: { type: 'http', scheme: 'bearer', description: 'An API key, `gth_…`; the admin key on admin routes.' },
        },
      },
    },
    transform: (route) => {
      const { body, operationId } = (route.schema ?? {}) as { body?: z.ZodType; operationId?: string }
      if (body?.safeParse(undefined).success && operationId) bodyless.add(operationId)
      return transform(route)
    },
    transformObject: (document) =>
      finish(transformObject(document) as Document, bodyless) as ReturnType<typeof transformObject>,
  }
}

/** Drop the components nobody refers to, give inputs their plain names, and add what zod cannot say. */
function finish(document: Document, bodyless: ReadonlySet<string>): Document {
  for (const path of ['/v1/batches', '/v1/batches/validate']) {
    const submit = document.paths?.[path]?.post?.requestBody?.content?.['application/json']
    if (submit) submit.examples = POLICY_EXAMPLES
  }
  const newKey = document.paths?.['/v1/admin/tenants/{tenantId}/keys']?.post?.requestBody?.content?.['application/json']
  if (newKey) newKey.example = NEW_KEY_EXAMPLE
  for (const path of Object.values<Document>(document.paths ?? {}))
    for (const operation of Object.values<Document>(path)) {
      nameHeaders(operation)
      showProblems(operation)
      if (bodyless.has(operation.operationId)) operation.requestBody.required = false
    }
  return withExamples(plainNames(onlyReferred(document)))
}

function withExamples(document: Document): Document {
  for (const [id, schema] of Object.entries<Document>(document.components.schemas))
    if (id in COMPONENT_EXAMPLES) schema.examples = [COMPONENT_EXAMPLES[id]]
  return document
}

/** The headers of answers: by status, and for some operations by its id and status. */
const HEADERS: Readonly<Record<string, Record<string, string>>> = {
  401: { 'WWW-Authenticate': '`Bearer`.' },
  429: { 'Retry-After': 'Seconds.' },
  503: { 'Retry-After': 'Seconds.' },
  'createBatch 200': { Location: 'Where to read the batch.', 'Preference-Applied': 'What of `Prefer` was honoured.' },
  'createBatch 202': { Location: 'Where to read the batch.', 'Preference-Applied': 'What of `Prefer` was honoured.' },
  'readBatch 200': { ETag: 'Send it as `If-None-Match`.', 'Preference-Applied': 'What of `Prefer` was honoured.' },
  'listBatches 200': { Link: '`rel="next"`: the next page.' },
  'listJobs 200': { Link: '`rel="next"`: the next page.' },
}

/** In every answer to a tenant; shown where they are looked for: in what was granted, and what was too much. */
const LIMITS: Readonly<Record<string, string>> = {
  'RateLimit-Policy':
    'What the limits of the tenant are: `concurrency`, `queue` and, if there is such a limit, `requests` (draft-ietf-httpapi-ratelimit-headers-11).',
  RateLimit: 'What is left of each of the limits.',
}

function headersOf(described: Readonly<Record<string, string>>): Document {
  const headers = Object.entries(described).map(([name, description]) => [
    name,
    { description, schema: { type: 'string' } },
  ])
  return Object.fromEntries(headers)
}

function nameHeaders({ operationId, security, tags = [], responses = {} }: Document): void {
  const isTenants = security !== undefined && !tags.includes('admin')
  const limits = Object.fromEntries(Object.keys(LIMITS).map((name) => [name, { $ref: `#/components/headers/${name}` }]))
  for (const [status, response] of Object.entries<Document>(responses)) {
    const own = headersOf({ ...HEADERS[status], ...HEADERS[`${operationId} ${status}`] })
    const headers = { ...own, ...(isTenants && (status < '400' || status === '429') && limits) }
    if (Object.keys(headers).length > 0) response.headers = headers
  }
}

const INSTANCE = '0198c1f0-5a3e-7c41-9d2b-3f6a8e0b1c2d'
const IN_BODY = 'invalid_argument_in_body'

/** An example of each problem, to be referred to. */
function problemExamples(): Document {
  const examples: Document = {}
  for (const [code, [status, title]] of Object.entries(PROBLEMS))
    examples[code] = { summary: title, value: { type: `/problems/${code}`, title, status, instance: INSTANCE, code } }
  const { summary, value } = examples.invalid_argument
  const wrong = (pointer: string) => ({
    summary,
    value: { ...value, errors: [{ pointer, detail: 'Is not a field here.' }] },
  })
  return { ...examples, invalid_argument: wrong('/query/unknown'), [IN_BODY]: wrong('/unknown') }
}

/** Each problem of an answer, by its code: the description of the answer names them. */
function showProblems({ requestBody, responses = {} }: Document): void {
  for (const [status, { description = '', content = {} }] of Object.entries<Document>(responses)) {
    const media = content['application/problem+json']
    if (!media) continue
    media.examples = {}
    for (const [code, [itsStatus]] of Object.entries(PROBLEMS)) {
      if (String(itsStatus) !== status || !description.includes(`(\`${code}\`)`)) continue
      const example = requestBody && code === 'invalid_argument' ? IN_BODY : code
      media.examples[code] = { $ref: `#/components/examples/${example}` }
    }
  }
}

function onlyReferred(document: Document): Document {
  const all: Record<string, unknown> = document.components.schemas
  const wanted = new Set<string>()
  const follow = (value: unknown) => {
    for (const [, id = ''] of JSON.stringify(value).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (wanted.has(id)) continue
      wanted.add(id)
      follow(all[id])
    }
  }
  follow(document.paths ?? {})
  const schemas = Object.fromEntries(
    Object.entries(all)
      .filter(([id]) => wanted.has(id))
      .sort(byId),
  )
  return {
    ...document,
    components: { ...document.components, schemas, examples: problemExamples(), headers: headersOf(LIMITS) },
  }
}

function byId([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : 1
}

/** `JobDefaultsInput` is `JobDefaults` when no answer has it. */
function plainNames(document: Document): Document {
  const ids = Object.keys(document.components.schemas)
  const inputs = ids.filter((id) => id.endsWith('Input') && !ids.includes(id.slice(0, -'Input'.length)))
  let text = JSON.stringify(document)
  for (const id of inputs) {
    const plain = id.slice(0, -'Input'.length)
    text = text
      .replaceAll(`"#/components/schemas/${id}"`, `"#/components/schemas/${plain}"`)
      .replace(`"${id}":`, `"${plain}":`)
  }
  return JSON.parse(text, withoutSafeBounds)
}

/** zod says of every whole number that it is a safe one, which is no limit of ours. */
function withoutSafeBounds(key: string, value: unknown): unknown {
  const isSafeBound =
    (key === 'maximum' && value === Number.MAX_SAFE_INTEGER) || (key === 'minimum' && value === Number.MIN_SAFE_INTEGER)
  return isSafeBound ? undefined : value
}
