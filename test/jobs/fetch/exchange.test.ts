import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import type { Dispatcher } from 'undici'
import { describe, expect, it, vi } from 'vitest'
import type { Connection } from '../../../src/egress/connection.ts'
import { BodyReader } from '../../../src/jobs/fetch/body-reader.ts'
import { Exchange, type ExchangeOptions, StaleConnectionError } from '../../../src/jobs/fetch/exchange.ts'
import { DEFAULT_FETCH_LIMITS } from '../../../src/jobs/fetch/limits.ts'
import type { HopRequest } from '../../../src/jobs/fetch/request.ts'
import { ManualClock, stoppable } from '../attempt.ts'

/** A connection whose network is the test: what was dispatched on it, and a close that the test completes. */
class FakeConnection {
  readonly reused: boolean
  broken = false
  readonly closed = Promise.withResolvers<void>()
  handler: Required<Dispatcher.DispatchHandler> | undefined
  released = 0
  destroyed = 0

  constructor({ reused }: { reused: boolean }) {
    this.reused = reused
  }

  dispatch(_options: unknown, handler: Required<Dispatcher.DispatchHandler>): void {
    this.handler = handler
  }

  release(): void {
    this.released++
  }

  destroy(): Promise<void> {
    this.destroyed++
    return this.closed.promise
  }
}

const controller = {
  rawHeaders: [],
  pause: () => undefined,
  resume: () => undefined,
} as unknown as Dispatcher.DispatchController
const stale = new Error('other side closed')

function start({
  reused = false,
  method = 'GET' as HopRequest['method'],
  ...own
}: Partial<ExchangeOptions> & { reused?: boolean; method?: HopRequest['method'] } = {}) {
  const connection = new FakeConnection({ reused })
  const clock = new ManualClock()
  const exchange = new Exchange({
    // It has all that an exchange uses of a connection.
    connection: connection as unknown as Connection,
    request: { url: new URL('http://a.test/'), method, headers: new Map(), body: null },
    signal: new AbortController().signal,
    clock,
    limits: DEFAULT_FETCH_LIMITS,
    budget: { left: 100 },
    maxBytes: 100,
    wantsBody: true,
    followsRedirects: false,
    ...own,
  })
  const outcome: { state: string; value?: unknown } = { state: 'pending' }
  exchange.done.then(
    (value) => Object.assign(outcome, { state: 'resolved', value }),
    (value: unknown) => Object.assign(outcome, { state: 'rejected', value }),
  )
  // Dispatched by the constructor.
  const handler = connection.handler as Required<Dispatcher.DispatchHandler>
  return { connection, clock, exchange, outcome, handler }
}

const turn = () => new Promise(setImmediate)

