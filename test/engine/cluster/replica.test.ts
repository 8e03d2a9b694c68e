import { hostname } from 'node:os'
import { expect, it } from 'vitest'
import { type Clock, systemClock } from '../../../src/clock.ts'
import { heartbeatKey } from '../../../src/engine/cluster/membership.ts'
import { ORPHANS_CHANNEL } from '../../../src/engine/cluster/ownership.ts'
import { OWNED_KEY, ownerKey } from '../../../src/engine/cluster/ownership-scripts.ts'
import type { Replica } from '../../../src/engine/cluster/replica.ts'
import type { BatchSubmission } from '../../../src/engine/engine.ts'
import { Retention } from '../../../src/engine/local/retention.ts'
import { BatchDeletedError, TenantMovedError } from '../../../src/errors.ts'
import { FakeClock } from '../../support/fake-clock.ts'
import { SpreadCluster } from './spread/floor.ts'
import { overRedis, until } from './support.ts'

const ACME = 'acme'

const SUBMISSION: BatchSubmission = {
  policy: 'all_settled',
  name: null,
  labels: {},
  timeoutMs: null,
  maxConcurrency: null,
  open: false,
  context: {},
  n: null,
  hedgeDelayMs: null,
  jobs: [{ kind: 'work' }],
}

/** Take the replica's lease away, and wait until it has noticed, and has joined again. */
async function expire(replica: Replica): Promise<void> {
  const { commands } = replica.connections
  const id = await commands.get(ownerKey(ACME))
  await commands.del(heartbeatKey(id ?? ''))
  await until(() => !replica.owns(ACME))
  await until(() => replica.engine.healthy)
}

overRedis('A replica whose lease is lost while a keyed submission is looked up', () => {
  it('accepts nothing for the owner that it was: whoever is the next has the batch, once', async () => {
    await using cluster = await SpreadCluster.start({ replicas: 1, leaseMs: 600, spread: false })
    const [replica] = cluster.replicas
    await cluster.submit([{}])
    const reading = Promise.withResolvers<void>()
    const { store } = replica
    const idempotent = store.idempotent.bind(store)
    // Asked by whoever takes the request, and once more by the owner.
    let asked = 0
    store.idempotent = async (...args) => {
      const found = await idempotent(...args)
      if (++asked === 2) await reading.promise
      return found
    }

    const submitting = replica.engine.submit(ACME, SUBMISSION, { idempotency: { key: 'once', hash: 'h' } })
    await until(() => asked === 2)
    await expire(replica)
    reading.resolve()
    const { id } = await submitting

    expect(await replica.engine.batch(ACME, id)).toMatchObject({ id })
    expect(replica.owns(ACME)).toBe(true)
    const { data } = await replica.engine.batches(ACME, { labels: {}, limit: 10 })
    expect(data).toHaveLength(2)
  })
})

overRedis('What a replica writes for a tenant that it does not own', () => {
  it('is not accepted, and nothing of it runs', async () => {
    await using cluster = await SpreadCluster.start({ replicas: 1, spread: false })
    const [local] = cluster.locals

    await expect(local.submit(ACME, SUBMISSION)).rejects.toBeInstanceOf(TenantMovedError)

    expect([cluster.floor.works, local.tenancy.hasWork(ACME)]).toEqual([[], false])
  })
})

overRedis('A replica that takes up a tenant', () => {
  it('first lets be what it has refused of it before: another may have accepted that', async () => {
    await using cluster = await SpreadCluster.start({ replicas: 1, spread: false })
    const { store } = cluster.replicas[0]
    const done: string[] = []
    const { leaveBe, unfinished } = store
    store.leaveBe = (tenantId) => {
      done.push(`lets ${tenantId} be`)
      leaveBe.call(store, tenantId)
    }
    store.unfinished = (tenantId) => {
      done.push(`reads ${tenantId}`)
      return unfinished.call(store, tenantId)
    }

    await cluster.submit([{}])

    expect(done).toEqual(['lets acme be', 'reads acme'])
  })
})

overRedis('A replica whose record of a tenant is older in Redis than it knows', () => {
  it('lets the tenant go, and its work is taken up from what is left, unasked', async () => {
    await using cluster = await SpreadCluster.start({ replicas: 1, cap: 1, spread: false })
    cluster.rough = true
    const [replica] = cluster.replicas
    const { commands } = replica.connections
    const wanted = Promise.withResolvers<string>()
    await replica.bus.on(ORPHANS_CHANNEL, wanted.resolve).ready
    const lost = await replica.engine.submit(ACME, SUBMISSION)
    const kept = await replica.engine.submit(ACME, SUBMISSION)
    const no = await commands.hget('gatherd:{acme}:ids', lost.id)
    await commands.zrem('gatherd:{acme}:live', String(no))
    await commands.del(`gatherd:{acme}:b:${no}`)

    cluster.floor.running[0].finish()

    expect(await wanted.promise).toBe(ACME)
    await until(() => cluster.floor.running.some(({ context }) => context.batchId === kept.id))
    expect(await commands.get(ownerKey(ACME))).not.toBe('')
  })
})

