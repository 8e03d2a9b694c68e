import { describe, expect, it } from 'vitest'
import { slowness } from '../../src/http/connections.ts'
import { startFake } from '../support/fake-parts.ts'
import { Wire } from '../support/raw.ts'

const LIVEZ = 'GET /livez HTTP/1.1\r\nHost: gatherd\r\n\r\n'

/** Whether this connection is answered; the other end cuts those that it does not want. */
async function isAnswered(wire: Wire): Promise<boolean> {
  wire.write(LIVEZ)
  return (await wire.until('"status":"ok"')).startsWith('HTTP/1.1 200')
}

async function answered(port: number, count: number, host?: string): Promise<[wires: Wire[], answers: boolean[]]> {
  const wires: Wire[] = []
  const answers: boolean[] = []
  for (let i = 0; i < count; i++) {
    const wire = await Wire.open(port, '', host)
    wires.push(wire)
    answers.push(await isAnswered(wire))
  }
  return [wires, answers]
}

describe('connections', () => {
  it('of one address are so many at most, and more when one of them has gone', async () => {
    await using service = await startFake({ env: { GATHERD_MAX_CONNECTIONS_PER_ADDRESS: '3' } })
    const [[first, ...others], answers] = await answered(service.port, 5)
    expect(answers).toEqual([true, true, true, false, false])

    first?.[Symbol.dispose]()
    const again = async () => {
      for (;;) {
        using wire = await Wire.open(service.port)
        if (await isAnswered(wire)) return true
      }
    }

    expect(await again()).toBe(true)
    for (const wire of others) wire[Symbol.dispose]()
  })

  it.each<[string, Record<string, string>]>([
    ['when that is off', { GATHERD_MAX_CONNECTIONS_PER_ADDRESS: '0' }],
    [
      'when a proxy is trusted: all its clients have its address',
      { GATHERD_MAX_CONNECTIONS_PER_ADDRESS: '2', GATHERD_TRUST_PROXY: '10.0.0.1' },
    ],
  ])('of one address are not counted %s', async (_what, env) => {
    await using service = await startFake({ env })

    const [wires, answers] = await answered(service.port, 5)

    expect(answers).toEqual(Array(5).fill(true))
    for (const wire of wires) wire[Symbol.dispose]()
  })

  it('are so many at most in all; then those that are idle make room, so that a probe gets through', async () => {
    await using service = await startFake({ env: { GATHERD_MAX_CONNECTIONS: '2' } })
    const [[one, two], answers] = await answered(service.port, 2)
    using _one = one
    using _two = two
    expect(answers).toEqual([true, true])

    using dropped = await Wire.open(service.port)
    await dropped.closed
    await Promise.all([one?.closed, two?.closed])
    const probe = async () => {
      for (;;) {
        using wire = await Wire.open(service.port)
        if (await isAnswered(wire)) return true
      }
    }

    expect(await probe()).toBe(true)
    const said = service.log.lines.filter(({ level }) => level === 40).map(({ msg }) => msg)
    expect(said).toEqual(['connections dropped, too many are open'])
  })

  it('that are at work are not closed to make room', async () => {
    await using service = await startFake({ env: { GATHERD_MAX_CONNECTIONS: '1' } })
    let answer: (page: { data: []; nextCursor: null }) => void = () => undefined
    const asked = new Promise<void>((resolve) => {
      service.engine.batches = () => {
        resolve()
        return new Promise((given) => {
          answer = given
        })
      }
    })
    using working = await Wire.open(
      service.port,
      `GET /v1/batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${service.key}\r\n\r\n`,
    )
    await asked

    using dropped = await Wire.open(service.port)
    await dropped.closed
    answer({ data: [], nextCursor: null })

    expect(await working.until('"nextCursor"')).toMatch(/^HTTP\/1\.1 200 /)
  })
})

describe('a request that does not come', () => {
  const body = (key: string) =>
    `POST /v1/batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\nContent-Type: application/json\r\n`

  it.each<[string, (key: string) => string, string]>([
    ['of which nothing came', () => '', ''],
    ['of which half a line came', () => 'GET /liv', ''],
    ['of which half a head came', () => 'GET /livez HTTP/1.1\r\nHost: x\r\n', 'X-More: 1\r\n'],
    ['whose body drips', (key) => `${body(key)}Content-Length: 100000\r\n\r\n`, ' '],
    ['whose chunks drip', (key) => `${body(key)}Transfer-Encoding: chunked\r\n\r\n`, '1\r\n \r\n'],
    ['whose chunk has no end', (key) => `${body(key)}Transfer-Encoding: chunked\r\n\r\nffffff\r\n`, ' '],
  ])('is ended with 408 and its connection closed: %s', async (_what, head, drip) => {
    await using service = await startFake({ env: { GATHERD_REQUEST_TIMEOUT_MS: '400' } })
    using wire = await Wire.open(service.port, head(service.key))
    const dripping = drip === '' ? undefined : setInterval(() => wire.write(drip), 50)

    await wire.closed
    clearInterval(dripping)

    expect(wire.statuses).toEqual([408])
    expect(wire.seen).toContain('"code":"request_timeout"')
    while ((await connectionsOf(service.app.server)) > 0);
  })

  it('is no answer that is waited for, nor a stream', async () => {
    await using service = await startFake({ env: { GATHERD_REQUEST_TIMEOUT_MS: '400' } })
    service.engine.batches = () => new Promise(() => undefined)
    using held = await Wire.open(
      service.port,
      `GET /v1/batches HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${service.key}\r\n\r\n`,
    )
    using silent = await Wire.open(service.port)
    await silent.closed
    using later = await Wire.open(service.port)
    await later.closed

    expect([held.seen, silent.statuses, later.statuses]).toEqual(['', [408], [408]])
  })

  it('is looked for often enough', () => {
    expect(slowness({ requestTimeoutMs: 30_000 })).toEqual({
      headersTimeout: 10_000,
      connectionsCheckingInterval: 5_000,
    })
    expect(slowness({ requestTimeoutMs: 400 })).toEqual({ headersTimeout: 400, connectionsCheckingInterval: 200 })
    expect(slowness({ requestTimeoutMs: 101 })).toEqual({ headersTimeout: 101, connectionsCheckingInterval: 51 })
  })
})

function connectionsOf(server: {
  getConnections(done: (error: Error | null, count: number) => void): void
}): Promise<number> {
  return new Promise((resolve, reject) =>
    server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
  )
}
