import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Caller, forever, sleepFor, startService } from '../support/service.ts'

const TIMEOUT_MS = 30_000

/** Values that numbers, texts and flags are confused with. */
const odd = fc.oneof(
  fc.constantFrom(null, true, -1, 0, 1, 1.5, 2 ** 31, 2 ** 53, 1e308, '', '0', 'NaN', [], {}, ['a'], { a: 1 }),
  fc.jsonValue({ maxDepth: 3 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
)
const kindOfJob = fc.constantFrom('sleep', 'fetch', 'Sleep', '', 'constructor', '__proto__')
const job = fc.oneof(
  odd,
  fc.record(
    {
      kind: fc.oneof(kindOfJob, odd),
      durationMs: fc.oneof(fc.constant(0), odd),
      url: fc.oneof(fc.constantFrom('http://127.0.0.1:1/', 'http://', '//x', 'http://[::1', 'http://a b/'), odd),
      method: fc.oneof(fc.constantFrom('GET', 'POST', 'TRACE'), odd),
      headers: fc.oneof(fc.dictionary(fc.string(), fc.string()), odd),
      okStatus: odd,
      json: odd,
      body: odd,
      timeoutMs: odd,
      deadlineMs: odd,
      name: odd,
      context: fc.oneof(fc.dictionary(fc.string(), fc.string()), odd),
      result: odd,
      priority: odd,
    },
    { requiredKeys: [] },
  ),
)
const submission = fc.oneof(
  fc.record(
    {
      policy: fc.oneof(fc.constantFrom('all_settled', 'gather', 'any', 'race', 'quorum', 'hedge', 'task_group'), odd),
      jobs: fc.oneof(fc.array(job, { maxLength: 5 }), odd),
      labels: fc.oneof(fc.dictionary(fc.string(), fc.string()), odd),
      context: odd,
      defaults: odd,
      timeoutMs: odd,
      n: odd,
      hedgeDelayMs: odd,
      maxConcurrency: odd,
      open: odd,
      name: odd,
    },
    { requiredKeys: [] },
  ),
  odd,
)

/** What any answer must be, whatever was asked. */
function checkAnswer(response: {
  status: number
  headers: Record<string, string>
  body: { status?: number; code?: string }
}) {
  expect(response.status).toBeLessThan(500)
  if (response.status < 400) return
  expect(response.headers['content-type']).toBe('application/problem+json; charset=utf-8')
  expect(response.body).toMatchObject({ status: response.status, code: expect.any(String) })
}

/** End whatever was accepted, and have it checked. */
async function adopt(me: Caller): Promise<void> {
  for (let cursor: string | null = ''; cursor !== null; ) {
    const { body }: { body: { data: { id: string }[]; nextCursor: string | null } } = await me.http
      .get('/v1/batches')
      .query({ limit: 1_000, ...(cursor && { cursor }) })
    for (const { id } of body.data) if (!me.submitted.some((known) => known.id === id)) me.track(id)
    cursor = body.nextCursor
  }
}

describe('whatever is sent', () => {
  it(
    'as the body of a submission is accepted or refused with a problem, and never a 5xx',
    async () => {
      await using service = await startService()
      const { me } = service

      await fc.assert(
        fc.asyncProperty(submission, async (body) => {
          const before = (await me.http.get('/v1/tenant')).body.usage.queued
          const response = await me.http
            .post('/v1/batches')
            .type('json')
            .serialize(JSON.stringify)
            .send(body as object)
          checkAnswer(response)
          if (response.status !== 202) {
            expect([400, 413, 422]).toContain(response.status)
            expect((await me.http.get('/v1/tenant')).body.usage.queued).toBeLessThanOrEqual(before)
          } else {
            const accepted = body as { jobs: Record<string, unknown>[] }
            me.track(response.body.id, accepted.jobs)
          }
        }),
        { numRuns: 150 },
      )

      await adopt(me)
    },
    TIMEOUT_MS,
  )

  it(
    'as a mangled text is accepted or refused with a problem',
    async () => {
      await using service = await startService()
      const { me } = service
      const text = JSON.stringify({ policy: 'gather', jobs: [sleepFor(0, { result: { a: [1, 'é'] } })] })

      await fc.assert(
        fc.asyncProperty(fc.nat(text.length), fc.nat(8), fc.uint8Array({ maxLength: 4 }), async (at, drop, insert) => {
          const bytes = Buffer.concat([
            Buffer.from(text).subarray(0, at),
            insert,
            Buffer.from(text).subarray(at + drop),
          ])
          const request = me.http.post('/v1/batches').type('json')
          checkAnswer(await request.serialize((data) => data).send(bytes))
        }),
        { numRuns: 100 },
      )

      await adopt(me)
    },
    TIMEOUT_MS,
  )

  it(
    'as a query or a header of any route that reads is answered or refused with a problem',
    async () => {
      await using service = await startService()
      const { me } = service
      const { id } = await me.submit({ labels: { a: 'b' }, jobs: [forever(), sleepFor(0)] })
      const paths = [
        '/v1/batches',
        `/v1/batches/${id}`,
        `/v1/batches/${id}/jobs`,
        `/v1/batches/${id}/wait`,
        `/v1/batches/${id}/events`,
        `/v1/jobs/${id}-0`,
        '/v1/tenant',
      ]
      const name = fc.oneof(
        fc.constantFrom('limit', 'cursor', 'state', 'order', 'label.a', 'label.', 'labels', 'returnWhen', 'include'),
        fc.constantFrom('after', 'only', '__proto__', 'constructor', 'toString'),
        fc.string({ maxLength: 10 }),
      )
      const value = fc.oneof(
        fc.constantFrom(
          '',
          '0',
          '-1',
          '1e3',
          '9007199254740993',
          'NaN',
          'null',
          'succeeded',
          'completion',
          '1.x',
          'a.b',
        ),
        fc.string({ unit: 'binary', maxLength: 20 }),
      )

      await fc.assert(
        fc.asyncProperty(
          fc.constantFrom(...paths),
          fc.array(fc.tuple(name, value), { maxLength: 4 }),
          fc.oneof(fc.string({ maxLength: 20 }), fc.constantFrom('wait=0', 'W/"x"', '*', 'text/html', '1')),
          fc.constantFrom('prefer', 'if-none-match', 'accept', 'last-event-id', 'range', 'accept-encoding'),
          async (path, pairs, text, header) => {
            const query = [...pairs.map(([key, each]) => `${encode(key)}=${encode(each)}`), 'timeoutMs=0'].join('&')
            const answerable =
              path.endsWith('wait') || path.endsWith('events') ? query : query.replace(/&?timeoutMs=0$/, '')
            const visible = text.replaceAll(/[^\x20-\x7e]/g, '')
            checkAnswer(
              await me.http
                .get(`${path}?${answerable}`)
                .set(header, visible)
                .ok(() => true),
            )
          },
        ),
        { numRuns: 200 },
      )

      expect((await me.batch(id)).counts).toMatchObject({ running: 1, succeeded: 1 })
    },
    TIMEOUT_MS,
  )

  it(
    'as an id is not found, or is a path that nobody knows',
    async () => {
      await using service = await startService()

      await fc.assert(
        fc.asyncProperty(
          fc.oneof(
            fc.string({ unit: 'binary', maxLength: 60 }),
            fc.constantFrom('..', '%00', '%', '%ff', 'a/b', '?', '#'),
          ),
          fc.constantFrom('/v1/batches/', '/v1/jobs/'),
          async (text, base) => {
            fc.pre(text !== '')
            const id = text.startsWith('%') ? text : encode(text)
            const response = await service.me.http.get(`${base}${id}`).ok(() => true)
            checkAnswer(response)
            expect([200, 404, 422]).toContain(response.status)
          },
        ),
        { numRuns: 60 },
      )
    },
    TIMEOUT_MS,
  )
})

/** Percent-encoding that also takes ill-formed text. */
function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed())
}