describe('Exchange', () => {
  it('resolves with the response, and gives the connection back once', async () => {
    const { connection, clock, exchange, handler } = start()

    handler.onRequestStart(controller, {})
    handler.onResponseStart(controller, 103, {}, '')
    expect(clock.armed).toBe(1)
    handler.onResponseStart(controller, 200, { a: 'b' }, '')
    handler.onResponseData(controller, Buffer.from('hi'))
    handler.onResponseEnd(controller, {})

    expect(await exchange.done).toEqual({
      status: 200,
      headers: { a: 'b' },
      body: Buffer.from('hi'),
      firstByteAt: 1_000,
    })
    expect([connection.released, connection.destroyed, clock.armed]).toEqual([1, 0, 0])
  })

  it.each([
    ['waiting', 0],
    ['reading', 1],
  ])('rejects with the reason of an abort while %s, and not before the socket has closed', async (_state, headers) => {
    const { signal, reason, stop, listeners } = stoppable()
    const { connection, clock, outcome, handler } = start({ signal })
    handler.onRequestStart(controller, {})
    if (headers) handler.onResponseStart(controller, 200, {}, '')

    stop()
    await turn()
    expect(outcome.state).toBe('pending')
    connection.closed.resolve()
    await turn()

    expect(outcome).toEqual({ state: 'rejected', value: reason })
    expect([listeners(), clock.armed, connection.destroyed]).toEqual([0, 0, 1])
  })

  it('dispatches nothing for a signal that has aborted', async () => {
    const { connection, outcome } = start({ signal: AbortSignal.abort('why') })
    connection.closed.resolve()
    await turn()

    expect([connection.handler, outcome]).toEqual([undefined, { state: 'rejected', value: 'why' }])
  })

  it('does not fail before the socket has closed either', async () => {
    const { connection, outcome, handler } = start()
    handler.onResponseError(controller, stale)

    await turn()
    expect(outcome.state).toBe('pending')
    connection.closed.resolve()
    await turn()

    expect(outcome).toMatchObject({ state: 'rejected', value: { code: 'connection_lost' } })
  })

  it('does not resolve before a socket that it gave up has closed', async () => {
    const { connection, outcome, handler } = start({ wantsBody: false })
    handler.onResponseStart(controller, 200, {}, '')

    await turn()
    expect([outcome.state, connection.destroyed]).toEqual(['pending', 1])
    connection.closed.resolve()
    await turn()

    expect(outcome).toMatchObject({ state: 'resolved', value: { body: null } })
  })

  it('keeps a connection whose whole response came in one read, though nobody wanted the body', async () => {
    const { connection, exchange, handler } = start({ wantsBody: false })
    handler.onResponseStart(controller, 200, {}, '')
    handler.onResponseData(controller, Buffer.alloc(50))
    handler.onResponseEnd(controller, {})

    expect((await exchange.done).body).toBe(null)
    expect([connection.released, connection.destroyed]).toEqual([1, 0])
  })

  it('ignores whatever comes after its end', async () => {
    const { connection, outcome, handler } = start()
    connection.closed.resolve()
    handler.onResponseError(controller, stale)
    handler.onResponseStart(controller, 200, {}, '')
    handler.onResponseData(controller, Buffer.alloc(1_000))
    handler.onResponseEnd(controller, {})
    handler.onResponseError(controller, new Error('again'))
    await turn()

    expect([connection.destroyed, connection.released, outcome.state]).toEqual([1, 0, 'rejected'])
  })

  it('destroys the decoder and rejects at once when it is stopped after the last byte', async () => {
    const { signal, reason, stop } = stoppable()
    const { connection, outcome, handler } = start({ signal })
    handler.onResponseStart(controller, 200, { 'content-encoding': 'gzip' }, '')
    handler.onResponseData(controller, Buffer.from('1f8b', 'hex'))
    handler.onResponseEnd(controller, {})

    stop()
    await turn()

    expect(outcome).toEqual({ state: 'rejected', value: reason })
    expect([connection.released, connection.destroyed]).toEqual([1, 0])
  })

  it('makes the server wait while the decoder is behind', async () => {
    const calls: string[] = []
    const slow = { ...controller, pause: () => calls.push('pause'), resume: () => calls.push('resume') }
    const { exchange, handler } = start({ budget: { left: 1 << 21 }, maxBytes: 1 << 21 })
    const coded = gzipSync(randomBytes(1 << 20))

    handler.onRequestStart(slow as never, {})
    handler.onResponseStart(slow as never, 200, { 'content-encoding': 'gzip' }, '')
    handler.onResponseData(slow as never, coded)
    expect(calls).toEqual(['pause'])
    while (calls.length < 2) await turn()
    handler.onResponseEnd(slow as never, {})

    expect((await exchange.done).body?.length).toBe(1 << 20)
    expect(calls).toEqual(['pause', 'resume'])
  })

  it('lets go of its reader when it fails', () => {
    const destroy = vi.spyOn(BodyReader.prototype, 'destroy')
    const { handler } = start()
    handler.onResponseStart(controller, 200, { 'content-encoding': 'gzip' }, '')

    handler.onResponseError(controller, stale)

    expect(destroy).toHaveBeenCalledOnce()
    destroy.mockRestore()
  })

  it('is lost when the connection broke where only its end delimits the body', async () => {
    const { connection, outcome, handler } = start()
    connection.closed.resolve()
    connection.broken = true
    handler.onResponseStart(controller, 200, {}, '')
    handler.onResponseEnd(controller, {})
    await turn()

    expect(outcome).toMatchObject({ state: 'rejected', value: { code: 'connection_lost' } })
    expect(connection.released).toBe(0)
  })

  describe('on a connection that was closed by the server', () => {
    const methods = ['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'POST', 'PATCH'] as const
    const lost = async (
      options: { reused: boolean; method: HopRequest['method'] },
      before: (handler: Required<Dispatcher.DispatchHandler>) => void,
    ) => {
      const { connection, outcome, handler } = start(options)
      connection.closed.resolve()
      before(handler)
      handler.onResponseError(controller, stale)
      await turn()
      return outcome.value instanceof StaleConnectionError
    }

    it.each(methods)('may be followed by another when it was reused and no byte of a %s was sent', async (method) => {
      expect(await lost({ reused: true, method }, () => undefined)).toBe(true)
      expect(await lost({ reused: false, method }, () => undefined)).toBe(false)
    })

    it.each(methods)('may be followed by another after a %s only if it is idempotent', async (method) => {
      const sent = (handler: Required<Dispatcher.DispatchHandler>) => handler.onRequestStart(controller, {})

      expect(await lost({ reused: true, method }, sent)).toBe(method !== 'POST' && method !== 'PATCH')
      expect(await lost({ reused: false, method }, sent)).toBe(false)
    })

    it('may not be followed by another once an answer has begun', async () => {
      expect(await lost({ reused: true, method: 'GET' }, (handler) => handler.onResponseStarted())).toBe(false)
    })
  })
})
