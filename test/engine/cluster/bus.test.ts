import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import { type BatchNews, Bus, batchNews } from '../../../src/engine/cluster/bus.ts'
import type { Connections } from '../../../src/engine/cluster/connections.ts'
import { PARK_ABOVE } from '../../../src/engine/cluster/envelope.ts'
import { BusLostError, BusTimeoutError, NoReplicaError, RemoteError } from '../../../src/engine/cluster/errors.ts'
import { InvalidArgumentError, NotFoundError, QueueFullError } from '../../../src/errors.ts'
import { batchChannel } from '../../../src/store/redis/keys.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { RedisServer } from '../../support/redis.ts'
import { Cuttable, connected, overRedis, until, watchUnhandled } from './support.ts'

const LONG = 60_000

let redis: RedisServer
let links: Connections[]
let unhandled: ReturnType<typeof watchUnhandled>
beforeAll(async () => {
  unhandled = watchUnhandled()
  redis = await RedisServer.start()
  links = await Promise.all([1, 2, 3].map(() => connected(redis.url)))
})
afterAll(async () => {
  await Promise.all(links.map((link) => link.close()))
  await redis[Symbol.asyncDispose]()
  unhandled[Symbol.dispose]()
  expect(unhandled.seen).toEqual([])
})

interface Member {
  bus: Bus
  id: string
  clock: FakeClock
  errors: unknown[]
}
const open: Bus[] = []
afterEach(() => {
  for (const bus of open.splice(0)) bus.close()
})

let ids = 0

/** A replica that can be called. */
async function member(link: Connections): Promise<Member> {
  const clock = new FakeClock()
  const errors: unknown[] = []
  const { commands, bulk, subscriber } = link
  const bus = new Bus({ commands, bulk, subscriber, clock, onError: (error) => void errors.push(error) })
  open.push(bus)
  const id = `r${++ids}`
  await bus.listenAs(id)
  return { bus, id, clock, errors }
}

const two = () => Promise.all([member(links[0] as Connections), member(links[1] as Connections)])
const raw = () => (links[2] as Connections).commands

