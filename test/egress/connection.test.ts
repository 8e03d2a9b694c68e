import { Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { Connection, type ConnectionOptions } from '../../src/egress/connection.ts'
import { Crowd, Visit } from '../../src/egress/visit.ts'

function connectionOn(socket: Socket, raw: Socket, lender: Partial<ConnectionOptions['lender']> = {}): Connection {
  return new Connection({
    socket,
    raw,
    connectMs: 1,
    key: 'key',
    tenantId: 'a',
    address: '192.0.2.1',
    origin: 'http://a.test',
    idleMs: 4_000,
    maxHeaderBytes: 16_384,
    lender: { returned: () => undefined, closed: () => undefined, ...lender },
  })
}

const turn = () => new Promise(setImmediate)

describe('Connection', () => {
  it('is closed when the TLS socket and the TCP socket under it both are', async () => {
    const [socket, raw] = [new Socket(), new Socket()]
    const events: string[] = []
    const connection = connectionOn(socket, raw, { closed: () => events.push('lender') })

    void connection.destroy().then(() => events.push('destroyed'))
    await turn()
    expect(events).toEqual([])
    raw.destroy()
    await turn()

    expect(events).toEqual(['lender', 'destroyed'])
  })

  it('is closed from the start when its socket closed while it was handed over', async () => {
    const socket = new Socket()
    socket.destroy()
    await turn()

    await connectionOn(socket, socket).destroy()
  })

  it.each([
    ['before it was occupied', true],
    ['afterwards', false],
  ])('leaves its places when the socket closed %s', async (_, isBefore) => {
    const socket = new Socket()
    const connection = connectionOn(socket, socket)
    const crowd = new Crowd({ hostConcurrency: 1, addressConcurrency: 0 })
    const visit = new Visit({ crowd, signal: new AbortController().signal, clock: systemClock, timeoutMs: 1 })
    await visit.atHost('a.test:80')

    if (isBefore) socket.destroy()
    await turn()
    connection.occupy(visit)
    if (!isBefore) {
      expect(crowd.hosts?.stats.held).toBe(1)
      socket.destroy()
      await turn()
    }

    expect(crowd.hosts?.stats.held).toBe(0)
  })

  it('survives an error of its socket', async () => {
    const socket = new Socket()
    const connection = connectionOn(socket, socket)

    socket.destroy(new Error('reset'))

    await connection.destroy()
  })

  it('opens no other socket when its own is gone', async () => {
    const socket = new Socket()
    const connection = connectionOn(socket, socket)
    socket.destroy()
    await turn()

    const error = await new Promise((resolve) => {
      const noop = () => undefined
      const onResponseError = (_controller: unknown, thrown: Error) => resolve(thrown)
      connection.dispatch(
        { method: 'GET', path: '/' },
        { onRequestStart: noop, onResponseStart: noop, onResponseData: noop, onResponseEnd: noop, onResponseError },
      )
    })

    expect(error).toBeInstanceOf(Error)
    await connection.destroy()
  })
})
