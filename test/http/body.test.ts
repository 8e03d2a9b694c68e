import { connect } from 'node:net'
import { type FastifyInstance, fastify } from 'fastify'
import { describe, expect, it } from 'vitest'
import { takeJsonOnly } from '../../src/http/body.ts'
import { knownError, problemOf } from '../../src/http/problem.ts'
import { Turns } from '../../src/json/turns.ts'
import { MAX_BODY_DEPTH, MAX_BODY_NAMES, MAX_BODY_VALUES } from '../../src/schema/limits.ts'

/** An app that says what it parsed, and how often the event loop went round for it. */
function start(between: (count: number, app: FastifyInstance) => unknown = () => undefined) {
  let count = 0
  const app = fastify({ bodyLimit: 1 << 24 })
  const nextTurn = (go: () => void) => {
    setImmediate(async () => {
      await between(++count, app)
      go()
    })
  }
  app.decorateRequest('tenantId', 't')
  takeJsonOnly(app, new Turns({ nextTurn }))
  const parsed: unknown[] = []
  app.post('/', async ({ body }) => void parsed.push(body))
  app.get('/', async () => 'here')
  app.setErrorHandler((error, _request, reply) => {
    const { problem } = problemOf(knownError(error), 'i')
    return reply.code(problem.status).send(problem)
  })
  const post = async (payload: string | Buffer) => {
    const answer = await app.inject({
      method: 'POST',
      url: '/',
      headers: { 'content-type': 'application/json' },
      payload,
    })
    const { status, code, detail } = answer.statusCode === 200 ? { status: 200 } : answer.json()
    return { status, code, detail }
  }
  return { app, post, parsed, count: () => count }
}

const LARGE = 262_144
const pad = ' '.repeat(LARGE)

describe('a body that is not JSON', () => {
  it.each([
    ['{"a": secret}', 'is wrong at line 1, column 7 (byte 6)'],
    ['{"a":1,\n "b":\n\n 2,}', 'is wrong at line 4, column 4 (byte 18)'],
    ['{"a": "secret', 'breaks off at line 1, column 14 (byte 13)'],
    ['\ufeff[1,]', 'is wrong at line 1, column 4 (byte 6)'],
    ['"é" x', 'is wrong at line 1, column 6 (byte 5)'],
    [`${'['.repeat(5_000)}`, 'breaks off at line 1, column 5001 (byte 5000)'],
    [`${pad}{"a": secret}`, `is wrong at line 1, column ${LARGE + 7} (byte ${LARGE + 6})`],
    [`\ufeff${pad}\n x`, `is wrong at line 2, column 2 (byte ${LARGE + 5})`],
  ])('is told where, and not quoted (%#)', async (body, where) => {
    const { post } = start()

    expect(await post(body)).toEqual({
      status: 400,
      code: 'malformed_json',
      detail: `The body is not valid JSON: it ${where}.`,
    })
  })

  it('is told so when it is no UTF-8', async () => {
    const { post } = start()

    expect(await post(Buffer.from([0x22, 0xff, 0x22]))).toMatchObject({ detail: 'The body is not valid UTF-8.' })
    expect(await post(Buffer.concat([Buffer.from(pad), Buffer.from([0x22, 0xff, 0x22])]))).toMatchObject({
      detail: `The body is not valid JSON: it is wrong at line 1, column ${LARGE + 2} (byte ${LARGE + 1}).`,
    })
  })
})

describe('a key that would poison prototypes', () => {
  it.each([
    ['{"__proto__":{}}', '"__proto__" at /__proto__'],
    ['\ufeff{"a":[0,{"b/c":{"__proto__":1}}]}', '"__proto__" at /a/1/b~1c/__proto__'],
    ['{"a":{"\\u005f_proto__":null}}', '"__proto__" at /a/__proto__'],
    ['{"constructor":{"prototype":{}}}', '"constructor" at /constructor'],
    [`{"${'n'.repeat(300)}":{"__proto__":1}}`, '"__proto__"'],
    [`${'{"a":'.repeat(30_000)}{"__proto__":1}${'}'.repeat(30_000)}`, '"__proto__"'],
    [`${pad}{"a":{"__proto__":1}}`, '"__proto__" at /a/__proto__'],
  ])('is named, with its place (%#)', async (body, key) => {
    const { post } = start()

    expect(await post(body)).toEqual({
      status: 400,
      code: 'malformed_json',
      detail: `The key ${key} would poison prototypes; leave it out.`,
    })
  })

  it('is none that only looks like one', async () => {
    const { post } = start()

    expect(await post('{"constructor":{"a":1},"a":"__proto__"}')).toMatchObject({ status: 200 })
  })
})