overRedis('A tenant that is handed over', () => {
  it('is given up only when nothing that was refused of it can be on record', async () => {
    await using cluster = await SpreadCluster.start({ replicas: 1, spread: false })
    const [replica] = cluster.replicas
    await cluster.submit([{}])
    const id = await replica.connections.commands.get(ownerKey(ACME))
    const { store } = replica
    const owners: (string | null)[] = []
    const makeCertain = store.makeCertain.bind(store)
    store.makeCertain = async (tenantId) => {
      await makeCertain(tenantId)
      owners.push(await replica.connections.commands.get(ownerKey(tenantId)))
    }

    await replica.engine.drain(0)

    expect(owners).toEqual([id])
    expect(await replica.connections.commands.get(ownerKey(ACME))).not.toBe(id)
  })
})

overRedis('A Redis that has gone back to before a tenant was handed over between two that live', () => {
  /** Two replicas, of which the second has the tenant, and Redis says that it is the first's. No sweep comes in this test by itself. */
  async function rewound(): Promise<SpreadCluster> {
    const cluster = await SpreadCluster.start({ replicas: 1, leaseMs: 600_000, spread: false })
    cluster.rough = true
    const [first] = cluster.replicas
    const { commands } = first.connections
    // Its first sweep, which looks at what is its own, is over.
    await commands.hset(OWNED_KEY, 'found', '')
    await first.bus.notify('orphans', 'found')
    await until(() => first.owns('found'))
    const second = await cluster.add()
    await cluster.add()
    await cluster.submit([{}], { tenantId: 'other' })
    await cluster.submit([{}], { at: 1 })
    await cluster.runs(2)
    const before = String(await commands.get(ownerKey('other')))
    await commands.set(ownerKey(ACME), before)
    await commands.hset(OWNED_KEY, ACME, before)
    expect([first.owns(ACME), second.owns(ACME)]).toEqual([false, true])
    return cluster
  }

  it('is known to the one that Redis names as soon as the other finds out', async () => {
    await using cluster = await rewound()

    cluster.floor.at(1)[0].finish()

    await until(() => cluster.floor.at(0).length === 2)
    expect(cluster.replicas.map((replica) => replica.owns(ACME))).toEqual([true, false, false])
  })

  it('is known to it as soon as it is asked for the tenant', async () => {
    await using cluster = await rewound()
    const { data } = await cluster.replicas[2].engine.batches(ACME, { labels: {}, limit: 10 })

    const { cancelled } = await cluster.replicas[2].engine.cancel(ACME, data[0].id, null)

    expect(cancelled).toBe(true)
    expect(cluster.replicas[0].owns(ACME)).toBe(true)
  })

  it('is known to it as soon as its connection is there again', async () => {
    await using cluster = await rewound()

    cluster.replicas[0].connections.commands.disconnect(true)

    await until(() => cluster.replicas[0].owns(ACME))
  })
})

overRedis('A replica whose clock is not that of Redis', () => {
  const off = (ms: number): Clock => ({ ...systemClock, now: () => systemClock.now() + ms })

  it.each([3_600_000, -3_600_000])('goes on with a batch as if it were, %i ms off', async (ms) => {
    await using cluster = await SpreadCluster.start({ replicas: 1, cap: 1, spread: false })
    cluster.rough = true
    await cluster.add({ clock: off(ms) })
    const id = await cluster.submit([{}, {}], { timeoutMs: 60_000 })
    const [first] = await cluster.runs(1)
    await cluster.replicas[0].engine.drain(0)
    await until(() => cluster.floor.at(1).length === 1)
    for (let ended = 0; ended < 2; ended++) {
      await until(() => cluster.floor.at(1).length === 1)
      cluster.floor.at(1)[0].finish()
      await until(() => cluster.floor.works.filter(({ running }) => !running).length === ended + 2)
    }

    const { batch, events } = await cluster.drained(id)
    const stamps = events.map(({ at }) => Date.parse(String(at)))
    const [kind] = cluster.locals[1].counts.kinds
    expect(first.context.signal.aborted).toBe(true)
    expect(batch).toMatchObject({ state: 'succeeded', counts: { succeeded: 2 } })
    // Of two that look at one clock, each right to the half of a round trip.
    for (const [i, at] of stamps.slice(1).entries()) expect(at).toBeGreaterThan(stamps[i] - 1_000)
    expect(kind.wait.sum).toBeLessThan(60)
    expect(cluster.skews).toEqual([expect.closeTo(ms, -4)])
  })
})

