import { once } from 'node:events'
import { createServer } from 'node:net'
import { describe, expect, it } from 'vitest'
import { startFake } from '../support/fake-parts.ts'
import { Wire } from '../support/raw.ts'

const LIVEZ = 'GET /livez HTTP/1.1\r\nHost: gatherd\r\n\r\n'
const BOTH = ['127.0.0.1', '::1'] as const

/** Whether the machine has the other loopback address at all. */
async function hasIpv6(): Promise<boolean> {
  const server = createServer()
  try {
    await once(server.listen(0, '::1'), 'listening')
    return true
  } catch {
    return false
  } finally {
    server.close()
  }
}

async function isAnswered(wire: Wire): Promise<boolean> {
  wire.write(LIVEZ)
  return (await wire.until('"status":"ok"')).startsWith('HTTP/1.1 200')
}

function localhost(env: Record<string, string> = {}) {
  return startFake({ env: { GATHERD_HOST: 'localhost', ...env } })
}

describe.skipIf(!(await hasIpv6()))('localhost', () => {
  it.each(BOTH)('answers on %s', async (host) => {
    await using service = await localhost()
    using wire = await Wire.open(service.port, '', host)

    expect(await isAnswered(wire)).toBe(true)
  })

  it.each(BOTH)('bounds the connections of one address on %s', async (host) => {
    await using service = await localhost({ GATHERD_MAX_CONNECTIONS_PER_ADDRESS: '2' })
    const wires: Wire[] = []

    const answers: boolean[] = []
    for (let i = 0; i < 4; i++) {
      const wire = await Wire.open(service.port, '', host)
      wires.push(wire)
      answers.push(await isAnswered(wire))
    }

    expect(answers).toEqual([true, true, false, false])
    for (const wire of wires) wire[Symbol.dispose]()
  })

  it.each([
    ['::1', '127.0.0.1'],
    ['127.0.0.1', '::1'],
  ])('has one bound for all: %s leaves %s none, says so, and makes room', async (one, other) => {
    await using service = await localhost({ GATHERD_MAX_CONNECTIONS: '2' })
    using first = await Wire.open(service.port, '', one)
    using second = await Wire.open(service.port, '', one)
    expect([await isAnswered(first), await isAnswered(second)]).toEqual([true, true])

    using third = await Wire.open(service.port, '', other)
    await third.closed
    await Promise.all([first.closed, second.closed])

    const said = service.log.lines.filter(({ level }) => level === 40).map(({ msg }) => msg)
    expect(said).toEqual(['connections dropped, too many are open'])
  })

  it.each(BOTH)('ends on %s a request that does not come', async (host) => {
    await using service = await localhost({ GATHERD_REQUEST_TIMEOUT_MS: '400' })
    using wire = await Wire.open(service.port, 'GET /liv', host)

    await wire.closed

    expect(wire.statuses).toEqual([408])
    expect(wire.seen).toContain('"code":"request_timeout"')
  })

  it.each(BOTH)('answers nonsense on %s with a problem', async (host) => {
    await using service = await localhost()
    using wire = await Wire.open(service.port, 'nonsense\r\n\r\n', host)

    await wire.closed

    expect(wire.statuses).toEqual([400])
    expect(wire.seen).toContain('application/problem+json')
  })

  it('is let go with the service', async () => {
    const service = await localhost()
    const { port } = service
    await service[Symbol.asyncDispose]()

    const again = createServer()
    await once(again.listen(port, '::1'), 'listening')
    again.close()
  })

  it('is the first address alone where the other one has no room', async () => {
    const squatter = createServer()
    await once(squatter.listen(0, '::1'), 'listening')
    const { port } = squatter.address() as { port: number } // It listens on TCP.

    await using service = await localhost({ GATHERD_PORT: String(port) })

    using wire = await Wire.open(service.port)
    expect([service.port === port, await isAnswered(wire)]).toEqual([true, true])
    squatter.close()
  })
})
