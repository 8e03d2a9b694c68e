import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { afterEach, describe, expect, it } from 'vitest'
import type { Connection } from '../../src/egress/connection.ts'
import { Egress, type EgressOptions } from '../../src/egress/egress.ts'
import { DEFAULT_FETCH_LIMITS } from '../../src/jobs/fetch/limits.ts'
import { fetchKind } from '../../src/jobs/fetch.ts'
import { attempt, stoppable } from '../jobs/attempt.ts'
import { FakeClock, turn } from '../support/fake-clock.ts'
import { openGuard } from '../support/guard.ts'
import { startOrigin } from '../support/origin.ts'

const never = new AbortController().signal
const NOBODY = { held: 0, waiting: 0, destinations: 0 }

/** Every name of a test leads to these addresses. */
const leadingTo =
  (...addresses: string[]) =>
  async () =>
    addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))

describe('Egress with a cap on destinations', () => {
  const closing: { close(): unknown }[] = []
  afterEach(async () => {
    for (const thing of closing.splice(0)) await thing.close()
  })
  function egressWith(options: EgressOptions): Egress {
    const egress = new Egress({ guard: openGuard(), resolve: leadingTo('127.0.0.1'), ...options })
    closing.push(egress)
    return egress
  }
  const lease = (egress: Egress, url: string, { tenant = 'a', signal = never } = {}) =>
    egress.lease(tenant, new URL(url), signal)

  it('counts nothing when there is none', async () => {
    await using origin = await startOrigin()
    const egress = egressWith({})

    await Promise.all(Array.from({ length: 5 }, () => lease(egress, origin.url())))

    expect(egress.crowd).toEqual(NOBODY)
  })

  it('lets so many at a host, over all tenants, and the next in when one has ended', async () => {
    await using origin = await startOrigin()
    let resolved = 0
    const resolve = async () => {
      resolved++
      return await leadingTo('127.0.0.1')()
    }
    const egress = egressWith({ hostConcurrency: 2, resolve })
    const [first] = await Promise.all([lease(egress, origin.url()), lease(egress, origin.url(), { tenant: 'b' })])
    const order: string[] = []
    const third = lease(egress, origin.url(), { tenant: 'c' }).then(() => order.push('third'))
    const fourth = lease(egress, origin.url(), { tenant: 'd' }).catch(({ code }) => order.push(code))
    await turn()
    expect(egress.crowd).toEqual({ held: 2, waiting: 2, destinations: 1 })
    expect(order).toEqual([])

    await first?.destroy()
    await third
    expect(order).toEqual(['third'])
    await egress.close()
    await fourth

    expect(order).toEqual(['third', 'connection_lost'])
    expect(resolved).toBe(3)
    expect(egress.crowd).toEqual(NOBODY)
  })

  it('does not count a connection that nobody has', async () => {
    await using origin = await startOrigin()
    const egress = egressWith({ hostConcurrency: 1, addressConcurrency: 1 })
    const url = origin.url()

    const one = await lease(egress, url)
    await get(one)
    expect([egress.stats.idle, egress.crowd]).toEqual([1, NOBODY])
    const two = await lease(egress, url)

    expect([two.reused, egress.crowd.held]).toEqual([true, 2])
    two.release()
    two.release()
    await two.destroy()
    expect(egress.crowd).toEqual(NOBODY)
  })

  it('gives the connection that was just released to the one that waited, not a new one', async () => {
    await using origin = await startOrigin()
    const egress = egressWith({ addressConcurrency: 1, hostConcurrency: 1 })
    const one = await lease(egress, origin.url())
    const waiting = lease(egress, origin.url())
    await turn()

    await get(one)

    expect(await waiting).toBe(one)
    expect(origin.sockets.length).toBe(1)
  })

  it('opens a new connection when a fresh one is asked for', async () => {
    await using origin = await startOrigin()
    const egress = egressWith({ hostConcurrency: 1 })
    await get(await lease(egress, origin.url()))

    const fresh = await egress.lease('a', new URL(origin.url()), never, { fresh: true })

    expect([fresh.reused, egress.stats.idle]).toEqual([false, 1])
  })

  it('waits at the address for an idle connection as well', async () => {
    await using origin = await startOrigin()
    const egress = egressWith({ addressConcurrency: 1 })
    const port = origin.port
    const idle = await lease(egress, `http://a.test:${port}/`)
    await get(idle)
    const other = await lease(egress, `http://b.test:${port}/`)
    const waiting = lease(egress, `http://a.test:${port}/`)
    await turn()
    expect(egress.crowd).toEqual({ held: 1, waiting: 1, destinations: 1 })

    await other.destroy()

    expect(await waiting).toBe(idle)
  })

  it('connects anew when the idle connection closed while it waited', async () => {
    await using origin = await startOrigin()
    const egress = egressWith({ addressConcurrency: 1 })
    const idle = await lease(egress, `http://a.test:${origin.port}/`)
    await get(idle)
    const other = await lease(egress, `http://b.test:${origin.port}/`)
    const waiting = lease(egress, `http://a.test:${origin.port}/`)
    await turn()

    await idle.destroy()
    await other.destroy()

    expect((await waiting).reused).toBe(false)
    expect(egress.crowd).toEqual({ held: 1, waiting: 0, destinations: 1 })
  })

  it('counts an address whatever names and ports lead there', async () => {
    await using origin = await startOrigin()
    await using second = await startOrigin()
    const egress = egressWith({ addressConcurrency: 1, hostConcurrency: 9 })
    const one = await lease(egress, `http://a.test:${origin.port}/`)
    const waiting = [
      lease(egress, `http://b.test:${origin.port}/`, { tenant: 'b' }),
      lease(egress, `http://127.0.0.1:${second.port}/`),
    ]
    await turn()
    expect([origin.sockets.length, second.sockets.length]).toEqual([1, 0])

    await one.destroy()
    await (await waiting[0])?.destroy()
    await (await waiting[1])?.destroy()

    expect([origin.sockets.length, second.sockets.length]).toEqual([2, 1])
    expect(egress.crowd).toEqual(NOBODY)
  })

  it('takes an IPv4 address for one with its mapped spelling, and with that behind a translator', async () => {
    await using origin = await startOrigin()
    const guard = openGuard({ nat64: ['fd00:64::/96'] })
    const addresses = new Map([
      ['a.test', '::ffff:127.0.0.1'],
      ['b.test', 'fd00:64::7f00:1'],
      ['c.test', '127.0.0.1'],
    ])
    const clock = new FakeClock()
    const resolve = async (host: string) => leadingTo(addresses.get(host) ?? '127.0.0.1')()
    const egress = egressWith({ addressConcurrency: 1, guard, resolve, clock })
    await lease(egress, `http://c.test:${origin.port}/`)
    const late = ['a.test', 'b.test'].map((host) =>
      lease(egress, `http://${host}:${origin.port}/`).catch((e) => e.code),
    )
    await turn()
    expect(egress.crowd).toEqual({ held: 1, waiting: 2, destinations: 1 })
    clock.advance(5_000)

    expect(await Promise.all(late)).toEqual(['connect_timeout', 'connect_timeout'])
  })

  it('goes to another address of the name where there is a place', async () => {
    await using origin = await startOrigin()
    const egress = egressWith({ addressConcurrency: 1, resolve: leadingTo('127.0.0.2', '127.0.0.1') })
    await lease(egress, `http://127.0.0.2:${origin.port}/`).catch(() => undefined)

    const one = await lease(egress, `http://a.test:${origin.port}/`)

    expect(one.address).toBe('127.0.0.1')
    expect(egress.crowd).toEqual({ held: 1, waiting: 0, destinations: 1 })
  })

  it('waits for the others when the addresses with a place cannot be reached', async () => {
    await using origin = await startOrigin()
    // Nothing listens at the first.
    const egress = egressWith({ addressConcurrency: 1, resolve: leadingTo('127.0.0.9', '127.0.0.1') })
    const one = await lease(egress, `http://127.0.0.1:${origin.port}/`)
    const waiting = lease(egress, `http://a.test:${origin.port}/`)
    while (egress.crowd.waiting === 0) await turn()
    expect(egress.crowd).toEqual({ held: 1, waiting: 1, destinations: 1 })

    await one.destroy()

    expect((await waiting).address).toBe('127.0.0.1')
    expect(egress.crowd.held).toBe(1)
  })

  it('fails as ever when no address can be reached', async () => {
    const egress = egressWith({ addressConcurrency: 1, hostConcurrency: 1, resolve: leadingTo('127.0.0.9') })

    await expect(lease(egress, 'http://a.test:9/')).rejects.toMatchObject({ code: 'egress_denied' })
    await expect(lease(egress, 'http://a.test:1024/')).rejects.toMatchObject({ code: 'connect_failed' })
    expect(egress.crowd).toEqual(NOBODY)
  })

  it('waits no longer than connecting may take', async () => {
    await using origin = await startOrigin()
    const clock = new FakeClock()
    const egress = egressWith({ hostConcurrency: 1, clock, connectTimeoutMs: 3_000 })
    await lease(egress, origin.url())
    const late = lease(egress, origin.url()).catch((error: unknown) => error)
    await turn()
    clock.advance(3_000)

    expect(await late).toMatchObject({ code: 'connect_timeout' })
    expect(egress.crowd).toEqual({ held: 1, waiting: 0, destinations: 1 })
  })

  it('has what is left of that for the connection when it is let in', async () => {
    await using origin = await startOrigin()
    const clock = new FakeClock()
    let isMute = false
    const resolve = () => (isMute ? new Promise<never>(() => undefined) : leadingTo('127.0.0.1')())
    const egress = egressWith({ hostConcurrency: 1, clock, resolve })
    const one = await lease(egress, origin.url())
    isMute = true
    const late = lease(egress, origin.url(), { tenant: 'b' }).catch((error: unknown) => error)
    await turn()
    clock.advance(3_000)
    await one.destroy()
    while (egress.stats.dialling === 0) await turn()
    clock.advance(2_000)

    expect(await late).toMatchObject({ code: 'connect_timeout' })
    expect(egress.crowd).toEqual(NOBODY)
  })

  it('takes no connection from the idle ones when the abort came with the place', async () => {
    await using origin = await startOrigin()
    const egress = egressWith({ hostConcurrency: 1 })
    const one = await lease(egress, origin.url())
    const { signal, reason, stop } = stoppable()
    const waiting = lease(egress, origin.url(), { signal }).catch((error: unknown) => error)
    await turn()

    one.release()
    stop()

    expect(await waiting).toBe(reason)
    expect([egress.stats.idle, egress.crowd]).toEqual([1, NOBODY])
  })

  it('ends a wait at once with the abort', async () => {
    await using origin = await startOrigin()
    const egress = egressWith({ hostConcurrency: 1, addressConcurrency: 1 })
    const one = await lease(egress, `http://a.test:${origin.port}/`)
    for (const host of ['a.test', 'b.test']) {
      const { signal, reason, stop, listeners } = stoppable()
      const waiting = lease(egress, `http://${host}:${origin.port}/`, { signal }).catch((error: unknown) => error)
      while (egress.crowd.waiting === 0) await turn()

      stop()

      expect(await waiting).toBe(reason)
      expect([listeners(), egress.crowd]).toEqual([0, { held: 2, waiting: 0, destinations: 2 }])
    }
    await one.destroy()
    expect(egress.crowd).toEqual(NOBODY)
  })

  it('refuses what is denied without waiting for it', async () => {
    await using origin = await startOrigin()
    const egress = egressWith({ hostConcurrency: 1 })
    await lease(egress, origin.url())
    egress.guard.narrow('b', { deny: ['127.0.0.1'] })

    await expect(lease(egress, origin.url(), { tenant: 'b' })).rejects.toMatchObject({ code: 'egress_denied' })
  })

  it('judges under the policy of when it is let in', async () => {
    await using origin = await startOrigin()
    const egress = egressWith({ hostConcurrency: 1 })
    const one = await lease(egress, origin.url())
    const waiting = lease(egress, origin.url(), { tenant: 'b' }).catch((error: unknown) => error)
    await turn()
    egress.guard.narrow('b', { deny: ['127.0.0.1'] })

    await one.destroy()

    expect(await waiting).toMatchObject({ code: 'egress_denied' })
    expect(egress.crowd).toEqual(NOBODY)
  })

  it('has left one destination before it waits at the next, so that two who change places both get there', async () => {
    const hits: string[] = []
    const answer = (request: IncomingMessage, response: ServerResponse) => {
      hits.push(`${request.headers.host?.split('.')[0]}${request.url}`)
      const [, ...rest] = (request.url ?? '').split('/')
      const next = rest.filter((part) => part !== '')
      if (next.length === 0) return void response.end('there')
      const location = `http://${next[0]}.test:${request.socket.localPort}/${next.slice(1).join('/')}`
      setImmediate(() => response.writeHead(302, { location }).end())
    }
    await using server = createServer(answer).listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as { port: number }
    const egress = egressWith({ hostConcurrency: 1, addressConcurrency: 2 })
    const kind = fetchKind({ egress, limits: DEFAULT_FETCH_LIMITS })
    const fetch = (url: string) => kind.run({ kind: 'fetch', ...kind.spec.parse({ url }) } as never, attempt())

    const results = await Promise.all([
      fetch(`http://a.test:${port}/b/a/b`),
      fetch(`http://b.test:${port}/a/b/a`),
      fetch(`http://a.test:${port}/a/a`),
    ])

    expect(results).toEqual(Array(3).fill(expect.objectContaining({ status: 200, body: 'there' })))
    expect(hits.length).toBe(11)
    expect(egress.crowd).toEqual(NOBODY)
    server.closeAllConnections()
  })
})

