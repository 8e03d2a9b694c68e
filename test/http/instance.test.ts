import { describe, expect, it } from 'vitest'
import { type FakeService, startFake } from '../support/fake-parts.ts'
import { rawRequest } from '../support/raw.ts'

const NOBODY = '0190a000-0000-7000-8000-000000000000'

/** Every operation of the service's own document, as method and path with ids of nobody. */
async function operations(service: FakeService): Promise<{ method: string; path: string }[]> {
  const { body } = await service.anybody.get('/openapi.json')
  return Object.entries(body.paths as Record<string, object>).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => ({ method, path: path.replaceAll(/\{\w+\}/g, NOBODY) })),
  )
}

/** The log's lines of the request that a problem document is the answer to. */
function linesOf({ log }: FakeService, { instance }: { instance: string }): Record<string, unknown>[] {
  return log.lines.filter(({ reqId }) => reqId === instance)
}

/** Resolves when there are as many lines with a message: they are written when the answer is on its way. */
async function lines({ log }: FakeService, msg: string, count: number): Promise<void> {
  while (log.lines.filter((line) => line.msg === msg).length < count)
    await new Promise((resolve) => setImmediate(resolve))
}

describe('the instance of a problem', () => {
  it('is the id under which the log has the request, on every route', async () => {
    await using service = await startFake()
    const all = await operations(service)
    const answers: { status: number; body: { instance: string }; path: string }[] = []
    for (const { method, path } of all) {
      // Without a key and with one; a query that no route knows.
      for (const http of [service.anybody, service.http, service.admin]) {
        const send = http[method as 'get'].bind(http)
        const { status, body, headers } = await send(`${path}?nope=1`).send(method === 'get' ? undefined : '"wrong"')
        if (String(headers['content-type']).startsWith('application/problem+json')) answers.push({ status, body, path })
      }
    }
    await lines(service, 'answered', all.length * 3 + 1)

    expect(new Set(answers.map(({ path }) => path)).size).toBeGreaterThan(12)
    for (const { status, body } of answers)
      expect(linesOf(service, body)).toEqual([expect.objectContaining({ msg: 'answered', status })])
    expect(new Set(answers.map(({ body }) => body.instance)).size).toBe(answers.length)
  })

  it.each([
    ['get', '/nowhere', 404],
    ['delete', '/v1/batches', 405],
    ['get', '/%zz', 404],
  ] as const)('is so for what is no route: %s %.20s', async (method, path, status) => {
    await using service = await startFake()

    const response = await service.http[method](path)
    await lines(service, 'answered', 1)

    expect(response.status).toBe(status)
    expect(linesOf(service, response.body)).toEqual([expect.objectContaining({ msg: 'answered', status })])
  })

  it('is so for a fault of the service, whose line has it once more', async () => {
    await using service = await startFake()
    service.engine.batch = async () => {
      throw new Error('canary')
    }

    const { status, body } = await service.http.get(`/v1/batches/${NOBODY}`)
    await lines(service, 'answered', 1)

    expect(status).toBe(500)
    expect(linesOf(service, body).map(({ msg, instance }) => [msg, instance])).toEqual([
      ['request failed', body.instance],
      ['answered', undefined],
    ])
  })

  it.each([
    ['no HTTP', 'nonsense\r\n\r\n', 400],
    ['a method that is none', 'BREW / HTTP/1.1\r\nhost: x\r\n\r\n', 400],
    ['a proxy request', 'CONNECT a.example:443 HTTP/1.1\r\nhost: a.example\r\n\r\n', 405],
    ['a head that is too large', `GET /${'x'.repeat(17_000)} HTTP/1.1\r\nhost: x\r\n\r\n`, 431],
    ['an expectation', 'GET /livez HTTP/1.1\r\nhost: x\r\nexpect: tea\r\n\r\n', 417],
  ])('is in the log of what is no request: %s', async (_, text, status) => {
    await using service = await startFake()

    const answer = await rawRequest(service.port, text)
    const { instance, code } = JSON.parse(answer.body)

    expect(service.log.lines).toEqual([
      expect.objectContaining({ msg: 'answered what is no request', instance, status, code }),
    ])
  })
})
