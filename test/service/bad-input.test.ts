import { describe, expect, it } from 'vitest'
import { sleepFor, startService, type TestService } from '../support/service.ts'

const range = (length: number) => Array.from({ length }, (_, i) => i)
const CODE_OF: Readonly<Record<string, number>> = {
  malformed_json: 400,
  invalid_argument: 422,
  batch_too_large: 413,
  body_too_large: 413,
  unsupported_media_type: 415,
}

/** Send a body as it is, and resolve with the problem it is answered with. */
async function problem(service: TestService, body: string | Buffer | object, type = 'application/json') {
  const text = typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
  const request = service.me.http.post('/v1/batches').set('content-type', type)
  const response = await request.serialize((data) => data).send(text)
  expect(response.headers['content-type']).toBe('application/problem+json; charset=utf-8')
  expect(response.status).toBe(CODE_OF[response.body.code])
  expect(response.body).toMatchObject({
    type: `/problems/${response.body.code}`,
    title: expect.any(String),
    status: response.status,
    detail: expect.any(String),
    instance: expect.any(String),
  })
  return response.body
}

const pointersOf = (body: { errors: { pointer: string }[] }) => body.errors.map(({ pointer }) => pointer).toSorted()

async function nothingAccepted(service: TestService): Promise<void> {
  expect((await service.me.http.get('/v1/batches')).body).toEqual({ data: [], nextCursor: null })
  const { usage } = (await service.me.http.get('/v1/tenant')).body
  expect(usage).toMatchObject({ queued: 0, running: 0, cancelling: 0, stuck: 0 })
  expect(service.origin.sockets).toEqual([])
}

/** Ways in which a job can be wrong, with the pointers under it that must be named. */
const WRONG: readonly [job: unknown, pointers: string[]][] = [
  [{ kind: 'sleep' }, ['/durationMs']],
  [{ kind: 'sleep', durationMs: -1 }, ['/durationMs']],
  [{ kind: 'sleep', durationMs: 1.5 }, ['/durationMs']],
  [{ kind: 'sleep', durationMs: '10' }, ['/durationMs']],
  [{ kind: 'sleep', durationMs: 1e300 }, ['/durationMs']],
  [{ kind: 'sleep', durationMs: 2_592_000_001 }, ['/durationMs']],
  [{ kind: 'sleep', durationMs: null, timeoutMs: -5, deadlineMs: 'NaN' }, ['/durationMs', '/timeoutMs', '/deadlineMs']],
  [{ kind: 'sleep', durationMs: 1, seconds: 3, url: 'http://a' }, ['/seconds', '/url']],
  [{ kind: 'sleep', durationMs: 1, priority: 1e9, delayMs: -1, shield: 'yes' }, ['/priority', '/delayMs', '/shield']],
  [{ kind: 'sleep', durationMs: 1, context: { 'bad key': 'x', ok: 1 } }, ['/context/bad key', '/context/ok']],
  [{ kind: 'sleep', durationMs: 1, onRestart: 'maybe', queueTimeoutMs: true }, ['/onRestart', '/queueTimeoutMs']],
  [{ kind: 'sleep', durationMs: 1, name: 5 }, ['/name']],
  [{ kind: 'sleep', durationMs: 1, name: 'x'.repeat(201) }, ['/name']],
  [{ kind: 'sleep', durationMs: 1, result: 'a\u0000b' }, ['/result']],
  [{ kind: 'fetch' }, ['/url']],
  [{ kind: 'fetch', url: 'ftp://x/' }, ['/url']],
  [{ kind: 'fetch', url: 'http://user:secret@x/' }, ['/url']],
  [{ kind: 'fetch', url: 7, method: 'FETCH' }, ['/url', '/method']],
  [{ kind: 'fetch', url: 'http://x.example/', headers: { host: 'y', 'a b': '1' } }, ['/headers/host', '/headers/a b']],
  [{ kind: 'fetch', url: 'http://x.example/', headers: { a: 'b\r\nc: d' } }, ['/headers/a']],
  [{ kind: 'fetch', url: 'http://x.example/', okStatus: [] }, ['/okStatus']],
  [{ kind: 'fetch', url: 'http://x.example/', okStatus: [99, '9xx', 200] }, ['/okStatus/0', '/okStatus/1']],
  [
    { kind: 'fetch', url: 'http://x.example/', redirects: 11, maxResponseBytes: -1 },
    ['/redirects', '/maxResponseBytes'],
  ],
  [{ kind: 'fetch', url: 'http://x.example/', method: 'POST', body: 'a', json: 1 }, ['/json']],
  [{ kind: 'fetch', url: 'http://x.example/', method: 'POST', bodyBase64: '***' }, ['/bodyBase64']],
  [{ kind: 'fetch', url: 'http://x.example/', response: 'some', durationMs: 1 }, ['/response', '/durationMs']],
  [{ kind: 'shell', command: 'rm' }, ['/kind']],
  [{ durationMs: 1 }, ['/kind']],
  [{ kind: 7, timeoutMs: -1 }, ['/kind', '/timeoutMs']],
  [null, ['']],
  ['sleep', ['']],
  [[], ['']],
]

