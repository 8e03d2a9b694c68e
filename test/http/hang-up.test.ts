import { connect } from 'node:net'
import Fastify from 'fastify'
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { whenLeft } from '../../src/http/hang-up.ts'
import { traceRequests } from '../../src/http/traces.ts'
import { rawRequest } from '../support/raw.ts'

const app = () => Fastify({ forceCloseConnections: true })
const open: { close(): PromiseLike<unknown> }[] = []
afterEach(async () => {
  for (const each of open.splice(0)) await each.close()
})

/** A server whose answers come when the test says so, and who has left. */
async function start() {
  const server = app()
  open.push(server)
  const left: string[] = []
  const answer = Promise.withResolvers<string>()
  server.addHook('onRequest', async (request, reply) => whenLeft(reply, () => left.push(request.url)))
  server.get('/held', () => answer.promise)
  server.get('/now', async () => 'now')
  await server.listen({ host: '127.0.0.1', port: 0 })
  const { port } = server.server.address() as { port: number }
  return { port, left, answer }
}

/** Ask, and be gone. */
async function askAndGo(port: number, head: string): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  await new Promise((resolve) => socket.once('connect', resolve))
  await new Promise((resolve) => socket.write(`${head}\r\nHost: x\r\n\r\n`, resolve))
  await new Promise((resolve) => setTimeout(resolve, 20))
  socket.destroy()
}

describe('whenLeft', () => {
  it('is told of who goes before the answer, and of nobody who has it', async () => {
    const { port, left } = await start()

    await rawRequest(port, 'GET /now HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    expect(left).toEqual([])
    await askAndGo(port, 'GET /held HTTP/1.1')

    await expect.poll(() => left).toEqual(['/held'])
  })

  it('is told of nobody twice, also when the answer comes after all', async () => {
    const { port, left, answer } = await start()
    await askAndGo(port, 'GET /held HTTP/1.1')
    await expect.poll(() => left).toEqual(['/held'])

    answer.resolve('too late')
    await rawRequest(port, 'GET /now HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')

    expect(left).toEqual(['/held'])
  })
})

it('a submission whose caller goes has its span ended, once, with what proxies write down for that', async () => {
  const server = app()
  open.push(server)
  const ended: number[] = []
  const trace = { traceId: 'a'.repeat(32), traceparent: '', accepted: () => undefined }
  const submission = () => ({ ...trace, end: ({ status }: { status: number }) => void ended.push(status) })
  traceRequests(server, { submission }, systemClock)
  server.addHook('onRequest', async (request) => {
    request.tenantId = 'acme'
  })
  const answer = Promise.withResolvers<string>()
  server.post('/v1/batches', () => answer.promise)
  await server.listen({ host: '127.0.0.1', port: 0 })
  const { port } = server.server.address() as { port: number }

  await askAndGo(port, 'POST /v1/batches HTTP/1.1\r\nContent-Length: 0')
  await expect.poll(() => ended).toEqual([499])
  answer.resolve('too late')
  await new Promise((resolve) => setImmediate(resolve))

  expect(ended).toEqual([499])
})