overRedis('a call', () => {
  it('is answered by the one that was called, with what JSON leaves of it', async () => {
    const [a, b] = await two()
    b.bus.handle('echo', (args) => ({ args, by: 'b' }))
    a.bus.handle('echo', (args) => ({ args, by: 'a' }))

    const args = { text: '{"a":1}', none: null, left: undefined, deep: [1, [2.5, '𝄞 \u2028']] }
    expect(await a.bus.call(b.id, 'echo', args, { timeoutMs: LONG })).toEqual({
      args: { text: '{"a":1}', none: null, deep: [1, [2.5, '𝄞 \u2028']] },
      by: 'b',
    })
    expect(await a.bus.call(a.id, 'echo', 1, { timeoutMs: LONG })).toEqual({ args: 1, by: 'a' })
    expect([a.clock.armed, b.clock.armed]).toEqual([0, 0])
  })

  it('hands a JSON text on as text, character by character', async () => {
    const [a, b] = await two()
    const text = '{ "n": 1.0, "big": 12345678901234567890, "dup": 1, "dup": 2 }'
    b.bus.handle('job', () => ({ job: text }))
    b.bus.handle('bare', () => text)

    expect(await a.bus.call(b.id, 'job', null, { timeoutMs: LONG })).toEqual({ job: text })
    expect(await a.bus.call(b.id, 'bare', null, { timeoutMs: LONG })).toBe(text)
  })

  it('is timed, and counted as lost when there was no answer in time', async () => {
    const [a, b] = await two()
    b.bus.handle('quick', () => {
      a.clock.advance(20)
    })
    b.bus.handle('never', () => new Promise(() => undefined))
    b.bus.handle('wrong', () => {
      throw new NotFoundError()
    })

    await a.bus.call(b.id, 'quick', {}, { timeoutMs: LONG })
    await expect(a.bus.call(b.id, 'wrong', {}, { timeoutMs: LONG })).rejects.toThrow(NotFoundError)
    const late = a.bus.call(b.id, 'never', {}, { timeoutMs: 3_000 })
    a.clock.advance(3_000)
    await expect(late).rejects.toThrow(BusTimeoutError)

    const said = [...a.bus.calls.readings()].map(([name, { method }, value]) => [
      name.replace('gatherd_cluster_request_', ''),
      method,
      typeof value === 'number' ? value : value.sum,
    ])
    expect(said).toEqual([
      ['duration_seconds', 'quick', 0.02],
      ['failures_total', 'quick', 0],
      ['duration_seconds', 'wrong', 0],
      ['failures_total', 'wrong', 0],
      ['duration_seconds', 'never', 3],
      ['failures_total', 'never', 1],
    ])
  })

  it('that gives nothing gives undefined', async () => {
    const [a, b] = await two()
    b.bus.handle('nothing', async () => undefined)

    expect(await a.bus.call(b.id, 'nothing', {}, { timeoutMs: LONG })).toBeUndefined()
  })

  it('goes to each of many at once, and each gets its own answer', async () => {
    const [a, b] = await two()
    b.bus.handle('after', async ({ n }: { n: number }) => {
      await new Promise((resolve) => setTimeout(resolve, 20 - n))
      return n
    })
    const numbers = Array.from({ length: 20 }, (_, n) => n)

    const answers = numbers.map((n) => a.bus.call(b.id, 'after', { n }, { timeoutMs: LONG }))

    expect(await Promise.all(answers)).toEqual(numbers)
  })

  it('of one that is not there is refused at once, and leaves nothing', async () => {
    const [a] = await two()

    await expect(a.bus.call('nobody', 'x', {}, { timeoutMs: LONG })).rejects.toThrow(NoReplicaError)
    await expect(a.bus.call('nobody', 'x', 'x'.repeat(PARK_ABOVE), { timeoutMs: LONG })).rejects.toThrow(NoReplicaError)
    expect(await raw().keys('gatherd:parcel:*')).toEqual([])
    expect(a.clock.armed).toBe(0)
  })

  it('finds nobody under an id that was given up, and somebody under the next', async () => {
    const [a, b] = await two()
    b.bus.handle('who', () => 'b')
    await b.bus.listenAs('next')
    await until(async () => (await raw().publish(`gatherd:rpc:${b.id}`, '{"cancel":""}')) === 0)

    await expect(a.bus.call(b.id, 'who', {}, { timeoutMs: LONG })).rejects.toThrow(NoReplicaError)
    expect(await a.bus.call('next', 'who', {}, { timeoutMs: LONG })).toBe('b')
    await b.bus.listenAs(null)
    await until(() => b.bus.channels === 1)
  })

  it('rejects at its timeout, not before; the other is told, and its late answer is dropped', async () => {
    const [a, b] = await two()
    const gate = Promise.withResolvers<string>()
    const signals: AbortSignal[] = []
    b.bus.handle('slow', (_, { signal }) => {
      signals.push(signal)
      return gate.promise
    })
    const ended: unknown[] = []
    const call = a.bus.call(b.id, 'slow', {}, { timeoutMs: 1_000 }).catch((error: unknown) => ended.push(error))
    await until(() => signals.length === 1)

    a.clock.advance(999)
    await raw().ping()
    expect(ended).toEqual([])
    a.clock.advance(1)
    await call
    expect(ended).toEqual([new BusTimeoutError(1_000)])
    await until(() => signals[0]?.aborted === true)
    gate.resolve('too late')
    b.bus.handle('next', () => 'next')
    expect(await a.bus.call(b.id, 'next', {}, { timeoutMs: LONG })).toBe('next')
    expect([...a.errors, ...b.errors]).toEqual([])
  })

  it('whose answer is on its way when it times out ends once', async () => {
    const [a, b] = await two()
    b.bus.handle('quick', () => 'quick')
    let heard = 0
    links[0]?.subscriber.on('message', (channel) => void (channel.startsWith('gatherd:reply') && heard++))

    const call = a.bus.call(b.id, 'quick', {}, { timeoutMs: 1 })
    a.clock.advance(1)
    await expect(call).rejects.toThrow(BusTimeoutError)
    b.bus.handle('other', () => 'other')
    expect(await a.bus.call(b.id, 'other', {}, { timeoutMs: LONG })).toBe('other')
    expect(heard).toBeGreaterThan(0)
  })

  it('ends with the reason of its signal, and the other is told', async () => {
    const [a, b] = await two()
    const signals: AbortSignal[] = []
    b.bus.handle('hold', async (_, { signal }) => {
      signals.push(signal)
      await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    })
    const gaveUp = new AbortController()
    const call = a.bus.call(b.id, 'hold', {}, { timeoutMs: LONG, signal: gaveUp.signal })
    const ended = expect(call).rejects.toThrow('I have to go')
    await until(() => signals.length === 1)

    gaveUp.abort(new Error('I have to go'))

    await ended
    await until(() => signals[0]?.aborted === true)
    expect(a.clock.armed).toBe(0)
    expect(b.errors).toEqual([])
  })

  it('is not even sent when its signal has aborted before', async () => {
    const [a, b] = await two()
    let called = 0
    b.bus.handle('count', () => void called++)
    const signal = AbortSignal.abort(new Error('before'))

    await expect(a.bus.call(b.id, 'count', {}, { timeoutMs: LONG, signal })).rejects.toThrow('before')
    await a.bus.call(b.id, 'count', {}, { timeoutMs: LONG })
    expect(called).toBe(1)
  })

  it('is not served when its end has overtaken it', async () => {
    const [a, b] = await two()
    let called = 0
    b.bus.handle('count', () => void called++)
    const gaveUp = new AbortController()

    const call = a.bus.call(b.id, 'count', 'x'.repeat(8_000_000), { timeoutMs: LONG, signal: gaveUp.signal })
    await null
    gaveUp.abort(new Error('too long'))
    await expect(call).rejects.toThrow('too long')
    b.bus.handle('after', () => 'after')
    await a.bus.call(b.id, 'after', 'x'.repeat(8_000_000), { timeoutMs: LONG })

    expect(called).toBe(0)
  })

  it('throws what the other threw: ours as they were', async () => {
    const [a, b] = await two()
    b.bus.handle('refuse', () => {
      throw new InvalidArgumentError([{ pointer: '/jobs/0', detail: 'is wrong', code: 'egress_denied' }])
    })
    b.bus.handle('full', async () => {
      throw new QueueFullError(5, 7)
    })

    const refused = await a.bus.call(b.id, 'refuse', {}, { timeoutMs: LONG }).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(InvalidArgumentError)
    expect(refused).toMatchObject({ errors: [{ pointer: '/jobs/0', detail: 'is wrong', code: 'egress_denied' }] })
    await expect(a.bus.call(b.id, 'full', {}, { timeoutMs: LONG })).rejects.toMatchObject({ retryAfterS: 7 })
    expect(b.errors).toEqual([])
  })

  it('says nothing of other errors, which the one that was called has', async () => {
    const [a, b] = await two()
    b.bus.handle('fail', () => {
      throw new TypeError('geheim')
    })
    b.bus.handle('unsayable', () => ({ big: 1n }))

    for (const method of ['fail', 'unsayable', 'unheard-of']) {
      const error = await a.bus.call(b.id, method, {}, { timeoutMs: LONG }).catch((thrown: unknown) => thrown)
      expect(error, method).toBeInstanceOf(RemoteError)
      expect(String(error)).not.toContain('geheim')
    }
    expect(b.errors.map(String)).toEqual([
      'TypeError: geheim',
      expect.stringContaining('BigInt'),
      expect.stringContaining('unheard-of'),
    ])
  })

  it('may be of 16 MB each way, several at once, which no message is', { timeout: 60_000 }, async () => {
    const [a, b] = await two()
    b.bus.handle('echo', (args) => args)
    const text = JSON.stringify({ data: '0123456789abcdef'.repeat(2 ** 20) })
    const lengths: number[] = []
    links[1]?.subscriber.on('message', (_, message) => void lengths.push(message.length))

    const answers = await Promise.all(
      [1, 2, 3, 4].map((n) => a.bus.call<{ n: number; text: string }>(b.id, 'echo', { n, text }, { timeoutMs: LONG })),
    )

    expect(answers.map(({ n }) => n)).toEqual([1, 2, 3, 4])
    expect(answers.every((answer) => answer.text === text)).toBe(true)
    expect(Math.max(...lengths)).toBeLessThanOrEqual(PARK_ABOVE)
    expect(await raw().keys('gatherd:parcel:*')).toEqual([])
  })

  it('that nobody fetches does not stay', async () => {
    await using deaf = await connected(redis.url)
    await deaf.subscriber.subscribe('gatherd:rpc:deaf')
    const [a] = await two()
    const call = a.bus.call('deaf', 'x', 'x'.repeat(PARK_ABOVE), { timeoutMs: 5_000 })
    const ended = expect(call).rejects.toThrow(BusTimeoutError)
    await until(async () => (await raw().keys('gatherd:parcel:*')).length === 1)

    const [key = ''] = await raw().keys('gatherd:parcel:*')
    expect(await raw().pttl(key)).toBeGreaterThan(0)
    expect(await raw().pttl(key)).toBeLessThanOrEqual(5_000)
    a.clock.advance(5_000)
    await ended
  })
})