describe('Egress of a tenant that is deleted', () => {
  it("closes its idle connections at once, and nobody else's", async () => {
    await using origin = await startOrigin()
    const egress = new Egress({ guard: openGuard() })
    const [gone, stays] = [
      await egress.lease('a', new URL(origin.url()), never),
      await egress.lease('b', new URL(origin.url()), never),
    ]
    await get(gone)
    await get(stays)
    expect(egress.stats.idle).toBe(2)

    egress.forget('a')
    while (egress.stats.open > 1) await turn()
    const newcomer = await egress.lease('a', new URL(origin.url()), never)

    expect([newcomer.reused, gone.usable]).toEqual([false, false])
    expect((await egress.lease('b', new URL(origin.url()), never)).reused).toBe(true)
    await egress.close()
  })

  it('keeps none of the connections that it had lent out', async () => {
    await using origin = await startOrigin()
    const egress = new Egress({ guard: openGuard() })
    const url = new URL(origin.url())
    const leased = await egress.lease('a', url, never)

    egress.forget('a')
    expect(await get(leased)).toBe(200)

    expect(egress.stats.idle).toBe(0)
    expect((await egress.lease('a', url, never)).reused).toBe(false)
    await egress.close()
  })

  it('gives up what it was connecting to and waiting for', async () => {
    await using origin = await startOrigin()
    const egress = new Egress({
      guard: openGuard(),
      hostConcurrency: 1,
      resolve: (host, signal) =>
        host === 'mute.test'
          ? new Promise((_, reject) => signal?.addEventListener('abort', () => reject(new Error('given up'))))
          : leadingTo('127.0.0.1')(),
    })
    const url = new URL(origin.url())
    const other = await egress.lease('b', url, never)
    const code = (error: { code?: string }) => error.code
    const dialling = egress.lease('a', new URL('http://mute.test/'), never).catch(code)
    const waiting = egress.lease('a', url, never).catch(code)
    await turn()

    egress.forget('a')

    expect(await Promise.all([dialling, waiting])).toEqual(['connection_lost', 'connection_lost'])
    expect(egress.crowd).toEqual({ held: 1, waiting: 0, destinations: 1 })
    expect(other.usable).toBe(true)
    await egress.close()
  })
})

/** Send a GET and resolve with its status when it is complete; the connection is released. */
function get(connection: Connection, path = '/ok'): Promise<number> {
  return new Promise((resolve, reject) => {
    let status = 0
    connection.dispatch(
      { method: 'GET', path },
      {
        onRequestStart: () => undefined,
        onResponseStart(_controller, code) {
          status = code
        },
        onResponseData: () => undefined,
        onResponseEnd() {
          connection.release()
          resolve(status)
        },
        onResponseError: (_controller, error) => reject(error),
      },
    )
  })
}
