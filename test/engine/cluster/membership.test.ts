import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import type { Connections } from '../../../src/engine/cluster/connections.ts'
import {
  heartbeatKey,
  Membership,
  type MembershipOptions,
  REPLICAS_KEY,
} from '../../../src/engine/cluster/membership.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { RedisServer } from '../../support/redis.ts'
import { Cuttable, connected, overRedis, until, watchUnhandled } from './support.ts'

/** So long that Redis lets no key go while a test runs: the time that passes is that of the fake clock. */
const LEASE = 60_000

let redis: RedisServer
let connections: Connections
let unhandled: ReturnType<typeof watchUnhandled>
beforeAll(async () => {
  unhandled = watchUnhandled()
  redis = await RedisServer.start()
  connections = await connected(redis.url)
})
afterAll(async () => {
  await connections.close()
  await redis[Symbol.asyncDispose]()
  unhandled[Symbol.dispose]()
  expect(unhandled.seen).toEqual([])
})

let clock: FakeClock
let seen: string[]
const members: Membership[] = []
beforeEach(async () => {
  await connections.commands.flushall()
  clock = new FakeClock()
  seen = []
})
afterEach(async () => {
  await Promise.all(members.splice(0).map((member) => member.leave()))
})

/** A replica that writes down what happens to it. */
function member(name = 'a', options: Partial<MembershipOptions> = {}): Membership {
  const made = new Membership({
    redis: connections.commands,
    clock,
    leaseMs: LEASE,
    onJoined: () => void seen.push(`${name} joined`),
    onLost: () => void seen.push(`${name} lost`),
    onError: () => void seen.push(`${name} error`),
    ...options,
  })
  members.push(made)
  return made
}

async function joined(name = 'a', options: Partial<MembershipOptions> = {}): Promise<Membership & { id: string }> {
  const made = member(name, options)
  await made.start()
  expect(made.id).not.toBeNull()
  return made as Membership & { id: string }
}

const ttl = (id: string) => connections.commands.pttl(heartbeatKey(id))

