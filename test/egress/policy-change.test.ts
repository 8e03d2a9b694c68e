import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { Egress, type EgressOptions } from '../../src/egress/egress.ts'
import { nameResolver } from '../../src/egress/guard/resolver.ts'
import { TestDns } from '../support/dns.ts'
import { turn } from '../support/fake-clock.ts'
import { openGuard } from '../support/guard.ts'
import { startOrigin } from '../support/origin.ts'
import { LOCAL } from './certificate.ts'

const never = new AbortController().signal
const DENIED = { code: 'egress_denied' }

/** What a promise came to, looked at later. */
const outcomeOf = (promise: Promise<unknown>) => promise.catch((error: unknown) => error)

describe("a change of a tenant's rules", () => {
  const closing: { close(): unknown }[] = []
  afterEach(async () => {
    for (const thing of closing.splice(0)) await thing.close()
  })
  function egressWith(options: EgressOptions): Egress {
    const egress = new Egress({ guard: openGuard(), ...options })
    closing.push(egress)
    return egress
  }

  it.each([{ denyHosts: ['slow.test'] }, { deny: ['127.0.0.1'] }, { allow: [], allowHosts: [] }])(
    'while a name is resolved: %j opens no connection',
    async (rules) => {
      const answer = Promise.withResolvers<void>()
      await using dns = await TestDns.start({ 'slow.test': { A: [['127.0.0.1']], after: answer.promise } })
      await using origin = await startOrigin()
      const egress = egressWith({ resolve: nameResolver({ servers: [dns.server] }), connectTimeoutMs: 60_000 })
      const leased = outcomeOf(egress.lease('a', new URL(`http://slow.test:${origin.port}/`), never))
      await dns.asked('slow.test')

      egress.guard.narrow('a', rules)
      answer.resolve()

      expect(await leased).toMatchObject(DENIED)
      expect(origin.sockets).toEqual([])
    },
  )

  it('while it waits in the line of an address opens no connection, and gives its place back', async () => {
    await using dns = await TestDns.start({ 'a.test': { A: [['127.0.0.1']] }, 'b.test': { A: [['127.0.0.1']] } })
    await using origin = await startOrigin()
    const egress = egressWith({
      resolve: nameResolver({ servers: [dns.server] }),
      addressConcurrency: 1,
      connectTimeoutMs: 60_000,
    })
    const first = await egress.lease('a', new URL(`http://a.test:${origin.port}/`), never)
    const second = outcomeOf(egress.lease('a', new URL(`http://b.test:${origin.port}/`), never))
    while (egress.crowd.waiting === 0) await turn()

    egress.guard.narrow('a', { deny: ['127.0.0.1'] })
    await first.destroy()

    expect(await second).toMatchObject(DENIED)
    expect(origin.sockets.length).toBe(1)
    expect(egress.crowd).toEqual({ held: 0, waiting: 0, destinations: 0 })
  })

  it('while it waits leaves it the addresses of its name that are still open', async () => {
    const other = createServer((socket) => void socket.on('error', () => undefined)).listen(0, '127.0.0.2')
    closing.push(other)
    await once(other, 'listening')
    // It listens on TCP.
    const { port } = other.address() as AddressInfo
    await using origin = await startOrigin()
    const addresses: Record<string, string[]> = { 'one.test': ['127.0.0.1'], 'two.test': ['127.0.0.2'] }
    const resolve = async (name: string) =>
      (addresses[name] ?? Object.values(addresses).flat()).map((address) => ({ address, family: 4 }))
    const egress = egressWith({ resolve, addressConcurrency: 1, connectTimeoutMs: 60_000 })
    const one = await egress.lease('a', new URL(`http://one.test:${origin.port}/`), never)
    const two = await egress.lease('a', new URL(`http://two.test:${port}/`), never)
    const both = egress.lease('a', new URL(`http://both.test:${port}/`), never)
    while (egress.crowd.waiting === 0) await turn()

    egress.guard.narrow('a', { deny: ['127.0.0.1'] })
    await one.destroy()
    for (let nth = 0; nth < 20; nth++) await turn()
    expect(egress.crowd).toEqual({ held: 1, waiting: 1, destinations: 1 })
    await two.destroy()

    expect((await both).address).toBe('127.0.0.2')
  })

  it('while TLS is negotiated sends no request, and closes the socket', async () => {
    await using secure = await startOrigin({ tls: LOCAL })
    const begun = Promise.withResolvers<void>()
    const goOn = Promise.withResolvers<void>()
    const closed = Promise.withResolvers<void>()
    const between = createServer((socket: Socket) => {
      socket.on('error', () => undefined).once('close', () => closed.resolve())
      socket.once('data', (hello) => {
        begun.resolve()
        socket.pause()
        const target = connect(secure.port, '127.0.0.1').on('error', () => undefined)
        void goOn.promise.then(() => {
          target.write(hello)
          socket.pipe(target).pipe(socket)
        })
      })
    }).listen(0, '127.0.0.1')
    closing.push(between)
    await once(between, 'listening')
    // It listens on TCP.
    const { port } = between.address() as AddressInfo
    const egress = egressWith({ ca: [LOCAL.cert], connectTimeoutMs: 60_000 })
    const leased = outcomeOf(egress.lease('a', new URL(`https://127.0.0.1:${port}/`), never))
    await begun.promise

    egress.guard.narrow('a', { deny: ['127.0.0.1'] })
    goOn.resolve()

    expect(await leased).toMatchObject(DENIED)
    await closed.promise
    expect(secure.hits).toEqual([])
  })

  it('while it is opened, that still lets it through, has the connection kept under the new rules', async () => {
    const answer = Promise.withResolvers<void>()
    await using dns = await TestDns.start({ 'slow.test': { A: [['127.0.0.1']], after: answer.promise } })
    await using origin = await startOrigin()
    const egress = egressWith({ resolve: nameResolver({ servers: [dns.server] }), connectTimeoutMs: 60_000 })
    const lease = () => egress.lease('a', new URL(`http://slow.test:${origin.port}/`), never)
    const opening = lease()
    await dns.asked('slow.test')
    egress.guard.narrow('a', { denyHosts: ['other.test'] })
    answer.resolve()
    const first = await opening

    first.release()
    const second = await lease()
    second.release()
    egress.guard.narrow('a', undefined)

    expect(second).toBe(first)
    expect(await lease()).not.toBe(first)
  })
})
