import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import type { Connections } from '../../../src/engine/cluster/connections.ts'
import { NoLeaseError } from '../../../src/engine/cluster/errors.ts'
import { heartbeatKey, REPLICAS_KEY } from '../../../src/engine/cluster/membership.ts'
import { Ownership } from '../../../src/engine/cluster/ownership.ts'
import { OWNED_KEY, ownerKey } from '../../../src/engine/cluster/ownership-scripts.ts'
import { Sweep } from '../../../src/engine/cluster/sweep.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { RedisServer } from '../../support/redis.ts'
import { Cuttable, connected, overRedis, until, watchUnhandled } from './support.ts'

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

const raw = () => (links[0] as Connections).commands
let ids = 0

/** A replica whose life is in the hands of the test. */
class Fake {
  id: string | null = null
  readonly clock = new FakeClock()
  readonly link: Connections
  readonly ownership: Ownership
  readonly sweep: Sweep
  readonly adopted: string[] = []
  readonly strays: string[] = []
  readonly errors: unknown[] = []
  luck: number | null = null
  adopt = async (_tenantId: string): Promise<void> => undefined

  constructor(link: Connections, parallel = 4) {
    this.link = link
    this.ownership = new Ownership({ redis: link.commands, clock: this.clock, membership: this })
    this.sweep = new Sweep({
      ownership: this.ownership,
      clock: this.clock,
      leaseMs: 10_000,
      parallel,
      adopt: async (tenantId) => {
        this.adopted.push(tenantId)
        await this.adopt(tenantId)
      },
      random: () => this.luck ?? Math.random(),
      onStray: (tenantId) => void this.strays.push(tenantId),
      onError: (error) => void this.errors.push(error),
    })
  }

  async join(): Promise<string> {
    const id = `replica-${++ids}`
    await raw().set(heartbeatKey(id), '{}')
    await raw().sadd(REPLICAS_KEY, id)
    this.id = id
    return id
  }

  /** What it holds itself to be ends before Redis lets its heartbeat go. */
  async die(): Promise<void> {
    const { id } = this
    this.id = null
    if (id !== null) await raw().del(heartbeatKey(id))
  }

  isAlive = async (id: string) => (await raw().exists(heartbeatKey(id))) === 1
  replicas = async () => {
    const all = await raw().smembers(REPLICAS_KEY)
    const alive = await Promise.all(all.map((id) => this.isAlive(id)))
    return all.filter((_, i) => alive[i]).map((id) => ({ id, info: {} }))
  }
}

const owner = (tenantId: string) => raw().get(ownerKey(tenantId))
const listed = (tenantId: string) => raw().hget(OWNED_KEY, tenantId)

async function replicas(count: number, parallel?: number): Promise<Fake[]> {
  const made = Array.from({ length: count }, (_, i) => new Fake(links[i % links.length] as Connections, parallel))
  for (const each of made) await each.join()
  return made
}

/** As {@link replicas}, but two. */
async function two(): Promise<[Fake, Fake]> {
  const [a, b] = await replicas(2)
  return [a as Fake, b as Fake]
}

beforeEach(async () => void (await raw().flushall()))

