import { once } from 'node:events'
import { connect } from 'node:net'
import { request } from 'undici'
import { describe, expect, it } from 'vitest'
import { startOrigin } from './origin.ts'

describe('the test origin', () => {
  it('answers as its URL says', async () => {
    await using origin = await startOrigin()

    const response = await request(origin.url('/ok?status=201&body=hi&h.x-a=1&ms=1'))

    expect([response.statusCode, response.headers['x-a'], await response.body.text()]).toEqual([201, '1', 'hi'])
    expect((await request(origin.url('/nothing'))).statusCode).toBe(404)
  })

  it('remembers what it was asked', async () => {
    await using origin = await startOrigin()

    const { body } = await request(origin.url('/echo'), { method: 'POST', body: 'b', headers: { 'x-a': '1' } })

    expect(await body.json()).toMatchObject({ method: 'POST', path: '/echo', headers: { 'x-a': '1' }, body: 'b' })
    expect(origin.hits[0]).toMatchObject({ method: 'POST', path: '/echo', body: Buffer.from('b') })
    expect([origin.hitsOf('/echo'), origin.hitsOf('/ok')]).toEqual([1, 0])
  })

  it('counts who is there at once, in all and by label', async () => {
    await using origin = await startOrigin()
    const all = ['/hold/a', '/hold/b', '/hold/c?k=mine'].map((path) => request(origin.url(path)))
    await Promise.all(['/hold/a', '/hold/b', '/hold/c'].map((path) => origin.whenHit(path)))
    expect(origin.concurrency).toEqual({ current: 3, max: 3 })

    for (const path of ['/hold/a', '/hold/b', '/hold/c']) origin.release(path)
    await Promise.all(all.map(async (response) => (await response).body.text()))
    await request(origin.url('/ok')).then(({ body }) => body.text())

    expect(origin.concurrencyOf('hold').max).toBe(2)
    expect(origin.concurrencyOf('mine').max).toBe(1)
    expect(origin.concurrency.max).toBe(3)
  })

  it('lets a request go on that comes after its release', async () => {
    await using origin = await startOrigin()
    origin.release('/hold/a')

    expect(await (await request(origin.url('/hold/a'))).body.text()).toBe('ok')
  })

  it('tells when a client hangs up, and when sockets open and close', async () => {
    await using origin = await startOrigin()
    const socket = connect(origin.port, '127.0.0.1')
    socket.write('GET /hang HTTP/1.1\r\nhost: a\r\n\r\n')
    await origin.whenHit('/hang')
    expect([origin.openSockets, origin.sockets[0]?.closedAt]).toEqual([1, null])

    socket.destroy()
    await origin.whenClosed('/hang')
    await origin.whenIdle()

    expect(origin.sockets).toEqual([{ openedAt: expect.any(Number), closedAt: expect.any(Number), requests: 1 }])
    expect(origin.concurrency.current).toBe(0)
  })

  it('waits for the count that it was asked for', async () => {
    await using origin = await startOrigin()
    const second = origin.whenHit('/ok', 2)

    await (await request(origin.url('/ok'))).body.text()
    await (await request(origin.url('/ok'))).body.text()
    await second

    expect(origin.hitsOf('/ok')).toBe(2)
  })

  it('drips, hints, floods', async () => {
    await using origin = await startOrigin()

    expect(await (await request(origin.url('/drip?chunks=4&size=2'))).body.text()).toBe('xxxxxxxx')
    expect((await (await request(origin.url('/big?bytes=70000'))).body.arrayBuffer()).byteLength).toBe(70_000)
    origin.release('/hints')
    expect(await (await request(origin.url('/hints'))).body.text()).toBe('ok')
  })

  it('closes what is open when it is disposed of, twice if need be', async () => {
    const origin = await startOrigin()
    const socket = connect(origin.port, '127.0.0.1')
    await once(socket, 'connect')
    socket.write('GET /hang HTTP/1.1\r\nhost: a\r\n\r\n')
    await origin.whenHit('/hang')
    const closed = once(
      socket.on('error', () => undefined),
      'close',
    )

    await origin[Symbol.asyncDispose]()
    await origin[Symbol.asyncDispose]()
    await closed

    expect(origin.openSockets).toBe(0)
  })
})