overRedis('a replica', () => {
  it('joins with an id of its own and a heartbeat that ends with its lease', async () => {
    const a = await joined('a', { info: () => ({ free: 3, startedAt: '2026-01-01T00:00:00.000Z' }) })
    const b = await joined('b')

    expect(a.id).not.toBe(b.id)
    expect(seen).toEqual(['a joined', 'b joined'])
    expect(await ttl(a.id)).toBeGreaterThan(0)
    expect(await ttl(a.id)).toBeLessThanOrEqual(LEASE)
    const listed = await a.replicas()
    expect(listed.map(({ id }) => id).sort()).toEqual([a.id, b.id].sort())
    expect(listed.find(({ id }) => id === a.id)?.info).toEqual({ free: 3, startedAt: '2026-01-01T00:00:00.000Z' })
  })

  it('sends a heartbeat every third of its lease, with what is true then', async () => {
    let free = 3
    const a = await joined('a', { info: () => ({ free }) })
    for (let beat = 1; beat <= 9; beat++) {
      free = beat
      clock.advance(LEASE / 3)
      await until(async () => (await a.replicas())[0]?.info.free === beat)
      await until(() => clock.nextAt <= clock.now() + LEASE / 3)
      expect(a.isValid(), `after ${beat} thirds`).toBe(true)
    }

    expect(seen).toEqual(['a joined'])
  })

  it('has a lease that counts from before the heartbeat was sent, less a margin', async () => {
    const a = member()
    const started = a.start()
    clock.advance(1_000) // The answer takes a second.
    await started

    clock.advance(LEASE * 0.95 - 1_000 - 1)
    expect(a.isValid()).toBe(true)
    clock.advance(1)
    expect(a.isValid()).toBe(false)
  })

  it('has not joined when the answer comes after the lease it is about', async () => {
    const a = member()
    const started = a.start()
    clock.advance(LEASE)
    await started

    expect(a.id).toBeNull()
    expect(seen).toEqual([])
    clock.advance(LEASE / 12)
    await until(() => a.id !== null)
  })

  it('is lost once when the lease runs out, and joins with a new id as soon as it can', async () => {
    await using cuttable = await Cuttable.to(redis.port)
    await using own = await connected(cuttable.url, { commandTimeoutMs: 50, pingMs: 50 })
    const a = await joined('a', { redis: own.commands })
    const { id } = a

    cuttable.deaf = true
    for (let step = 0; step < 6; step++) {
      clock.advance(LEASE / 6)
      await until(() => seen.filter((what) => what === 'a error').length > step - 2 || step < 2)
    }
    await until(() => seen.includes('a lost'))
    expect(a.isValid()).toBe(false)
    expect(a.isValid()).toBe(false)
    expect(a.id).toBeNull()
    cuttable.deaf = false
    await until(async () => {
      clock.advance(LEASE / 12)
      return seen.filter((what) => what === 'a joined').length === 2
    })

    expect(a.id).not.toBe(id)
    expect(seen.filter((what) => what !== 'a error')).toEqual(['a joined', 'a lost', 'a joined'])
    expect(await a.isAlive(id)).toBe(false)
    expect((await a.replicas()).map((replica) => replica.id)).toEqual([a.id])
  })

  it('tells one of those that look at once that a replica has died, and nobody of one that has left', async () => {
    const onGone = (id: string) => void seen.push(`${id} gone`)
    const [a, b, c] = [await joined('a', { onGone }), await joined('b', { onGone }), await joined('c', { onGone })]
    await c.leave()
    await connections.commands.sadd(REPLICAS_KEY, 'dead')
    seen = []

    await Promise.all([a.replicas(), b.replicas(), a.replicas()])
    await b.replicas()

    expect(seen).toEqual(['dead gone'])
  })

  it('knows at the first look after a pause, before any timer has fired', async () => {
    class Frozen extends FakeClock {
      ahead = 0
      override now(): number {
        return super.now() + this.ahead
      }
    }
    const frozen = new Frozen()
    const a = await joined('a', { clock: frozen })

    frozen.ahead = LEASE // As after SIGSTOP and SIGCONT: the time is another one, and nothing has fired yet.

    expect(a.id).toBeNull()
    expect(seen).toEqual(['a joined', 'a lost'])
    frozen.advance(0)
    expect(seen).toEqual(['a joined', 'a lost'])
  })

  it('takes no heartbeat for one whose answer it looks at too late', async () => {
    const a = await joined()
    const { id } = a
    clock.advance(LEASE / 3) // Sends it.
    clock.advance(LEASE) // The answer is on its way meanwhile.
    await until(async () => {
      clock.advance(LEASE / 12)
      return (await ttl(id)) === -2
    })

    expect(seen.slice(0, 2)).toEqual(['a joined', 'a lost'])
    expect(a.id).not.toBe(id)
  })

  it('is lost when Redis has no heartbeat of it, and never brings the old one back', async () => {
    const a = await joined()
    const { id } = a
    await connections.commands.del(heartbeatKey(id))

    clock.advance(LEASE / 3)
    await until(() => seen.includes('a lost'))
    clock.advance(LEASE / 12)
    await until(() => seen.length === 3)

    expect(seen).toEqual(['a joined', 'a lost', 'a joined'])
    expect(a.id).not.toBe(id)
    expect(await a.isAlive(id)).toBe(false)
  })

  it('is gone at once when it leaves, for good, and is not lost by it', async () => {
    const a = await joined('a')
    const b = await joined('b')
    const [id, other] = [a.id, b.id]

    await Promise.all([a.leave(), a.leave()])
    clock.advance(LEASE * 3)

    expect(a.id).toBeNull()
    expect(await b.isAlive(id)).toBe(false)
    expect(await connections.commands.smembers(REPLICAS_KEY)).toEqual([other])
    expect(seen.filter((what) => what.startsWith('a'))).toEqual(['a joined'])
  })

  it('leaves no heartbeat when it leaves while it joins', async () => {
    const a = member()
    const started = a.start()
    await a.leave()
    await started

    expect(a.id).toBeNull()
    expect(await connections.commands.keys('*')).toEqual([])
    expect(clock.armed).toBe(0)
  })

  it('goes on when what it calls throws', async () => {
    const a = await joined('a', {
      onJoined: () => {
        throw new Error('not today')
      },
    })

    expect(seen).toEqual(['a error'])
    expect(clock.nextAt).toBe(clock.now() + LEASE / 3)
    expect(a.isValid()).toBe(true)
  })

  it('is not put off by timers that fire early', async () => {
    clock = new FakeClock({ earlyMs: 0.9 })
    const a = await joined('a', { redis: connections.commands })
    await connections.commands.set('x', 'y')
    clock.advance(LEASE * 0.95 - 0.5)

    expect(seen.filter((what) => what === 'a lost')).toEqual([])
    clock.advance(0.5)
    expect(a.isValid()).toBe(false)
  })

  it('is not listed when its heartbeat has ended, and its id is cleared away', async () => {
    const a = await joined('a')
    await connections.commands.sadd(REPLICAS_KEY, 'long-gone')

    expect((await a.replicas()).map(({ id }) => id)).toEqual([a.id])
    expect(await connections.commands.smembers(REPLICAS_KEY)).toEqual([a.id])
  })
})

overRedis('three replicas, a short lease and a Redis that is stopped in its tracks', () => {
  it('are lost once each, and join again with new ids', { timeout: 30_000 }, async () => {
    await using own = await RedisServer.start()
    const lease = 300
    const all = await Promise.all(
      ['a', 'b', 'c'].map(async (name) => [name, await connected(own.url, { commandTimeoutMs: 100 })] as const),
    )
    const three = await Promise.all(
      all.map(([name, { commands }]) => joined(name, { redis: commands, clock: systemClock, leaseMs: lease })),
    )
    const ids = three.map(({ id }) => id)

    own.pause()
    await until(() => seen.filter((what) => what.endsWith('lost')).length === 3)
    expect(three.map(({ id }) => id)).toEqual([null, null, null])
    own.resume()
    await until(() => three.every(({ id }) => id !== null))

    for (const name of ['a', 'b', 'c'])
      expect(seen.filter((what) => what === `${name} joined` || what === `${name} lost`)).toEqual([
        `${name} joined`,
        `${name} lost`,
        `${name} joined`,
      ])
    expect(ids.filter((id) => three.some((each) => each.id === id))).toEqual([])
    await Promise.all(three.map((each) => each.leave()))
    await Promise.all(all.map(([, each]) => each.close()))
  })

  it('come back after kill -9 of Redis, whether it has kept their heartbeats or not', { timeout: 30_000 }, async () => {
    await using own = await RedisServer.start()
    await using link = await connected(own.url, { commandTimeoutMs: 100 })
    const a = await joined('a', { redis: link.commands, clock: systemClock, leaseMs: 1_000 })

    await own.kill()
    await until(() => seen.includes('a lost'))
    await own.start()
    await until(() => a.id !== null)

    expect(seen.filter((what) => what !== 'a error')).toEqual(['a joined', 'a lost', 'a joined'])
    await a.leave()
  })
})