overRedis('a claim', () => {
  it('takes what nobody owns, lists it, and takes it again without a word', async () => {
    const [a] = await two()

    expect(await a.ownership.claim('t')).toBe('mine')
    expect(await a.ownership.claim('t')).toBe('mine')

    expect([await owner('t'), await listed('t')]).toEqual([a.id, a.id])
    expect([...a.ownership.mine]).toEqual(['t'])
  })

  it('takes nothing from the living, and does not touch the list', async () => {
    const [a, b] = await two()
    await a.ownership.claim('t')

    expect(await b.ownership.claim('t')).toEqual({ owner: a.id })

    expect([await owner('t'), await listed('t')]).toEqual([a.id, a.id])
    expect([...b.ownership.mine]).toEqual([])
  })

  it('takes what belonged to the dead', async () => {
    const [a, b] = await two()
    await a.ownership.claim('t')
    await a.die()

    expect(await b.ownership.claim('t')).toBe('mine')
    expect([await owner('t'), await listed('t')]).toEqual([b.id, b.id])
  })

  it('takes what was let go with work', async () => {
    const [a, b] = await two()
    await a.ownership.claim('t')
    await a.ownership.release('t', { hasWork: true })

    expect([await owner('t'), await listed('t')]).toEqual(['', ''])
    expect(await b.ownership.claim('t')).toBe('mine')
  })

  it('is not for who has no lease', async () => {
    const [a] = await two()
    await a.die()

    await expect(a.ownership.claim('t')).rejects.toThrow(NoLeaseError)
    expect([await owner('t'), await listed('t')]).toEqual([null, null])
  })

  it('that ends after the lease has is none, and the tenant is found by the next who sweeps', async () => {
    const [a, b] = await two()
    const id = a.id as string
    await raw().set(ownerKey('t'), 'replica-of-old')
    a.isAlive = async () => {
      a.id = null
      return false
    }

    await expect(a.ownership.claim('t')).rejects.toThrow(NoLeaseError)
    expect([...a.ownership.mine]).toEqual([])
    expect([await owner('t'), await listed('t')]).toEqual([id, id])
    await raw().del(heartbeatKey(id))
    await b.sweep.run()
    expect(b.adopted).toEqual(['t'])
  })

  it('has one winner among replicas that race, and the list names it', async () => {
    const racers = await replicas(3)
    const tenants = Array.from({ length: 200 }, (_, i) => `t${i}`)

    const claims = await Promise.all(tenants.map((t) => Promise.all(racers.map(({ ownership }) => ownership.claim(t)))))

    for (const [i, outcome] of claims.entries()) {
      const winners = racers.filter((_, j) => outcome[j] === 'mine')
      expect(winners, tenants[i]).toHaveLength(1)
      expect(outcome.filter((claim) => claim !== 'mine')).toEqual([
        { owner: winners[0]?.id },
        { owner: winners[0]?.id },
      ])
    }
    const truths = await Promise.all(tenants.map(owner))
    expect(await Promise.all(tenants.map(listed))).toEqual(truths)
    expect(racers.flatMap(({ ownership }) => [...ownership.mine]).sort()).toEqual([...tenants].sort())
  })

  it('and a release of the same tenant come one after the other', async () => {
    const [a] = await two()
    await a.ownership.claim('t')

    const both = [a.ownership.release('t', { hasWork: false }), a.ownership.claim('t')]
    await Promise.all(both)

    expect([await owner('t'), await listed('t')]).toEqual([a.id, a.id])
    expect([...a.ownership.mine]).toEqual(['t'])
  })

  it('whose answer is lost counts as none, and comes to light', async () => {
    await using cuttable = await Cuttable.to(redis.port)
    await using link = await connected(cuttable.url, { commandTimeoutMs: 50, pingMs: 50 })
    const a = new Fake(link)
    const id = await a.join()
    await a.sweep.run() // The first one looks at everything anyway.
    await raw().set(ownerKey('t'), 'replica-of-old')
    const { isAlive } = a
    a.isAlive = async () => {
      cuttable.deaf = true
      return false
    }

    await expect(a.ownership.claim('t')).rejects.toThrow()
    expect([await owner('t'), await listed('t')]).toEqual([id, id])
    expect(a.ownership.mine.size).toBe(0)
    expect(a.ownership.doubtful).toBe(true)
    a.isAlive = isAlive
    cuttable.deaf = false
    cuttable.cut()
    await until(async () => {
      await a.sweep.run()
      return a.adopted.length > 0
    })

    expect(a.adopted).toEqual(['t'])
    expect([...a.ownership.mine]).toEqual(['t'])
  })
})

overRedis('a release', () => {
  it('without work leaves nothing behind', async () => {
    const [a] = await two()
    await a.ownership.claim('t')
    await a.ownership.release('t', { hasWork: false })

    expect(await raw().exists(ownerKey('t'), OWNED_KEY)).toBe(0)
    expect(await a.ownership.ownerOf('t')).toBeNull()
  })

  it('takes nothing from an owner that came after', async () => {
    const [a, b] = await two()
    await a.ownership.claim('t')
    await raw().set(ownerKey('t'), b.id as string)
    await raw().hset(OWNED_KEY, 't', b.id as string)

    await a.ownership.release('t', { hasWork: true })

    expect([await owner('t'), await listed('t')]).toEqual([b.id, b.id])
  })

  it.each([true, false])('does not strike from the list who listed himself meanwhile (work: %s)', async (hasWork) => {
    const [a, b] = await two()
    await a.ownership.claim('t')
    await raw().hset(OWNED_KEY, 't', b.id as string) // Between the two steps of the release.

    await a.ownership.release('t', { hasWork })

    expect(await listed('t')).toBe(b.id)
  })

  it('tells the others when there is work, and only then', async () => {
    const [a] = await two()
    const heard: string[] = []
    await using ear = await connected(redis.url)
    ear.subscriber.on('message', (_, text) => void heard.push(text))
    await ear.subscriber.subscribe('gatherd:0:orphans')
    for (const t of ['with', 'without']) {
      await a.ownership.claim(t)
      await a.ownership.release(t, { hasWork: t === 'with' })
    }
    await ear.subscriber.ping()

    expect(heard).toEqual(['with'])
  })

  it('tells them also of what is another’s by now: Redis may have gone back to before that knew of it', async () => {
    const [a, b] = await two()
    const heard: string[] = []
    await using ear = await connected(redis.url)
    ear.subscriber.on('message', (_, text) => void heard.push(text))
    await ear.subscriber.subscribe('gatherd:0:orphans', 'gatherd:1:orphans')
    for (const t of ['with', 'without']) {
      await a.ownership.claim(t)
      await raw().set(ownerKey(t), b.id as string)
      await a.ownership.release(t, { hasWork: t === 'with' })
    }
    await ear.subscriber.ping()

    expect(heard).toEqual(['with'])
    expect(await b.ownership.isForgotten('with')).toBe(true)
    expect(await a.ownership.isForgotten('with')).toBe(false)
    await b.ownership.claim('with')
    expect(await b.ownership.isForgotten('with')).toBe(false)
  })
})