overRedis('a bus whose connection goes', () => {
  it('ends what waits for an answer at once, and works again when it is back', async () => {
    await using cuttable = await Cuttable.to(redis.port)
    await using link = await connected(cuttable.url)
    const [a, b] = [await member(link), (await two())[1]]
    let called = 0
    b.bus.handle('hold', () => {
      called++
      return new Promise(() => undefined)
    })
    b.bus.handle('echo', (args) => args)
    const held = expect(a.bus.call(b.id, 'hold', {}, { timeoutMs: LONG })).rejects.toThrow(BusLostError)
    await until(() => called === 1)

    cuttable.cut()
    await held

    await until(async () => (await a.bus.call(b.id, 'echo', 'back', { timeoutMs: LONG }).catch(() => null)) === 'back')
    expect(a.clock.armed).toBe(0)
  })

  it('tells by its other connection that it waits for no answer any more', async () => {
    await using link = await connected(redis.url)
    const [a, b] = [await member(link), (await two())[1]]
    const signals: AbortSignal[] = []
    b.bus.handle('hold', (_, { signal }) => {
      signals.push(signal)
      return new Promise(() => undefined)
    })
    const held = expect(a.bus.call(b.id, 'hold', {}, { timeoutMs: LONG })).rejects.toThrow(BusLostError)
    await until(() => signals.length === 1)

    link.subscriber.disconnect(true)

    await held
    await until(() => signals[0]?.aborted === true)
    expect(a.errors).toEqual([])
  })

  it('lets a long call that is on its way when it is cut do nothing', async () => {
    await using link = await connected(redis.url)
    const [a, b] = [await member(link), (await two())[1]]
    let called = 0
    b.bus.handle('count', () => void called++)
    b.bus.handle('after', () => 'after')
    const call = expect(a.bus.call(b.id, 'count', 'x'.repeat(8_000_000), { timeoutMs: LONG })).rejects.toThrow(
      BusLostError,
    )
    await null
    await null

    link.subscriber.disconnect(true)
    await call
    const again = () => a.bus.call(b.id, 'after', 'x'.repeat(8_000_000), { timeoutMs: LONG }).catch(() => null)
    await until(async () => (await again()) === 'after')

    expect(called).toBe(0)
  })

  it('sends no call before it can hear the answer', async () => {
    await using cuttable = await Cuttable.to(redis.port)
    await using link = await connected(cuttable.url)
    const { subscriber } = link
    const { commands, bulk } = links[0] as Connections
    const b = (await two())[1]
    let called = 0
    b.bus.handle('count', () => ++called)
    cuttable.deaf = true
    const bus = new Bus({ commands, bulk, subscriber, clock: new FakeClock() })
    open.push(bus)

    const call = bus.call(b.id, 'count', {}, { timeoutMs: LONG }).catch((error: unknown) => error)
    for (let i = 0; i < 10; i++) await commands.ping()
    expect(called).toBe(0)
    cuttable.deaf = false
    cuttable.cut()
    expect(await call).toBeInstanceOf(BusLostError)
  })

  it('refuses calls at once while Redis is away, and is called again under its id afterwards', {
    timeout: 30_000,
  }, async () => {
    await using own = await RedisServer.start()
    await using one = await connected(own.url)
    await using other = await connected(own.url)
    const [a, b] = [await member(one), await member(other)]
    b.bus.handle('echo', (args) => args)
    let again = 0
    b.bus.onResubscribed(() => void again++)

    await own.kill()
    await until(() => !one.ready && !other.ready)
    await expect(a.bus.call(b.id, 'echo', 1, { timeoutMs: LONG })).rejects.toThrow(BusLostError)
    await own.start()
    await until(() => again === 1)
    await one.untilReady()

    expect(await a.bus.call(b.id, 'echo', 2, { timeoutMs: LONG })).toBe(2)
    expect(again).toBe(1)
  })

  it('does not hang on a Redis that is stopped in its tracks', { timeout: 30_000 }, async () => {
    await using own = await RedisServer.start()
    await using link = await connected(own.url, { commandTimeoutMs: 100 })
    const a = await member(link)
    a.bus.handle('echo', (args) => args)

    own.pause()
    const ended = await a.bus.call(a.id, 'echo', 1, { timeoutMs: LONG }).catch((error: unknown) => error)
    own.resume()

    expect(ended).toBeInstanceOf(BusLostError)
    await until(async () => (await a.bus.call(a.id, 'echo', 2, { timeoutMs: LONG }).catch(() => null)) === 2)
  })

  it('ends its calls and those it serves when it is closed, also twice', async () => {
    const [a, b] = await two()
    const signals: AbortSignal[] = []
    b.bus.handle('hold', (_, { signal }) => {
      signals.push(signal)
      return new Promise(() => undefined)
    })
    const held = expect(a.bus.call(b.id, 'hold', {}, { timeoutMs: LONG })).rejects.toThrow(BusLostError)
    await until(() => signals.length === 1)

    for (const { bus } of [a, b, a]) bus.close()

    await held
    expect(signals[0]?.aborted).toBe(true)
    await expect(a.bus.call(b.id, 'hold', {}, { timeoutMs: LONG })).rejects.toThrow(BusLostError)
    expect(a.clock.armed).toBe(0)
  })
})