describe('a large body', () => {
  it('is scanned in steps and then parsed in others, and others are answered between them', async () => {
    const answers: string[] = []
    const { post, parsed, count } = start(async (_count, app) => {
      answers.push((await app.inject('/')).body)
    })
    const jobs = Array.from({ length: 10_000 }, (_, i) => ({ name: `job ${i}`, a: [i, null] }))
    const body = JSON.stringify({ jobs, pad })

    expect(await post(body)).toMatchObject({ status: 200 })

    expect(parsed).toEqual([JSON.parse(body)])
    const steps = (text: string) => Math.ceil(text.length / 131_072)
    // All without the jobs is one more.
    expect(count()).toBe(steps(body) + 1 + steps(JSON.stringify(jobs)))
    expect(answers).toEqual(Array(count()).fill('here'))
  })

  it.each([
    ['after a byte order mark', '\ufeff'],
    ['at once', ''],
  ])(
    'that begins %s is parsed as a whole one would be, and keys that poison are told where they are',
    async (_how, mark) => {
      const { post, parsed } = start()
      const jobs = Array.from({ length: 9_000 }, (_, i) => ({ name: `é ${i}`, pad: 'x'.repeat(30), deep: [{ i }] }))
      const text = JSON.stringify({ policy: 'any', jobs, n: [1, 2] }, null, 1)
      const at = (i: number, key: string) =>
        post(`${mark}${text.replace(`"i": ${i}\n`, `"i": {"${key}": {"prototype": 1}}`)}`)

      expect(await post(mark + text)).toMatchObject({ status: 200 })
      expect(parsed).toEqual([JSON.parse(text)])
      for (const [i, key] of [
        [0, '__proto__'],
        [4_321, '\\u005f_proto__'],
        [8_999, 'constructor'],
      ] as const)
        expect(await at(i, key)).toMatchObject({
          code: 'malformed_json',
          detail: `The key "${key === 'constructor' ? key : '__proto__'}" at /jobs/${i}/deep/0/i/${key === 'constructor' ? key : '__proto__'} would poison prototypes; leave it out.`,
        })
      expect(await post(`${mark}{"__proto__":1,${text.slice(1)}`)).toMatchObject({
        detail: 'The key "__proto__" at /__proto__ would poison prototypes; leave it out.',
      })
    },
  )

  it('is one of more than 256 KiB: smaller ones are parsed at once, whatever is in them', async () => {
    const { post, count } = start()
    const deep = '['.repeat(MAX_BODY_DEPTH + 1) + ']'.repeat(MAX_BODY_DEPTH + 1)

    expect(await post(deep.padEnd(LARGE))).toMatchObject({ status: 200 })
    expect(count()).toBe(0)
    expect(await post(deep.padEnd(LARGE + 1))).toMatchObject({ status: 413 })
    expect(count()).toBe(1)
  })

  const values = (count: number) => `[${'0,'.repeat(count - 2)}0]`
  const names = (count: number) => `{${Array.from({ length: count }, (_, i) => `"n${i}":0`)}}`
  const levels = (count: number) => '['.repeat(count) + ']'.repeat(count)

  it.each([
    [`more than ${MAX_BODY_VALUES} JSON values`, values, MAX_BODY_VALUES],
    [`more than ${MAX_BODY_NAMES} different names of members`, names, MAX_BODY_NAMES],
    [`arrays and objects more than ${MAX_BODY_DEPTH} deep`, levels, MAX_BODY_DEPTH],
  ])('has not %s', async (what, write, limit) => {
    const { post } = start()

    expect(await post(write(limit) + pad)).toMatchObject({ status: 200 })
    expect(await post(write(limit + 1) + pad)).toEqual({
      status: 413,
      code: 'body_too_large',
      detail: expect.stringMatching(
        new RegExp(`^The body has ${what}, at line 1, column \\d+ \\(byte \\d+\\); split it\\.$`),
      ),
    })
  })

  it('of ten thousand jobs with thirty values each has a place', () => {
    expect(MAX_BODY_VALUES).toBeGreaterThanOrEqual(10_000 * 30)
  })

  it('is looked at no more once its client has gone', async () => {
    const { promise: gone, resolve: isGone } = Promise.withResolvers<void>()
    const { app, count, parsed } = start(async (count) => {
      if (count !== 3) return
      client.destroy()
      await gone
    })
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    app.server.once('connection', (socket) => socket.once('close', () => isGone()))
    const body = `[${' '.repeat(2_000_000)}]`
    const client = connect(Number(new URL(url).port), '127.0.0.1')
    client.write(
      `POST / HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    )

    await gone
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve))

    expect([count(), parsed]).toEqual([3, []])
    await app.close()
  })
})
