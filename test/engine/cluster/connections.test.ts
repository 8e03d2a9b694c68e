import { once } from 'node:events'
import { createServer } from 'node:net'
import { inspect } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import { type ConnectionReport, Connections } from '../../../src/engine/cluster/connections.ts'
import { RedisServer } from '../../support/redis.ts'
import { Cuttable, connected, overRedis, until, watchUnhandled } from './support.ts'

let redis: RedisServer
let unhandled: ReturnType<typeof watchUnhandled>
beforeAll(async () => {
  unhandled = watchUnhandled()
  redis = await RedisServer.start()
})
afterAll(async () => {
  await redis[Symbol.asyncDispose]()
  unhandled[Symbol.dispose]()
  expect(unhandled.seen).toEqual([])
})

const states = (reports: ConnectionReport[]) => reports.map(({ role, state, code }) => `${role} ${state} ${code}`)

overRedis('the connections', () => {
  it('take commands and hear messages', async () => {
    await using connections = await connected(redis.url)

    expect(connections.ready).toBe(true)
    await connections.subscriber.subscribe('news')
    const heard = once(connections.subscriber, 'message')
    expect(await connections.commands.publish('news', 'x')).toBe(1)
    expect(await heard).toEqual(['news', 'x'])
  })

  it('reject at once while Redis is away, come back by themselves and tell each change once', async () => {
    const reports: ConnectionReport[] = []
    await using connections = await connected(redis.url, { onState: (report) => void reports.push(report) })

    await redis.kill()
    await until(() => !connections.ready)
    await expect(connections.commands.get('x')).rejects.toThrow("isn't writeable")
    await until(() => reports.filter(({ code }) => code === 'ECONNREFUSED').length === 3)
    const listeners = connections.commands.listenerCount('ready')
    let tries = 0
    connections.commands.on('reconnecting', () => void tries++)
    await until(() => tries >= 3)
    await redis.start()
    await connections.untilReady()

    expect(await connections.commands.ping()).toBe('PONG')
    const ofCommands = states(reports).filter((line) => line.startsWith('commands'))
    expect(ofCommands.at(0)).toBe('commands ready null')
    expect(ofCommands.at(-1)).toBe('commands ready null')
    expect(ofCommands.filter((line) => line.includes('ECONNREFUSED'))).toHaveLength(1)
    expect(connections.commands.listenerCount('ready'), 'nothing heaps up').toBeLessThanOrEqual(listeners)
  })

  it('reject what is under way when they are cut, and do not send it again', async () => {
    await using cuttable = await Cuttable.to(redis.port)
    await using connections = await connected(cuttable.url, { commandTimeoutMs: 60_000 })
    await using direct = await connected(redis.url)
    cuttable.deaf = true

    const answers = Array.from({ length: 3 }, () => connections.commands.incr('counted'))
    const settled = Promise.allSettled(answers)
    await until(async () => (await direct.commands.get('counted')) === '3')
    cuttable.cut()
    cuttable.deaf = false

    expect((await settled).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    await connections.untilReady()
    expect(await connections.commands.get('counted')).toBe('3')
  })

  it('reject a command that has no answer in time, while Redis is stopped in its tracks', async () => {
    await using connections = await connected(redis.url, { commandTimeoutMs: 50 })

    redis.pause()
    await expect(connections.commands.get('x')).rejects.toThrow('timed out')
    redis.resume()

    await until(async () => (await connections.commands.get('x').catch(() => 'not yet')) === null)
  })

  it('are made anew when nobody answers on them, the one that listens too', async () => {
    await using cuttable = await Cuttable.to(redis.port)
    const reports: ConnectionReport[] = []
    await using connections = await connected(cuttable.url, {
      commandTimeoutMs: 50,
      pingMs: 20,
      onState: (report) => void reports.push(report),
    })
    const before = [connections.commands.stream, connections.subscriber.stream]

    cuttable.deaf = true
    await until(() => before.every((stream) => stream.destroyed))
    cuttable.deaf = false
    await until(() => states(reports).includes('subscriber away closed'))
    await connections.untilReady()

    expect(connections.subscriber.stream).not.toBe(before[1])
  })

  it('wait for ever for a Redis that is not there, until nobody waits any more', async () => {
    const closed = createServer().listen(0, '127.0.0.1')
    await once(closed, 'listening')
    const address = closed.address()
    closed.close()
    const port = typeof address === 'object' ? address?.port : 0
    const reports: ConnectionReport[] = []
    const url = `redis://127.0.0.1:${port}`
    await using connections = new Connections({
      url,
      clock: systemClock,
      maxRetryMs: 5,
      onState: (report) => void reports.push(report),
    })

    const gaveUp = new AbortController()
    const ready = connections.untilReady(gaveUp.signal)
    await until(() => reports.length === 3)
    gaveUp.abort(new Error('enough'))

    await expect(ready).rejects.toThrow('enough')
    expect(states(reports).sort()).toEqual([
      'bulk away ECONNREFUSED',
      'commands away ECONNREFUSED',
      'subscriber away ECONNREFUSED',
    ])
  })

  it('leave nothing behind when they are closed, whatever they were doing, also twice', async () => {
    const before = process.getActiveResourcesInfo().length
    const up = await connected(redis.url)
    const trying = new Connections({ url: 'redis://127.0.0.1:1', clock: systemClock })
    const early = new Connections({ url: redis.url, clock: systemClock })
    await until(() => trying.commands.status === 'reconnecting')
    const ready = expect(trying.untilReady()).rejects.toThrow('aborted')
    const pending = up.commands.blpop('never', 0).catch((error: Error) => error)

    await Promise.all([up.close(), up.close(), trying.close(), early.close()])

    await ready
    expect(await pending).toBeInstanceOf(Error)
    await until(() => process.getActiveResourcesInfo().length <= before)
  })
})

overRedis('the password', () => {
  it('opens the door, and is in nothing that is told or thrown when it does not', async () => {
    await using guarded = await RedisServer.start()
    await guarded.client().config('SET', 'requirepass', 'offen')
    await using welcome = await connected(`redis://:offen@127.0.0.1:${guarded.port}`)
    expect(await welcome.commands.ping()).toBe('PONG')

    const reports: ConnectionReport[] = []
    const thrown: unknown[] = []
    await using connections = new Connections({
      url: `redis://me:geheimnis@127.0.0.1:${guarded.port}/0`,
      clock: systemClock,
      maxRetryMs: 5,
      onState: (report) => void reports.push(report),
    })
    connections.commands.on('error', (error: Error) => void thrown.push(error))
    await until(async () => {
      // Redis takes this one before it is ready, and it ends with the error of AUTH.
      await connections.commands.publish('a', 'b').catch((error: Error) => thrown.push(error))
      return reports.length >= 2 && thrown.length > 10
    })

    expect(reports.some(({ code }) => code === 'WRONGPASS')).toBe(true)
    expect(inspect(reports)).not.toContain('geheimnis')
    expect(inspect(thrown, { depth: 9, showHidden: true })).not.toContain('geheimnis')
    expect(thrown.some((error) => String(error).includes('WRONGPASS'))).toBe(true)
  })
})
