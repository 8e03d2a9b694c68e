import { EventEmitter } from 'node:events'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { describe, expect, it } from 'vitest'
import { TooManyObserversError } from '../../src/errors.ts'
import { Observers } from '../../src/http/observers.ts'

/** What `Observers` looks at: whose request it is, and the end of its answer. */
class Watcher {
  readonly raw = Object.assign(new EventEmitter(), { destroyed: false })
  readonly #observers: Observers
  readonly #tenantId: string

  constructor(observers: Observers, tenantId = 'acme') {
    this.#observers = observers
    this.#tenantId = tenantId
  }

  watch(): AbortSignal {
    // Nothing else of a request or a reply is touched.
    return this.#observers.watch(
      { tenantId: this.#tenantId } as FastifyRequest,
      { raw: this.raw } as unknown as FastifyReply,
    )
  }

  /** The answer is complete, or its caller has gone. */
  end(): void {
    this.raw.destroyed = true
    this.raw.emit('close')
  }
}

function start(limit = 2) {
  const closing = new AbortController()
  const observers = new Observers({ closing: closing.signal, limit })
  return { closing, observers, come: (tenantId?: string) => new Watcher(observers, tenantId) }
}

describe('Observers', () => {
  it('lets a tenant have so many at once and no more', () => {
    const { come } = start()
    come().watch()
    come().watch()

    expect(() => come().watch()).toThrow(TooManyObserversError)
    expect(() => come().watch()).toThrow('at most 2')
  })

  it('has room again when one has ended, for one', () => {
    const { come } = start()
    const first = come()
    first.watch()
    come().watch()
    expect(() => come().watch()).toThrow(TooManyObserversError)

    first.end()
    come().watch()

    expect(() => come().watch()).toThrow(TooManyObserversError)
  })

  it('says how many there are over all tenants', () => {
    const { come, observers } = start()
    const first = come('acme')
    first.watch()
    come('other').watch()
    first.watch()
    const during = observers.size

    first.end()

    expect([during, observers.size]).toEqual([2, 1])
  })

  it('says how many are streams, until they are over', () => {
    const { come, observers } = start()
    const [stream, gone] = [come(), come()]
    gone.end()
    observers.stream(stream as unknown as FastifyReply)
    observers.stream(gone as unknown as FastifyReply)
    const during = observers.streams

    stream.end()

    expect([during, observers.streams]).toEqual([1, 0])
  })

  it('counts one request once, however often it asks', () => {
    const { come } = start(1)
    const one = come()

    const signal = one.watch()

    expect(one.watch()).toBe(signal)
    one.end()
    come().watch()
  })

  it('counts one end once', () => {
    const { come } = start(2)
    const [one, two] = [come(), come()]
    one.watch()
    two.watch()

    one.end()
    one.end()
    come().watch()

    expect(() => come().watch()).toThrow(TooManyObserversError)
  })

  it('counts each tenant for itself', () => {
    const { come } = start(1)
    come('a').watch()

    come('b').watch()

    expect(() => come('a').watch()).toThrow(TooManyObserversError)
  })

  it('does not count who was gone before, and tells so', () => {
    const { come } = start(1)
    const gone = come()
    gone.end()

    expect(gone.watch().aborted).toBe(true)
    expect(come().watch().aborted).toBe(false)
  })

  it('tells the engine when the caller is gone, and nobody else', () => {
    const { come } = start()
    const [one, two] = [come(), come()]
    const signals = [one.watch(), two.watch()]

    one.end()

    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false])
  })

  it('tells everybody when the server closes', () => {
    const { come, closing } = start()
    const signals = [come('a').watch(), come('b').watch()]

    closing.abort()

    expect(signals.map(({ aborted }) => aborted)).toEqual([true, true])
    expect(come('a').watch().aborted).toBe(true)
  })
})