describe('a batch of 100 jobs that are wrong in different ways', () => {
  it('is answered with every wrong field, by pointer, at once', async () => {
    await using service = await startService()
    const picked = range(100).map((i) => (i % 3 === 2 ? null : WRONG[i % WRONG.length]))
    const jobs = picked.map((entry) => (entry === null ? sleepFor(1) : entry?.[0]))
    const expected = picked.flatMap((entry, i) => (entry?.[1] ?? []).map((pointer) => `/jobs/${i}${pointer}`))

    const body = await problem(service, {
      policy: 'gathr',
      labels: { 'bad key': 'x', n: 1 },
      timeoutMs: -1,
      maxConcurrency: 0,
      open: 'yes',
      extra: true,
      context: { a: 1 },
      defaults: { timeoutMs: 'x', durationMs: 1 },
      jobs,
    })

    expect(body.code).toBe('invalid_argument')
    expect([...new Set(pointersOf(body))]).toEqual(
      [
        ...expected,
        '/context/a',
        '/defaults/durationMs',
        '/defaults/timeoutMs',
        '/extra',
        '/labels/bad key',
        '/labels/n',
        '/maxConcurrency',
        '/open',
        '/policy',
        '/timeoutMs',
      ].toSorted(),
    )
    expect(body.errors.every(({ detail }: { detail: string }) => detail.length > 0)).toBe(true)
    await nothingAccepted(service)
  })
})

describe('a body', () => {
  it('that is no JSON is malformed', async () => {
    await using service = await startService()
    const bodies = [
      '{',
      '',
      'null x',
      '{"jobs":[NaN]}',
      '{"jobs":[{"kind":"sleep","durationMs":NaN}]}',
      '{"jobs":[{"kind":"sleep","durationMs":Infinity}]}',
      "{'jobs':[]}",
      '{"jobs":[],}',
      Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]),
      '{"jobs":[],"__proto__":{"open":true}}',
      '{"jobs":[{"kind":"sleep","durationMs":1,"constructor":{"prototype":{}}}]}',
    ]

    for (const body of bodies) expect((await problem(service, body)).code).toBe('malformed_json')
    await nothingAccepted(service)
  })

  it('of the wrong type, or with the wrong content type, is refused', async () => {
    await using service = await startService()

    for (const body of ['null', '[]', '5', '"text"', 'true', '[{"jobs":[]}]'])
      expect(pointersOf(await problem(service, body))).toEqual([''])
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data', 'application/jsonx'])
      expect((await problem(service, '{"jobs":[]}', type)).code).toBe('unsupported_media_type')
    await nothingAccepted(service)
  })

  it('larger than the limit is refused', async () => {
    await using service = await startService({ bodyLimitBytes: 2_000 })

    expect((await problem(service, { jobs: [], name: 'x'.repeat(2_000) })).code).toBe('body_too_large')
    await nothingAccepted(service)
  })

  it('that is nested beyond reason is refused, and not a crash', async () => {
    await using service = await startService()
    const deep = (depth: number) =>
      `{"jobs":[{"kind":"sleep","durationMs":0,"result":${'['.repeat(depth)}${']'.repeat(depth)}}]}`

    for (const depth of [33, 1_000, 100_000]) {
      const body = await problem(service, deep(depth))
      expect(['invalid_argument', 'malformed_json']).toContain(body.code)
    }
    await nothingAccepted(service)
  })
})