overRedis('the owner of a tenant', () => {
  it('is remembered for a moment, and forgotten on a hint', async () => {
    const [a, b] = await two()
    await a.ownership.claim('t')
    expect(await b.ownership.ownerOf('t')).toBe(a.id)

    await a.ownership.release('t', { hasWork: false })
    expect(await b.ownership.ownerOf('t')).not.toBeNull()
    b.ownership.forget('t')
    expect(await b.ownership.ownerOf('t')).toBeNull()

    await a.ownership.claim('t')
    expect(await b.ownership.ownerOf('t')).toBe(a.id)
    await a.ownership.release('t', { hasWork: false })
    b.clock.advance(999)
    expect(await b.ownership.ownerOf('t')).toBe(a.id)
    b.clock.advance(1)
    expect(await b.ownership.ownerOf('t')).toBeNull()
  })

  it('is nobody when its heartbeat has ended', async () => {
    const [a, b] = await two()
    await a.ownership.claim('t')
    expect(await a.ownership.ownerOf('t')).toBe(a.id)
    await a.die()

    expect(await b.ownership.ownerOf('t')).toBeNull()
    await a.join()
    expect(await a.ownership.ownerOf('t')).toBeNull()
    expect([...a.ownership.mine]).toEqual([])
  })

  it('is ourselves when Redis says so, though we know nothing of it', async () => {
    const [a] = await two()
    await raw().set(ownerKey('t'), a.id as string)

    expect(await a.ownership.ownerOf('t')).toBe(a.id)
    expect(await a.ownership.claim('t')).toBe('mine')
    expect(await listed('t')).toBe(a.id)
  })
})

