import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import type { Connection } from '../../src/egress/connection.ts'
import { Egress } from '../../src/egress/egress.ts'
import { EgressError } from '../../src/egress/errors.ts'
import { Guard } from '../../src/egress/guard/guard.ts'
import { ManualClock, stoppable } from '../jobs/attempt.ts'
import { openGuard } from '../support/guard.ts'
import { startOrigin } from '../support/origin.ts'
import { EXPIRED, LOCAL, OTHER_NAME, UNKNOWN_AUTHORITY } from './certificate.ts'

const never = new AbortController().signal

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

/** A port of 127.0.0.1 on which nothing listens. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** A TCP server that accepts and says nothing. */
async function startMute(): Promise<Server & { port: number }> {
  const server = createServer((socket) => socket.on('error', () => undefined)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return Object.assign(server, { port: (server.address() as AddressInfo).port })
}

describe('Egress', () => {
  const closing: { close(): unknown }[] = []
  afterEach(async () => {
    for (const thing of closing.splice(0)) await thing.close()
  })
  function egressWith(options: ConstructorParameters<typeof Egress>[0] = {}): Egress {
    const egress = new Egress({ guard: openGuard(), ...options })
    closing.push(egress)
    return egress
  }

  it('uses a connection again for the same tenant and origin', async () => {
    await using origin = await startOrigin()
    const egress = egressWith()
    const url = new URL(origin.url())

    for (let n = 0; n < 20; n++) expect(await get(await egress.lease('a', url, never))).toBe(200)

    expect(origin.sockets.length).toBe(1)
    expect(egress.stats).toEqual({ open: 1, idle: 1, pools: 1, dialling: 0 })
  })

  it('never gives a tenant a connection of another', async () => {
    await using origin = await startOrigin()
    const egress = egressWith()
    const url = new URL(origin.url())

    await get(await egress.lease('a', url, never))
    const other = await egress.lease('b', url, never)

    expect(other.reused).toBe(false)
    await get(other)
    expect(egress.stats.pools).toBe(2)
  })

  it.each([0, 1])(
    'finds no connection again that was opened under other rules, with hosts capped at %i',
    async (cap) => {
      await using origin = await startOrigin()
      const egress = egressWith({ hostConcurrency: cap })
      const url = new URL(origin.url())
      await get(await egress.lease('a', url, never))

      egress.guard.narrow('a', { deny: ['192.0.2.1'] })
      const narrowed = await egress.lease('a', url, never)
      await get(narrowed)
      egress.guard.narrow('a', undefined)

      expect(narrowed.reused).toBe(false)
      expect((await egress.lease('a', url, never)).reused).toBe(true)
    },
  )

  it('never gives a connection to two attempts at once', async () => {
    await using origin = await startOrigin()
    const egress = egressWith()
    const url = new URL(origin.url())
    await get(await egress.lease('a', url, never))

    const [one, two] = await Promise.all([egress.lease('a', url, never), egress.lease('a', url, never)])

    expect(one).not.toBe(two)
    expect([one.reused, two.reused]).toEqual([true, false])
  })

  it('opens a new connection when a fresh one is asked for', async () => {
    await using origin = await startOrigin()
    const egress = egressWith()
    const url = new URL(origin.url())
    await get(await egress.lease('a', url, never))

    expect((await egress.lease('a', url, never, { fresh: true })).reused).toBe(false)
  })

  it('keeps no more idle connections, and so no more pools, than allowed', async () => {
    await using origin = await startOrigin()
    const egress = egressWith({ maxIdle: 3 })
    const url = new URL(origin.url())

    for (let n = 0; n < 10; n++) await get(await egress.lease(`tenant ${n}`, url, never))

    expect(egress.stats).toMatchObject({ idle: 3, pools: 3 })
    expect((await egress.lease('tenant 9', url, never)).reused).toBe(true)
    expect((await egress.lease('tenant 0', url, never)).reused).toBe(false)
  })

  it('drops the pool that was used longest ago first', async () => {
    await using origin = await startOrigin()
    const egress = egressWith({ maxIdle: 2 })
    const url = new URL(origin.url())

    for (const tenant of ['a', 'b', 'a', 'c']) await get(await egress.lease(tenant, url, never))

    expect((await egress.lease('a', url, never)).reused).toBe(true)
    expect((await egress.lease('b', url, never)).reused).toBe(false)
  })

  it('forgets a connection that the server closes, and its pool', async () => {
    await using origin = await startOrigin()
    const egress = egressWith()
    const connection = await egress.lease('a', new URL(origin.url()), never)
    await get(connection)

    origin.dropIdle()
    await origin.whenIdle()
    await connection.destroy()

    expect(egress.stats).toEqual({ open: 0, idle: 0, pools: 0, dialling: 0 })
  })

  it('closes an idle connection after its time, whatever the server offers', async () => {
    await using origin = await startOrigin()
    const egress = egressWith({ idleMs: 20 })

    await get(await egress.lease('a', new URL(origin.url('/ok')), never), '/ok?h.keep-alive=timeout%3D600')
    await origin.whenIdle()

    expect(origin.openSockets).toBe(0)
  })

  it('does not keep a connection that the server said it closes', async () => {
    await using origin = await startOrigin()
    const egress = egressWith()
    const url = new URL(origin.url())

    await get(await egress.lease('a', url, never), '/ok?close=1')
    const next = await egress.lease('a', url, never)

    expect(next.reused).toBe(false)
  })

  it('resolves destroy when the socket has closed, for every caller', async () => {
    await using origin = await startOrigin()
    const egress = egressWith()
    const connection = await egress.lease('a', new URL(origin.url()), never)

    const destroyed = Promise.all([connection.destroy(), connection.destroy()])
    expect(egress.stats.open).toBe(1)
    await destroyed

    expect(egress.stats.open).toBe(0)
    await connection.destroy()
  })

  it('takes a connection back once, and never after it was destroyed', async () => {
    await using origin = await startOrigin()
    const egress = egressWith()
    const url = new URL(origin.url())
    const [kept, destroyed] = await Promise.all([egress.lease('a', url, never), egress.lease('a', url, never)])
    await Promise.all([get(kept), get(destroyed)])

    kept.release()
    const again = await egress.lease('a', url, never)
    void again.destroy()
    again.release()

    expect(egress.stats.idle).toBe(1)
  })

  it('does not keep a connection that closed before it was given back', async () => {
    await using origin = await startOrigin()
    const egress = egressWith()
    const connection = await egress.lease('a', new URL(origin.url()), never)
    await expect(get(connection, '/reset')).rejects.toThrow()
    while (egress.stats.open > 0) await new Promise((resolve) => setImmediate(resolve))

    connection.release()

    expect(egress.stats).toMatchObject({ idle: 0, pools: 0 })
  })

  it('fails what was dispatched on a connection that is destroyed', async () => {
    await using origin = await startOrigin()
    const connection = await egressWith().lease('a', new URL(origin.url()), never)
    const answer = get(connection, '/hang')

    const failed = expect(answer).rejects.toThrow()
    await origin.whenHit('/hang')
    await connection.destroy()

    await failed
  })

  it('closes leased, idle and half-open connections on close, and opens no more', async () => {
    await using origin = await startOrigin()
    const mute = await startMute()
    closing.push(mute)
    const egress = new Egress({ guard: openGuard() })
    const url = new URL(origin.url())
    const leased = await egress.lease('a', url, never)
    await get(await egress.lease('b', url, never))
    const answer = expect(get(leased, '/hang')).rejects.toThrow()
    const dialling = expect(egress.lease('a', new URL(`https://127.0.0.1:${mute.port}`), never)).rejects.toThrow(
      EgressError,
    )

    await egress.close()
    await egress.close()

    expect(egress.stats).toEqual({ open: 0, idle: 0, pools: 0, dialling: 0 })
    await Promise.all([answer, dialling])
    await expect(egress.lease('a', url, never)).rejects.toMatchObject({ code: 'connection_lost' })
  })

  it('closes a connection that comes to be while it closes', async () => {
    await using origin = await startOrigin()
    let looks = 0
    const now = () => {
      // The second look is for the time that the finished connection took.
      if (++looks === 2) void egress.close()
      return systemClock.now()
    }
    const egress = egressWith({ clock: { ...systemClock, now } })

    await expect(egress.lease('a', new URL(origin.url()), never)).rejects.toMatchObject({ code: 'connection_lost' })

    expect([looks, egress.stats.open]).toEqual([2, 0])
  })

  describe('connecting', () => {
    it('says connect_failed when nobody listens', async () => {
      const url = new URL(`http://127.0.0.1:${await closedPort()}`)

      await expect(egressWith().lease('a', url, never)).rejects.toMatchObject({
        code: 'connect_failed',
        reason: 'refused',
        message: 'The host refused the connection.',
      })
    })

    it('says dns_failed when the name has no address', async () => {
      const resolve = () => Promise.reject(new Error('queryA ENOTFOUND 10.0.0.1'))

      const error = await egressWith({ resolve })
        .lease('a', new URL('http://nowhere.test'), never)
        .catch((thrown: unknown) => thrown)

      expect(error).toMatchObject({ code: 'dns_failed', reason: 'no_answer' })
      expect(String(error)).not.toContain('10.0.0.1')
    })

    it('says dns_failed when the answer is empty', async () => {
      const resolve = async () => []

      await expect(egressWith({ resolve }).lease('a', new URL('http://empty.test'), never)).rejects.toMatchObject({
        code: 'dns_failed',
        reason: 'not_found',
      })
    })

    it('goes to the addresses that were judged, and to the next when the first refuses', async () => {
      await using origin = await startOrigin()
      const denied = createServer((socket) => socket.destroy()).listen(origin.port, '127.0.0.3')
      closing.push(denied)
      await once(denied, 'listening')
      let seen = 0
      denied.on('connection', () => seen++)
      const egress = egressWith({
        resolve: async () => ['127.0.0.3', '127.0.0.2', '127.0.0.1'].map((address) => ({ address, family: 4 })),
        guard: openGuard({ deny: ['127.0.0.3'] }),
      })

      expect(await get(await egress.lease('a', new URL(`http://name.test:${origin.port}`), never))).toBe(200)

      expect(seen).toBe(0)
    })

    it('is denied what the guard denies, before anything is resolved or opened', async () => {
      const told: unknown[] = []
      const resolve = async () => {
        throw new Error('asked for the name')
      }
      const egress = egressWith({ resolve, guard: new Guard({}, (facts) => told.push(facts)) })

      for (const url of ['http://127.0.0.1:8080', 'http://localhost:8080', 'http://[::1]:8080'])
        await expect(egress.lease('a', new URL(url), never)).rejects.toMatchObject({ code: 'egress_denied' })

      expect(told).toHaveLength(3)
      expect(told[0]).toMatchObject({ tenantId: 'a', kind: 'address' })
      expect(egress.stats).toEqual({ open: 0, idle: 0, pools: 0, dialling: 0 })
    })

    it('reaches IPv6 loopback by its literal address', async () => {
      const server = createServer((socket) => socket.end('HTTP/1.1 204 No Content\r\n\r\n')).listen(0, '::1')
      closing.push(server)
      await once(server, 'listening')
      const { port } = server.address() as AddressInfo

      expect(await get(await egressWith().lease('a', new URL(`http://[::1]:${port}`), never))).toBe(204)
    })

    it('says connect_timeout when DNS takes too long, and cancels its timer otherwise', async () => {
      await using origin = await startOrigin()
      const clock = new ManualClock()
      const slow = egressWith({ clock, resolve: () => new Promise(() => undefined) })
      const quick = egressWith({ clock })

      const late = expect(slow.lease('a', new URL('http://slow.test'), never)).rejects.toMatchObject({
        code: 'connect_timeout',
      })
      clock.advance(4_999)
      expect(slow.stats.dialling).toBe(1)
      clock.advance(1)
      await late
      await quick.lease('a', new URL(origin.url()), never)

      expect(clock.armed).toBe(0)
    })

    it('says connect_timeout when TLS takes too long, and closes the socket', async () => {
      const mute = await startMute()
      closing.push(mute)
      const clock = new ManualClock()
      const accepted = once(mute, 'connection')

      const late = expect(
        egressWith({ clock }).lease('a', new URL(`https://127.0.0.1:${mute.port}`), never),
      ).rejects.toMatchObject({ code: 'connect_timeout' })
      const [socket] = await accepted
      const closed = once(socket, 'close')
      socket.resume()
      clock.advance(5_000)

      await late
      await closed
    })

    it.each(['http', 'https'])('ends an abort at once while an %s connection is being opened', async (scheme) => {
      const mute = await startMute()
      closing.push(mute)
      const { signal, reason, stop, listeners } = stoppable()
      // For http the name lookup hangs, for https the handshake.
      const resolve = scheme === 'http' ? () => new Promise<never>(() => undefined) : undefined
      const egress = egressWith({ resolve })
      const accepted = scheme === 'https' && once(mute, 'connection')

      const lease = egress.lease('a', new URL(`${scheme}://127.0.0.1:${mute.port}`), signal)
      const ended = expect(lease).rejects.toBe(reason)
      await accepted
      stop()
      await ended

      expect(listeners()).toBe(0)
      expect(egress.stats).toMatchObject({ open: 0, dialling: 0 })
    })

    it('opens nothing for a signal that has aborted', async () => {
      await using origin = await startOrigin()
      const reason = new Error('stopped')

      await expect(egressWith().lease('a', new URL(origin.url()), AbortSignal.abort(reason))).rejects.toBe(reason)

      expect(origin.sockets.length).toBe(0)
    })

    it('leaves no listener on the signal once it is connected', async () => {
      await using origin = await startOrigin()
      const { signal, listeners } = stoppable()

      await egressWith().lease('a', new URL(origin.url()), signal)

      expect(listeners()).toBe(0)
    })

    it('measures the connection on its clock', async () => {
      await using origin = await startOrigin()
      const before = systemClock.now()

      const { connectMs } = await egressWith().lease('a', new URL(origin.url()), never)

      expect(connectMs).toBeGreaterThan(0)
      expect(connectMs).toBeLessThanOrEqual(systemClock.now() - before)
    })
  })

  describe('TLS', () => {
    it('speaks to a server whose certificate it can check, by name and by address', async () => {
      await using origin = await startOrigin({ tls: LOCAL })
      // Not every system resolver knows the name with its dot.
      const resolve = async () => [{ address: '127.0.0.1', family: 4 }]
      const egress = egressWith({ ca: [LOCAL.cert], resolve })

      for (const host of ['127.0.0.1', 'localhost', 'localhost.']) {
        expect(await get(await egress.lease('a', new URL(`https://${host}:${origin.port}`), never))).toBe(200)
      }
    })

    it('uses a connection again, and resolves destroy when it has closed', async () => {
      await using origin = await startOrigin({ tls: LOCAL })
      const egress = egressWith({ ca: [LOCAL.cert] })
      const url = new URL(origin.url())
      await get(await egress.lease('a', url, never))

      const again = await egress.lease('a', url, never)
      expect(again.reused).toBe(true)
      const destroyed = again.destroy()
      expect(egress.stats.open).toBe(1)
      await destroyed

      expect(egress.stats.open).toBe(0)
    })

    it.each([
      ['self_signed', LOCAL, [], "The server's certificate is self-signed, or signed by an authority of its own."],
      ['wrong_host', OTHER_NAME, [OTHER_NAME.cert], "The server's certificate is for another host."],
      ['certificate_expired', EXPIRED, [EXPIRED.cert], "The server's certificate has expired."],
      ['untrusted', UNKNOWN_AUTHORITY, [], "The server's certificate is not trusted."],
    ])('says tls_failed and %s for such a certificate', async (reason, tls, ca, message) => {
      await using origin = await startOrigin({ tls })

      await expect(egressWith({ ca }).lease('a', new URL(origin.url()), never)).rejects.toMatchObject({
        code: 'tls_failed',
        reason,
        message,
      })
    })

    it('says tls_failed when the server speaks something else, or hangs up', async () => {
      await using origin = await startOrigin()
      const rude = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1')
      closing.push(rude)
      await once(rude, 'listening')

      for (const [port, reason] of [
        [origin.port, 'not_tls'],
        [(rude.address() as AddressInfo).port, 'other'],
      ]) {
        await expect(egressWith().lease('a', new URL(`https://127.0.0.1:${port}`), never)).rejects.toMatchObject({
          code: 'tls_failed',
          reason,
        })
      }
    })

    it('refuses a server that knows nothing newer than TLS 1.1', async () => {
      const { createServer: createTlsServer } = await import('node:tls')
      const old = createTlsServer({
        ...LOCAL,
        maxVersion: 'TLSv1.1',
        minVersion: 'TLSv1',
        ciphers: 'DEFAULT@SECLEVEL=0',
      }).listen(0, '127.0.0.1')
      closing.push(old)
      await once(old, 'listening')
      const url = new URL(`https://127.0.0.1:${(old.address() as AddressInfo).port}`)

      await expect(egressWith({ ca: [LOCAL.cert] }).lease('a', url, never)).rejects.toMatchObject({
        code: 'tls_failed',
        reason: 'other',
      })
    })
  })

  it('survives unsolicited bytes on an idle connection, and does not use it again', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n'))
    }).listen(0, '127.0.0.1')
    closing.push(server)
    await once(server, 'listening')
    const egress = egressWith()
    const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)

    const connection = await egress.lease('a', url, never)
    await get(connection)
    await connection.destroy()

    expect((await egress.lease('a', url, never)).reused).toBe(false)
  })
})
