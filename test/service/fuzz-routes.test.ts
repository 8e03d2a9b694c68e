import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fromSchema, odd, type Schema } from '../support/from-schema.ts'
import { ADMIN_KEY, forever, sleepFor, startService, type TestService } from '../support/service.ts'

const TIMEOUT_MS = 60_000

/** `GATHERD_FUZZ=100` looks a hundred times as hard. */
const RUNS = 40 * Number(process.env.GATHERD_FUZZ ?? 1)

interface Operation {
  method: string
  path: string
  parameters?: { in: 'path' | 'query' | 'header'; name: string; schema: Schema }[]
  requestBody?: { content: Record<string, { schema: Schema }> }
  responses: Record<string, { content?: Record<string, unknown> }>
}

/** One request, ready to be sent. */
interface Try {
  path: string
  query: [string, unknown][]
  headers: Record<string, string>
  body: unknown
}

/** The service's own document. */
async function documentOf(service: TestService) {
  const { body } = await service.anonymous.get('/openapi.json').expect(200)
  const operations = Object.entries<Record<string, Omit<Operation, 'method' | 'path'>>>(body.paths).flatMap(
    ([path, item]) => Object.entries(item).map(([method, operation]): Operation => ({ ...operation, method, path })),
  )
  // What ends things comes last, or the others would find nothing that lives.
  operations.sort((a, b) => endOf(a) - endOf(b))
  return { operations, schemas: body.components.schemas as Record<string, Schema> }
}

/** 0: ends nothing, 1: a batch or a key, 2: a tenant. */
function endOf({ method, path }: Operation): number {
  if (method === 'delete') return path.endsWith('{tenantId}') ? 2 : 1
  return /\/(cancel|stop|close)$/.test(path) ? 1 : 0
}

/** Things that are there, for ids to be guessed right now and then. */
async function populate(service: TestService): Promise<Record<string, string[]>> {
  const me = service.as('fuzzed')
  const live = await me.submit({ labels: { a: 'b' }, open: true, jobs: [forever(), sleepFor(0)] })
  const ended = await me.run({ jobs: [sleepFor(0), service.fetch('/fail')] })
  await service.admin.put('/v1/admin/tenants/victim').send({}).expect(201)
  const key = await service.admin.post('/v1/admin/tenants/victim/keys').send({}).expect(201)
  return {
    batchId: [live.id, ended.batch.id],
    jobId: [`${live.id}-0`, `${live.id}-1`, `${ended.batch.id}-1`],
    tenantId: ['victim', 'nobody'],
    keyId: [key.body.id],
  }
}

/** Names of what makes tests slow or leaves this machine. */
const OWN = {
  url: fc.oneof(fc.constantFrom('http://127.0.0.1:1/', 'http://', '//x', 'http://[::1', 'http://a b/', ''), odd),
  durationMs: fc.oneof(fc.constantFrom(0, 1), odd),
}

/** Two of three requests are without, so that enough of them come past the checks. */
function mostlyNone<T>(some: fc.Arbitrary<T[]>): fc.Arbitrary<T[]> {
  return fc.oneof({ weight: 2, arbitrary: fc.constant<T[]>([]) }, { weight: 1, arbitrary: some })
}

/** Bodies that one route or another takes. */
const PLAIN = fc.constantFrom({}, { jobs: [] }, { jobs: [sleepFor(0)] })

function encode(value: unknown): string {
  return encodeURIComponent(String(value ?? '').toWellFormed())
}