overRedis('a sweep', () => {
  const many = Array.from({ length: 60 }, (_, i) => `t${i}`)

  it('takes up all that a dead replica leaves, each tenant once, shared among the living', async () => {
    const [dead, ...living] = (await replicas(3, 2)) as [Fake, Fake, Fake]
    for (const t of many) await dead.ownership.claim(t)
    await dead.die()
    const running = { now: 0, most: 0 }
    for (const each of living)
      each.adopt = async () => {
        running.most = Math.max(running.most, ++running.now)
        await new Promise((resolve) => setImmediate(resolve))
        running.now--
      }

    await Promise.all(living.map(({ sweep }) => sweep.run()))

    expect(living.flatMap(({ adopted }) => adopted).sort()).toEqual([...many].sort())
    expect(
      living.every(({ adopted }) => adopted.length > 5),
      'nobody took all',
    ).toBe(true)
    expect(running.most).toBeLessThanOrEqual(4)
    expect(await Promise.all(many.map(listed))).toEqual(await Promise.all(many.map(owner)))
  })

  it('adopts a few at a time', async () => {
    const [a, b] = (await replicas(2, 3)) as [Fake, Fake]
    for (const t of many) await a.ownership.claim(t)
    await a.die()
    const gates: (() => void)[] = []
    b.adopt = () => new Promise((resolve) => void gates.push(resolve))

    const sweeping = b.sweep.run()
    await until(() => gates.length === 3)
    await raw().ping()
    expect(b.adopted).toHaveLength(3)
    expect(b.ownership.mine.size).toBe(3)
    await until(() => {
      for (const open of gates.splice(0)) open()
      return b.adopted.length === many.length
    })
    for (const open of gates.splice(0)) open()
    await sweeping
  })

  it('leaves what the living own, however many they are', async () => {
    const [a, b] = await two()
    for (const t of many) await a.ownership.claim(t)
    await a.ownership.release('t7', { hasWork: true })

    await b.sweep.run()

    expect(b.adopted).toEqual(['t7'])
  })

  it('goes through a list of many steps', { timeout: 30_000 }, async () => {
    const [a] = await two()
    const owned = Object.fromEntries(Array.from({ length: 5_000 }, (_, i) => [`x${i}`, 'replica-of-old']))
    await raw().hset(OWNED_KEY, owned)

    await a.sweep.run()

    expect(new Set(a.adopted).size).toBe(5_000)
    expect(a.adopted).toHaveLength(5_000)
  })

  it('lists a tenant under its living owner when the list says otherwise', async () => {
    const [a, b] = await two()
    await a.ownership.claim('t')
    await a.ownership.claim('u')
    await raw().hset(OWNED_KEY, { t: 'replica-of-old', u: '' })

    await b.sweep.run()

    expect(b.adopted).toEqual([])
    expect([await listed('t'), await listed('u')]).toEqual([a.id, a.id])
  })

  it('lets a tenant go that it cannot take up, and leaves it to others for one lease', async () => {
    const [a, b] = await two()
    await raw().hset(OWNED_KEY, 't', '')
    a.adopt = async () => {
      throw new Error('not here')
    }

    await a.sweep.run()
    await a.sweep.run()
    expect(a.adopted).toEqual(['t'])
    expect(a.errors).toEqual([new Error('not here')])
    expect([await owner('t'), await listed('t')]).toEqual(['', ''])
    a.clock.advance(10_000)
    await a.sweep.run()
    expect(a.adopted).toEqual(['t', 't'])
    await b.sweep.run()
    expect(b.adopted).toEqual(['t'])
  })

  it('finds that what was ours is not, and that the list has lost it', async () => {
    const [a, b] = await two()
    for (const t of ['kept', 'robbed', 'unlisted']) await a.ownership.claim(t)
    await raw().set(ownerKey('robbed'), b.id as string)
    await raw().hdel(OWNED_KEY, 'unlisted')

    await a.sweep.run()

    expect(a.strays).toEqual(['robbed'])
    expect([...a.ownership.mine].sort()).toEqual(['kept', 'unlisted'])
    expect(await listed('unlisted')).toBe(a.id)
  })

  it('takes up at its first run what is listed as ours and is not known to us', async () => {
    const [a] = await two()
    await a.ownership.claim('known')
    await raw().set(ownerKey('t'), a.id as string)
    await raw().hset(OWNED_KEY, 't', a.id as string)

    await a.sweep.run()

    expect(a.adopted).toEqual(['t'])
  })

  it.each([
    [{ own: true }, ['t']],
    [{}, []],
  ])('looks at its own again after a hint of %o alone', async (hint, taken) => {
    const [a] = await two()
    a.luck = 0
    await a.sweep.run()
    await raw().set(ownerKey('t'), a.id as string)
    await raw().hset(OWNED_KEY, 't', a.id as string)

    a.sweep.hint(hint)
    await a.sweep.run()

    expect(a.adopted).toEqual(taken)
    await a.sweep.stop()
  })

  it('owes the look that it was asked for while it was under way', async () => {
    const [a] = await two()
    await raw().hset(OWNED_KEY, 'first', '')
    a.adopt = async (t) => {
      if (t !== 'first') return
      await raw().set(ownerKey('t'), a.id as string)
      await raw().hset(OWNED_KEY, 't', a.id as string)
      a.sweep.hint({ own: true })
    }
    await a.sweep.run()
    await a.sweep.run()

    expect(a.adopted).toEqual(['first', 't'])
    await a.sweep.stop()
  })

  it('does nothing without a lease, and says nothing of it', async () => {
    const [a] = await two()
    await raw().hset(OWNED_KEY, 't', '')
    await a.die()
    await a.sweep.run()

    expect([a.adopted, a.errors]).toEqual([[], []])
    expect(await listed('t')).toBe('')
  })

  it('comes every half of a lease, soon after a hint, and not after it was stopped', async () => {
    const [a] = await two()
    const next = () => a.clock.nextAt - a.clock.now()
    a.luck = 0.5
    a.sweep.start()
    expect(next()).toBe(2_500)
    for (const luck of [0, 0.5, 1]) {
      a.luck = luck
      a.clock.advance(next())
      await until(() => a.clock.armed === 1)
      expect(next()).toBeCloseTo(4_000 + 2_000 * luck)
    }

    a.sweep.hint()
    expect(next()).toBe(100)
    a.clock.advance(60)
    a.sweep.hint()
    expect(next(), 'it is not put off').toBe(40)
    await raw().hset(OWNED_KEY, 't', '')
    a.clock.advance(40)
    await until(() => a.clock.armed === 1)
    expect(a.adopted).toEqual(['t'])
    expect(next()).toBeCloseTo(6_000)

    await a.sweep.stop()
    await a.sweep.stop()
    a.sweep.hint()
    expect(a.clock.armed).toBe(0)
  })

  it('comes again when it was told of an orphan while it was under way', async () => {
    const [a] = await two()
    await raw().hset(OWNED_KEY, 't', '')
    a.adopt = async (t) => {
      if (t !== 't') return
      await raw().hset(OWNED_KEY, 'late', '')
      a.sweep.hint()
    }

    await a.sweep.run()
    await until(() => a.clock.armed === 1)
    a.clock.advance(100)
    await until(() => a.adopted.includes('late'))
    await a.sweep.stop()
  })

  it('ends with what it has begun when Redis goes away, and goes on when it is back', { timeout: 30_000 }, async () => {
    await using own = await RedisServer.start({ appendOnly: true })
    await using link = await connected(own.url)
    const a = new Fake(link)
    a.id = 'replica-alone'
    a.replicas = async () => [{ id: 'replica-alone', info: {} }]
    a.isAlive = async () => false
    await link.commands.hset(OWNED_KEY, Object.fromEntries(many.map((t) => [t, ''])))
    a.adopt = async () => {
      if (a.adopted.length === 10) await own.kill()
    }

    await a.sweep.run()
    expect(a.errors).toHaveLength(1)
    await own.start()
    await link.untilReady()
    await a.sweep.run()

    expect(new Set(a.adopted)).toEqual(new Set(many))
    expect([...a.ownership.mine].sort()).toEqual([...many].sort())
  })
})