overRedis('news of a batch', () => {
  it('is heard by all who watch it, from when they are ready until they end', async () => {
    const [a] = await two()
    const heard: [string, BatchNews][] = []
    const one = a.bus.watch('x', (news) => void heard.push(['one', news]))
    const other = a.bus.watch('x', (news) => void heard.push(['other', news]))
    await Promise.all([one.ready, other.ready])

    await raw().publish(batchChannel('x'), batchNews({ seq: 7, state: 'running', drained: false }))
    await until(() => heard.length === 2)
    one.close()
    one.close()
    await raw().publish(batchChannel('x'), batchNews({ seq: 9, state: 'succeeded', drained: true }))
    await until(() => heard.length === 3)
    other.close()
    await until(async () => (await raw().pubsub('NUMSUB', batchChannel('x')))[1] === 0)

    expect(heard).toEqual([
      ['one', { seq: 7, state: 'running', drained: false }],
      ['other', { seq: 7, state: 'running', drained: false }],
      ['other', { seq: 9, state: 'succeeded', drained: true }],
    ])
  })

  it('is subscribed to once for any number, in few commands, and again after they left', {
    timeout: 30_000,
  }, async () => {
    const [a] = await two()
    let heard = 0
    const before = Number(/cmdstat_subscribe:calls=(\d+)/.exec(await raw().info('commandstats'))?.[1] ?? 0)
    const watches = Array.from({ length: 6_000 }, (_, i) => a.bus.watch(`b${i % 3_000}`, () => void heard++))
    await Promise.all(watches.map(({ ready }) => ready))

    expect(a.bus.channels).toBe(3_002)
    const after = Number(/cmdstat_subscribe:calls=(\d+)/.exec(await raw().info('commandstats'))?.[1])
    expect(after - before).toBeLessThanOrEqual(3)
    await raw().publish(batchChannel('b0'), '1 running 0')
    await until(() => heard === 2)

    for (const watch of watches) watch.close()
    const back = a.bus.watch('b0', () => void heard++)
    await back.ready
    await until(async () => (await raw().pubsub('CHANNELS', 'gatherd:b:*')).length === 1)
    await raw().publish(batchChannel('b0'), '2 running 0')
    await until(() => heard === 3)
  })

  it('is heard again after a reconnect, and whoever watches is told that some may be missing', async () => {
    await using cuttable = await Cuttable.to(redis.port)
    await using link = await connected(cuttable.url)
    const a = await member(link)
    const heard: number[] = []
    const told: string[] = []
    const watches = Array.from({ length: 1_500 }, (_, i) => a.bus.watch(`c${i}`, ({ seq }) => void heard.push(seq)))
    await Promise.all(watches.map(({ ready }) => ready))
    const stop = a.bus.onResubscribed(() => void told.push('again'))
    expect(told, 'nothing was missed yet').toEqual([])

    cuttable.cut()
    await until(() => told.length === 1)
    await raw().publish(batchChannel('c1499'), '3 running 0')
    await raw().publish(batchChannel('c0'), '4 running 0')
    await until(() => heard.length === 2)
    stop()
    cuttable.cut()
    await until(async () => (await raw().pubsub('NUMSUB', batchChannel('c0')))[1] === 1 && link.ready)

    expect(heard).toEqual([3, 4])
    expect(told).toEqual(['again'])
  })

  it('reaches the others when one of them throws', async () => {
    const [a] = await two()
    const heard: string[] = []
    a.bus.on('directory', () => {
      throw new Error('not my day')
    })
    const other = a.bus.on('directory', (payload) => void heard.push(payload))
    await other.ready

    await a.bus.notify('directory', 'keys')
    await until(() => heard.length === 1)

    expect(heard).toEqual(['keys'])
    expect(a.errors).toEqual([new Error('not my day')])
  })

  it('does not stop for a watch that is followed by another at once', async () => {
    const [a] = await two()
    const first = a.bus.watch('passed-on', () => undefined)
    await first.ready
    const calls = async () => /cmdstat_unsubscribe:calls=(\d+)/.exec(await raw().info('commandstats'))?.[1]
    const before = await calls()

    first.close()
    const next = a.bus.watch('passed-on', () => undefined)
    await next.ready
    await a.bus.watch('another', () => undefined).ready

    expect(await calls()).toBe(before)
  })

  it('of a watch that ends before it has begun leaves nothing', async () => {
    const [a] = await two()
    const watch = a.bus.watch('brief', () => undefined)
    watch.close()
    await watch.ready
    const slow = a.bus.watch('brief', () => undefined)
    await slow.ready
    slow.close()
    for (let ticks = 0; ticks < 8; ticks++) {
      const each = a.bus.watch(`brief${ticks}`, () => undefined)
      for (let tick = 0; tick < ticks; tick++) await null
      each.close()
    }
    const last = a.bus.watch('last', () => undefined)
    await last.ready
    last.close()

    await until(async () => (await raw().pubsub('CHANNELS', '*brief*')).length === 0)
    expect(a.bus.channels).toBe(2)
  })
})

overRedis('a call', () => {
  it('takes a real clock too', async () => {
    const { commands, bulk, subscriber } = links[0] as Connections
    const bus = new Bus({ commands, bulk, subscriber, clock: systemClock })
    open.push(bus)
    await bus.listenAs('real')
    bus.handle('hold', () => new Promise(() => undefined))

    await expect(bus.call('real', 'hold', {}, { timeoutMs: 20 })).rejects.toThrow(BusTimeoutError)
  })
})