function tries(
  { path, parameters = [], requestBody }: Operation,
  schemas: Record<string, Schema>,
  ids: Record<string, string[]>,
) {
  const context = { schemas, own: OWN }
  const anId = (name: string) =>
    fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom(...(ids[name] ?? ['x'])) },
      {
        weight: 1,
        arbitrary: fc.string({ unit: 'binary', minLength: 1, maxLength: 30 }).filter((text) => !/^\.{1,2}$/.test(text)),
      },
    )
  const inPath = parameters.filter((each) => each.in === 'path')
  const body = Object.values(requestBody?.content ?? {})[0]?.schema
  return fc.record({
    path: fc
      .record(Object.fromEntries(inPath.map(({ name }) => [name, anId(name)])))
      .map((values: Record<string, string>) => path.replaceAll(/\{(\w+)\}/g, (_, name) => encode(values[name]))),
    query: mostlyNone(
      fc.array(
        fc.oneof(
          ...parameters
            .filter((each) => each.in === 'query')
            .map(({ name, schema }) => fc.tuple(fc.constantFrom(name, name, `${name}.a`), fromSchema(schema, context))),
          fc.tuple(fc.constantFrom('label.a', 'unknown', '__proto__', 'limit'), odd),
        ),
        { maxLength: 3 },
      ),
    ),
    headers: mostlyNone(
      fc.array(
        fc.tuple(
          fc.constantFrom(
            'accept',
            'range',
            'content-encoding',
            ...parameters.filter((each) => each.in === 'header').map(({ name }) => name),
          ),
          fc.oneof(
            fc.constantFrom('wait=0', '*', '*/*', '1', 'application/json', 'application/x-ndjson'),
            fc.string({ maxLength: 20 }),
          ),
        ),
        { maxLength: 2 },
      ),
    ).map((pairs) => Object.fromEntries(pairs.map(([name, value]) => [name, value.replaceAll(/[^\x20-\x7e]/g, '')]))),
    body: body === undefined ? fc.constant(undefined) : fc.oneof(fromSchema(body, context), PLAIN),
  })
}

async function send(service: TestService, method: string, key: string, { path, query, headers, body }: Try) {
  return await sendText(service, method, key, {
    path,
    query,
    headers,
    text: body === undefined ? undefined : JSON.stringify(body),
  })
}

/** A request whose body is any text, JSON or not. */
type TextTry = Omit<Try, 'body'> & { text: string | undefined }