describe('a submission', () => {
  const cases: [title: string, submission: object, pointers: string[]][] = [
    ['without jobs', {}, ['/jobs']],
    ['with jobs that are no list', { jobs: {} }, ['/jobs']],
    ['any without jobs', { policy: 'any', jobs: [] }, ['/jobs']],
    ['race without jobs', { policy: 'race', jobs: [] }, ['/jobs']],
    ['hedge without jobs', { policy: 'hedge', hedgeDelayMs: 1, jobs: [] }, ['/jobs']],
    ['quorum without jobs', { policy: 'quorum', n: 1, jobs: [] }, ['/jobs', '/n']],
    ['quorum without n', { policy: 'quorum', jobs: [sleepFor(0)] }, ['/n']],
    ['quorum of more than its jobs', { policy: 'quorum', n: 2, jobs: [sleepFor(0)] }, ['/n']],
    ['quorum of none', { policy: 'quorum', n: 0, jobs: [sleepFor(0)] }, ['/n']],
    ['hedge without its delay', { policy: 'hedge', jobs: [sleepFor(0)] }, ['/hedgeDelayMs']],
    ['hedge with a negative delay', { policy: 'hedge', hedgeDelayMs: -1, jobs: [sleepFor(0)] }, ['/hedgeDelayMs']],
    ['gather with an n and a hedge', { policy: 'gather', n: 1, hedgeDelayMs: 1, jobs: [] }, ['/hedgeDelayMs', '/n']],
    ['with a name twice', { jobs: ['a', 'b', 'a'].map((name) => sleepFor(0, { name })) }, ['/jobs/2/name']],
    ['with the name of an unnamed job', { jobs: [sleepFor(0), sleepFor(0, { name: 'job-0' })] }, ['/jobs/1/name']],
    ['with a timeout beyond 30 days', { timeoutMs: 2_592_000_001, jobs: [] }, ['/timeoutMs']],
    ['with a huge number', { timeoutMs: 1e308, maxConcurrency: 2 ** 53, jobs: [] }, ['/maxConcurrency', '/timeoutMs']],
    ['with an NUL in its name', { name: 'a\u0000', jobs: [] }, ['/name']],
    ['with 33 labels', { labels: Object.fromEntries(range(33).map((i) => [`l${i}`, ''])), jobs: [] }, ['/labels']],
  ]

  it('that breaks a rule is refused by pointer, and nothing of it is accepted', async () => {
    await using service = await startService()

    for (const [title, submission, pointers] of cases)
      expect([title, ...new Set(pointersOf(await problem(service, submission)))]).toEqual([title, ...pointers])
    await nothingAccepted(service)
  })

  it('of 10,001 jobs is too large, and of 10,000 is not', async () => {
    await using service = await startService()

    const body = await problem(service, { jobs: range(10_001).map(() => sleepFor(0)) })

    expect(body.code).toBe('batch_too_large')
    await nothingAccepted(service)
  })

  it('with a lone surrogate is refused', async () => {
    await using service = await startService()

    const body = await problem(
      service,
      '{"jobs":[{"kind":"sleep","durationMs":0,"result":"\\ud800"}],"name":"\\udfff"}',
    )

    expect(pointersOf(body)).toEqual(['/jobs/0/result', '/name'])
    await nothingAccepted(service)
  })

  it('at every limit is accepted', async () => {
    await using service = await startService()
    const { batch } = await service.me.run({
      name: 'n'.repeat(200),
      labels: Object.fromEntries(range(32).map((i) => [`l${i}`, 'v'.repeat(256)])),
      context: Object.fromEntries(range(32).map((i) => [`c${i}`, 'v'.repeat(64)])),
      timeoutMs: 2_592_000_000,
      maxConcurrency: 1_000_000,
      jobs: [
        sleepFor(0, {
          name: 'é'.repeat(200),
          priority: -1_000,
          timeoutMs: 2_592_000_000,
          deadlineMs: 2_592_000_000,
          queueTimeoutMs: 2_592_000_000,
          result: JSON.parse(`${'['.repeat(32)}${']'.repeat(32)}`),
        }),
      ],
    })

    expect(batch.counts.succeeded).toBe(1)
  })
})