overRedis('Who has a tenant is told', () => {
  it('when one with work goes over, and only then', async () => {
    await using cluster = await SpreadCluster.start({ replicas: 2, spread: false })
    cluster.rough = true
    await cluster.submit([{}])
    await cluster
      .submit([{ kind: 'sleep', durationMs: 0 }], { tenantId: 'idle' })
      .then((id) => cluster.drained(id, 'idle'))
    await cluster.runs(1)

    await cluster.replicas[0].engine.drain(0)
    await until(() => cluster.told.length >= 2)

    expect(cluster.told).toEqual([
      ['0 gave up', { tenantId: ACME }],
      ['1 took up', { tenantId: ACME, batches: 1 }],
    ])
  })

  it('when a replica has died, which is told once', async () => {
    await using cluster = await SpreadCluster.start({ replicas: 3, leaseMs: 600, spread: false })
    await cluster.submit([{}])
    await cluster.runs(1)
    const { commands } = cluster.replicas[1].connections
    const replicaId = String(await commands.get(ownerKey(ACME)))
    expect(JSON.parse(String(await commands.get(heartbeatKey(replicaId))))).toMatchObject({ host: hostname() })

    await cluster.kill(0)
    await until(() => cluster.told.length >= 2)
    await commands.sadd('gatherd:replicas', replicaId)
    await until(() => cluster.told.length >= 3)

    const tookUp = cluster.told.filter(([what]) => what.endsWith('took up'))
    expect(tookUp).toEqual([[expect.any(String), { tenantId: ACME, batches: 1, replicaId }]])
    const gone = cluster.told.filter(([what]) => what === 'gone')
    expect(gone).toEqual([
      ['gone', { replicaId }],
      ['gone', { replicaId }],
    ])
  })
})

overRedis('Two databases of one Redis', () => {
  it('hear nothing of each other, and one hears itself', async () => {
    await using one = await SpreadCluster.start({ replicas: 1, spread: false })
    await using other = await SpreadCluster.start({ replicas: 1, spread: false })
    const heard: string[] = []
    const buses = [one, other].map(({ replicas }) => replicas[0].bus)
    for (const [db, bus] of buses.entries())
      for (const name of ['orphans', 'tickets', 'adopted', 'directory'] as const)
        await bus.on(name, (text) => void heard.push(`${db} ${name} ${text}`)).ready
    expect(one.url).not.toBe(other.url)

    await buses[1].notify('adopted', 'acme r1')
    await other.replicas[0].store.putTenant({ id: 'acme', settings: {}, createdAt: 1 } as never)
    await until(() => heard.length >= 2)
    await buses[0].notify('tickets', 'r0')
    await until(() => heard.length >= 3)

    expect(heard).toEqual(['1 adopted acme r1', '1 directory acme', '0 tickets r0'])
  })
})

overRedis('Batches whose time is over', () => {
  it('are deleted once, however many replicas sweep at the same time, and each of them says so', async () => {
    await using cluster = await SpreadCluster.start({ replicas: 3, spread: false })
    const [owner] = cluster.replicas
    const { commands } = owner.connections
    const short = { ...SUBMISSION, jobs: Array(5).fill({ kind: 'sleep', durationMs: 0 }) }
    const ended = await Promise.all(Array.from({ length: 20 }, () => owner.engine.submit(ACME, short)))
    for (const { id } of ended) await cluster.drained(id)
    const { id: live } = await owner.engine.submit(ACME, SUBMISSION)
    await cluster.runs(1)
    const failures: unknown[] = []
    const onError = (error: unknown) => failures.push(error)
    const clock = new FakeClock({ now: Date.now() + 60_000 })
    const sweeping = cluster.replicas.map(({ store }) => new Retention({ store, clock, retentionMs: 1_000, onError }))

    await Promise.all(sweeping.map((retention) => retention.sweep()))
    await Promise.all(sweeping.map((retention) => retention.close()))

    expect(failures).toEqual([])
    for (const { engine } of cluster.replicas) {
      for (const { id } of ended) await expect(engine.batch(ACME, id)).rejects.toBeInstanceOf(BatchDeletedError)
      expect((await engine.batches(ACME, { labels: {}, limit: 50 })).data.map(({ id }) => id)).toEqual([live])
    }
    const no = await commands.hget('gatherd:{acme}:ids', live)
    const [kept, own] = await Promise.all([
      commands.hget('gatherd:{acme}:t', 'bytes'),
      commands.hget(`gatherd:{acme}:b:${no}`, 'b'),
    ])
    // What the tenant keeps is what its one batch does, and of each deleted one that it was there.
    expect(Number(kept) - Number(own)).toBe(ended.length * (64 + ended[0].id.length))
  })
})