async function sendText(
  service: TestService,
  method: string,
  key: string,
  { path, query, headers, text: body }: TextTry,
) {
  const text = query.map(
    ([name, value]) => `${encode(name)}=${encode(typeof value === 'object' ? JSON.stringify(value) : value)}`,
  )
  const response = await fetch(`${service.url}${path}?${text.join('&')}`, {
    method: method.toUpperCase(),
    headers: {
      ...headers,
      authorization: `Bearer ${key}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { body }),
  })
  const type = response.headers.get('content-type')?.split(';', 1)[0] ?? null
  if (type === 'text/event-stream' || type === 'application/x-ndjson') await response.body?.cancel()
  const isJson = type?.endsWith('json') && type !== 'application/x-ndjson'
  // Every JSON answer of the API is an object.
  const json = isJson ? ((await response.json()) as Record<string, unknown>) : null
  return { status: response.status, type, json }
}

const nested = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`
const inObjects = (depth: number) => `${'{"a":'.repeat(depth)}0${'}'.repeat(depth)}`

/** Bodies that nobody writes who means well: nested from just too deep to deeper than any stack, at all places; and no JSON at all. */
const HOSTILE_TEXTS: readonly string[] = [
  ...[33, 36, 129, 1_000, 5_000, 20_000, 120_000, 200_000].flatMap((depth) => [
    nested(depth),
    inObjects(depth),
    `{"jobs":[{"kind":"sleep","durationMs":0,"result":${nested(depth)}}]}`,
    `{"x":${nested(depth)},"jobs":[{"kind":"sleep","durationMs":0}]}`,
    `{"reason":${inObjects(depth)}}`,
  ]),
  ...[
    '[',
    '{',
    '"',
    '{"jobs":',
    '{"jobs":[}',
    '{"jobs":[],}',
    'nul',
    '01',
    '1e999',
    '\0',
    '\ufeff',
    '\ufeff{}',
    '"\\ud800"',
  ],
  ...[
    '[{"__proto__":1}]',
    '{"constructor":{"prototype":1}}',
    '{"jobs":[]}{}',
    ' ',
    '[1e400]',
    '"a\nb"',
    '{"a":1,"a":2}',
  ],
]

describe('every route of the document', () => {
  it(
    'refuses bodies that are nested too deep or are no JSON, with an Idempotency-Key and without',
    async () => {
      await using service = await startService({ tenants: { fuzzed: {} } })
      const { operations } = await documentOf(service)
      const ids = await populate(service)
      const taking = operations.filter(({ method }) => ['post', 'put', 'patch'].includes(method))
      const answered = new Map<string, number>()

      for (const { method, path, responses } of taking) {
        const isOperators = path.startsWith('/v1/admin')
        const at = path.replaceAll(/\{(\w+)\}/g, (_, name) => encode(ids[name]?.[0]))
        for (const [nth, text] of HOSTILE_TEXTS.entries()) {
          for (const headers of [{}, { 'idempotency-key': `k${nth}` }] as Record<string, string>[]) {
            const key = isOperators ? ADMIN_KEY : service.as('fuzzed').key
            const { status, json } = await sendText(service, method, key, { path: at, query: [], headers, text })
            answered.set(`${method} ${path}`, (answered.get(`${method} ${path}`) ?? 0) + 1)
            const what = `${method} ${path} of ${text.slice(0, 60)}`
            expect(status, what).toBeLessThan(500)
            expect(Object.keys(responses), what).toContain(String(status))
            if (status >= 400) expect(json, what).toMatchObject({ status, code: expect.any(String) })
          }
        }
      }

      expect([...answered.values()]).toEqual(taking.map(() => 2 * HOSTILE_TEXTS.length))
      expect(taking.length).toBeGreaterThan(8)
      expect(service.inside.engine.healthy).toBe(true)
    },
    TIMEOUT_MS,
  )

  it(
    'answers whatever is sent with a status and a type that the document has for it, and never with a 5xx',
    async () => {
      await using service = await startService({ maxWaitMs: 30, tenants: { fuzzed: {} } })
      const me = service.as('fuzzed')
      const { operations, schemas } = await documentOf(service)
      const ids = await populate(service)
      me.tracksAll = false
      const seen = new Map<string, Set<number>>()

      for (const operation of operations) {
        const { method, path, responses } = operation
        const key = path.startsWith('/v1/admin') || path === '/metrics' ? ADMIN_KEY : me.key
        const statuses = new Set<number>()
        seen.set(`${method} ${path}`, statuses)
        await fc.assert(
          fc.asyncProperty(tries(operation, schemas, ids), async (request) => {
            const { status, type, json } = await send(service, method, key, request)
            statuses.add(status)
            const documented = responses[status]

            expect(status).toBeLessThan(500)
            expect(documented, `${method} ${path} answers ${status}`).toBeDefined()
            if (type !== null || documented?.content !== undefined)
              expect(Object.keys(documented?.content ?? {})).toContain(type)
            if (status >= 400) expect(json).toMatchObject({ status, code: expect.any(String) })
            if (path === '/v1/batches' && typeof json?.id === 'string') me.track(json.id)
          }),
          { numRuns: RUNS },
        )
        // A tenant that was deleted on the way is there again for the next route.
        await service.admin.put('/v1/admin/tenants/victim').send({})
      }

      expect(seen.size).toBe(operations.length)
      // It reached what is behind the checks of nearly every route as well, not only the checks: which ones is chance.
      const reached = [...seen.values()].filter((statuses) => Math.min(...statuses) < 400)
      expect(reached.length).toBeGreaterThan(operations.length * 0.75)
      expect(service.inside.engine.healthy).toBe(true)
    },
    TIMEOUT_MS,
  )
})
