import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { overRedis } from '../engine/cluster/support.ts'
import type { WireEvent } from '../service/check-log.ts'
import { Cluster, type Node, type Tenant } from '../support/cluster.ts'

let cluster: Cluster
let nth = 0

/** A tenant whose owner is a replica that is given. */
async function ownedBy(owner: Node, settings: Record<string, unknown> = {}): Promise<Tenant> {
  const tenant = await cluster.tenant(`crash-${nth++}`, settings)
  await cluster.settle(tenant, owner)
  return tenant
}

/** All events of a batch over any number of streams of one replica, each from where the last one ended. */
async function follow(tenant: Tenant, node: Node, id: string): Promise<WireEvent[]> {
  const events: WireEvent[] = []
  while (events.at(-1)?.type !== 'batch.drained') {
    await using stream = await tenant.at(node).stream(id, { lastEventId: events.length })
    for (let event = await stream.next(); event !== undefined; event = await stream.next())
      if (event.seq !== null && event.seq !== undefined) events.push(event)
  }
  return events
}

/** Submit one batch after the other, until the signal; what is accepted is noted, and nothing but "not now" is an answer beside. */
async function submitAgain(
  tenant: Tenant,
  node: Node,
  body: object,
  ids: string[],
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const { status, body: answer } = await tenant.at(node).http.post('/v1/batches').send(body)
    if (status === 202) ids.push(answer.id)
    else await sleep(20)
    expect([202, 503], answer.detail).toContain(status)
  }
}

const numbersOf = (events: WireEvent[]) => events.map(({ seq }) => seq)