overRedis('ownership, whatever is done in whatever order', () => {
  type Act = { who: number; tenant: number; what: 'claim' | 'release' | 'pause' | 'die' | 'sweep' }
  const act: fc.Arbitrary<Act> = fc.record({
    who: fc.nat(2),
    tenant: fc.nat(3),
    what: fc.constantFrom('claim', 'claim', 'release', 'pause', 'die', 'sweep'),
  })

  /** Who holds a tenant and has a lease: never more than one, and Redis names it. */
  async function holdsTrue(all: Fake[], tenants: string[]): Promise<void> {
    for (const t of tenants) {
      const holders = all.filter(({ ownership }) => ownership.mine.has(t))
      expect(holders.length, t).toBeLessThanOrEqual(1)
      if (holders[0] !== undefined) expect(await owner(t)).toBe(holders[0].id)
    }
  }

  it('has one valid owner at most, and all that has work finds one', { timeout: 60_000 }, async () => {
    const steps = fc.array(fc.uniqueArray(act, { selector: ({ who, tenant }) => `${who} ${tenant}`, maxLength: 5 }), {
      maxLength: 12,
    })
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        await raw().flushall()
        const three = await replicas(3)
        const tenants = ['t0', 't1', 't2', 't3']
        const work = new Set<string>()
        for (const [at, step] of all.entries()) {
          await Promise.allSettled(step.map((each) => perform(three, each, work, at)))
          for (const each of three) for (const t of each.ownership.mine) work.add(t)
          await holdsTrue(three, tenants)
          for (const each of three) if (each.id === null) await each.join()
        }
        await bury(three)
        for (const { sweep } of [...three, ...three]) await sweep.run()
        await holdsTrue(three, tenants)
        const held = three.flatMap(({ ownership }) => [...ownership.mine])
        expect([...work].filter((t) => !held.includes(t))).toEqual([])
        for (const t of held) expect(await listed(t)).toBe(await owner(t))
        await Promise.all(three.map(({ sweep }) => sweep.stop()))
      }),
      { numRuns: 150 },
    )
  })

  /** Every lease ends at some time. */
  async function bury(all: Fake[]): Promise<void> {
    const known = await raw().smembers(REPLICAS_KEY)
    for (const id of known) if (!all.some((each) => each.id === id)) await raw().del(heartbeatKey(id))
  }

  async function perform(all: Fake[], { who, tenant, what }: Act, work: Set<string>, at: number): Promise<void> {
    const replica = all[who] as Fake
    const t = `t${tenant}`
    if (what === 'claim') await replica.ownership.claim(t)
    else if (what === 'sweep') await replica.sweep.run()
    else if (what === 'die') await replica.die()
    else if (what === 'pause')
      replica.id = null // Its heartbeat goes on in Redis for a while.
    else if (replica.ownership.mine.has(t)) {
      const hasWork = at % 2 === 0
      if (!hasWork) work.delete(t)
      await replica.ownership.release(t, { hasWork })
    }
  }
})