overRedis('a replica that dies', { timeout: 30_000 }, () => {
  beforeAll(async () => {
    cluster = await Cluster.start()
  }, 30_000)
  afterEach(() => cluster.mend(), 60_000)
  afterAll(() => cluster[Symbol.asyncDispose]())

  it('under load loses nothing, ends each job once, and streams elsewhere go on without a gap', async () => {
    const [victim, ...rest] = cluster.nodes
    const tenants = await Promise.all(Array.from({ length: 6 }, () => ownedBy(victim, { maxConcurrency: 2 })))
    const jobs = tenants.map(({ name }, i) => [
      ...Array.from({ length: 20 }, () => ({ kind: 'sleep', durationMs: 30 })),
      { kind: 'fetch', url: cluster.origin.url(`/ok/${name}?ms=${i}`) },
    ])
    const batches = await Promise.all(tenants.map((tenant, i) => tenant.at(rest[i % 2]).submit({ jobs: jobs[i] })))
    const streams = batches.map(({ id }, i) => follow(tenants[i], rest[i % 2], id))
    await Promise.all(batches.map(({ id }, i) => tenants[i].at(rest[i % 2]).seen(id, 'job.succeeded')))

    await victim.end('SIGKILL')
    const logs = await Promise.all(streams)

    for (const [i, { id }] of batches.entries()) {
      const { batch, events } = await tenants[i].at(rest[0]).drained(id)
      expect([batch.state, batch.counts.succeeded]).toEqual(['succeeded', 21])
      expect(logs[i]).toEqual(events)
      expect(numbersOf(events)).toEqual(events.map((_, at) => at + 1))
    }
  })

  it('leaves a request that must not be repeated interrupted, and one that may be is made again', async () => {
    const [victim, other] = cluster.nodes
    const tenant = await ownedBy(victim)
    const [post, get] = ['post', 'get'].map((path) => `/hold/${path}-${tenant.name}`)
    const { id } = await tenant.at(other).submit({
      jobs: [
        { kind: 'fetch', method: 'POST', url: cluster.origin.url(post) },
        { kind: 'fetch', url: cluster.origin.url(get) },
      ],
    })
    await Promise.all([cluster.origin.whenHit(post), cluster.origin.whenHit(get)])

    await victim.end('SIGKILL')
    await cluster.origin.whenHit(get, 2)
    cluster.origin.release(get)

    const { jobs } = await tenant.at(other).drained(id)
    expect([jobs[0].state, jobs[0].error?.code, jobs[0].attempts]).toEqual(['failed', 'interrupted', 1])
    expect([jobs[1].state, jobs[1].attempts]).toEqual(['succeeded', 2])
    expect(cluster.origin.hitsOf(post)).toBe(1)
  })

  it('is followed at once by whoever is asked for the tenant, once its lease is over', async () => {
    const [victim, other] = cluster.nodes
    const tenant = await ownedBy(victim)
    const { id } = await tenant.at(victim).submit({ jobs: [{ kind: 'sleep', durationMs: 600_000 }] })

    await victim.end('SIGKILL')

    expect(await tenant.at(other).cancel(id)).toEqual({ status: 202, cancelled: true })
    const { batch } = await tenant.at(other).run({ jobs: [{ kind: 'sleep', durationMs: 0 }] })
    expect(batch.state).toBe('succeeded')
  })

  it('while it was asked to submit: what it had accepted is there once, what it had not is done by the next', async () => {
    const [victim, other] = cluster.nodes
    const tenant = await ownedBy(victim)
    const submitting = Array.from({ length: 40 }, async (_, i) => {
      await sleep(i * 3)
      return await tenant.at(other).submit({ labels: { nth: `${i}` }, jobs: [{ kind: 'sleep', durationMs: 0 }] })
    })
    await submitting[5]

    await victim.end('SIGKILL')
    const accepted = await Promise.all(submitting)

    const { body } = await tenant.at(other).http.get('/v1/batches?limit=100')
    const listed = body.data.filter(({ labels }: { labels: object }) => 'nth' in labels)
    expect(listed.map(({ id }: { id: string }) => id).toSorted()).toEqual(accepted.map(({ id }) => id).toSorted())
  })

  it('for a while only, stopped beyond its lease, harms nothing when it goes on', async () => {
    const [paused, other] = cluster.nodes
    const tenant = await ownedBy(paused, { maxConcurrency: 1 })
    const held = `/hold/${tenant.name}`
    const jobs = [{ kind: 'fetch', url: cluster.origin.url(held) }, ...Array(3).fill({ kind: 'sleep', durationMs: 20 })]
    const { id } = await tenant.at(paused).submit({ jobs })
    await cluster.origin.whenHit(held)
    const before = paused.replicaId

    paused.process.signal('SIGSTOP')
    // What it has under way is answered while it stands still: the answer waits in its socket.
    await cluster.origin.whenHit(held, 2)
    cluster.origin.release(held)
    const { batch, jobs: ended, events } = await tenant.at(other).drained(id)
    paused.process.signal('SIGCONT')
    await paused.said('the lease is lost')
    await paused.readyIs(200)

    expect([batch.state, ended[0].attempts]).toEqual(['succeeded', 2])
    expect(await tenant.at(paused).drained(id)).toEqual({ batch, jobs: ended, events })
    expect(paused.replicaId).not.toBe(before)
    expect((await tenant.at(paused).run({ jobs: [{ kind: 'sleep', durationMs: 0 }] })).batch.state).toBe('succeeded')
  })

  it('and a Redis that is killed and started again: nothing acknowledged is lost, and work goes on', async () => {
    const [owner, other] = cluster.nodes
    const tenant = await ownedBy(owner, { maxConcurrency: 3 })
    const ids: string[] = []
    const body = {
      jobs: [
        { kind: 'sleep', durationMs: 20 },
        { kind: 'fetch', url: cluster.origin.url('/ok?ms=10') },
      ],
    }
    const over = new AbortController()
    const submitting = [owner, other].map((node) => submitAgain(tenant, node, body, ids, over.signal))
    const accepted = async (count: number) => {
      while (ids.length < count && !over.signal.aborted) await sleep(5)
    }
    try {
      await Promise.race([accepted(10), ...submitting])
      await cluster.redis.kill()
      await sleep(cluster.leaseMs * 1.2)
      await cluster.redis.start()
      await Promise.race([accepted(ids.length + 10), ...submitting])
    } finally {
      over.abort()
    }
    await Promise.all(submitting)
    // It answers reads with 503 until its own way to Redis is back.
    await other.readyIs(200)

    for (const id of ids) tenant.at(other).track(id)
    const ended = await Promise.all(ids.map(async (id) => (await tenant.at(other).drained(id)).batch))
    expect(ended.map(({ state }) => state)).toEqual(ids.map(() => 'succeeded'))
  })

  it('and a Redis that has lost a batch: the rest of the tenant goes on, unasked', async () => {
    const [owner, other] = cluster.nodes
    const tenant = await ownedBy(owner, { maxConcurrency: 1 })
    const held = `/hold/${tenant.name}`
    const { body: lost } = await tenant
      .at(other)
      .http.post('/v1/batches')
      .send({ jobs: [{ kind: 'fetch', url: cluster.origin.url(held) }] })
    await cluster.origin.whenHit(held)
    const { id } = await tenant.at(other).submit({ jobs: [{ kind: 'sleep', durationMs: 0 }] })
    const client = cluster.redis.client()
    const base = `gatherd:{${tenant.name}}:`
    const no = await client.hget(`${base}ids`, lost.id)
    await client.zrem(`${base}live`, String(no))
    await client.del(...['', ':s', ':j', ':r', ':u', ':n', ':l'].map((part) => `${base}b:${no}${part}`))

    cluster.origin.release(held)

    expect((await tenant.at(other).drained(id)).batch.state).toBe('succeeded')
  })
})
