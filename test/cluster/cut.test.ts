import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { overRedis } from '../engine/cluster/support.ts'
import { Cluster } from '../support/cluster.ts'

let cluster: Cluster
let nth = 0

overRedis('a replica whose way to Redis is cut', { timeout: 30_000 }, () => {
  beforeAll(async () => {
    cluster = await Cluster.start({ replicas: 2 })
  }, 30_000)
  afterEach(() => cluster.mend(), 30_000)
  afterAll(() => cluster[Symbol.asyncDispose]())

  it.each(['reset', 'silence'] as const)('by a %s: stops, and comes back by itself', async (how) => {
    const [cut, other] = cluster.nodes
    const tenant = await cluster.tenant(`cut-${nth++}`, { maxConcurrency: 1 })
    await cluster.settle(tenant, cut)
    const held = `/hold/${tenant.name}`
    const { id } = await tenant.at(cut).submit({
      jobs: [
        { kind: 'fetch', url: cluster.origin.url(held) },
        { kind: 'sleep', durationMs: 0 },
      ],
    })
    await cluster.origin.whenHit(held)

    cut.wire[how]()
    // Its own attempt ends with its lease; the other one makes it again.
    await cluster.origin.whenClosed(held)
    await cut.readyIs(503)
    expect((await cut.admin.get('/metrics')).text).toContain('\ngatherd_store_writable 0\n')
    expect((await other.admin.get('/metrics')).text).toContain('\ngatherd_store_writable 1\n')
    expect((await cut.anybody.get('/livez')).status).toBe(200)
    const { status, body } = await tenant
      .at(cut)
      .http.post('/v1/batches')
      .send({ jobs: [{ kind: 'sleep', durationMs: 0 }] })
    expect([status, body.code]).toEqual([503, 'overloaded'])
    await cluster.origin.whenHit(held, 2)
    expect(cluster.origin.concurrencyOf('hold').max).toBe(1)
    cluster.origin.release(held)
    const { batch } = await tenant.at(other).drained(id)

    cut.wire.mend()
    await cut.readyIs(200)

    expect(batch.state).toBe('succeeded')
    expect((await tenant.at(cut).drained(id)).batch).toEqual(batch)
    expect((await tenant.at(cut).run({ jobs: [{ kind: 'sleep', durationMs: 0 }] })).batch.state).toBe('succeeded')
  })
})

overRedis('without Redis', { timeout: 30_000 }, () => {
  it.each(['kill', 'pause'] as const)(
    'after a %s: nothing is accepted, and everybody is told within 10 s',
    async (how) => {
      await using cluster = await Cluster.start({ replicas: 2 })
      const tenant = await cluster.tenant('acme')
      await cluster.settle(tenant, cluster.nodes[0])

      await cluster.redis[how]()
      const began = performance.now()
      const answers = await Promise.all(
        cluster.nodes.flatMap((node) => [
          tenant
            .at(node)
            .http.post('/v1/batches')
            .send({ jobs: [{ kind: 'sleep', durationMs: 0 }] }),
          tenant.at(node).http.get('/v1/batches'),
        ]),
      )

      expect(answers.map(({ status, body }) => [status, body.code])).toEqual(answers.map(() => [503, 'overloaded']))
      // The promise itself is a time.
      expect(performance.now() - began).toBeLessThan(10_000)
      for (const node of cluster.nodes) expect((await node.anybody.get('/livez')).status).toBe(200)
    },
  )

  it('has no room: /readyz says so, new work is refused, and what is there can be read', async () => {
    await using cluster = await Cluster.start({ replicas: 2 })
    const [node] = cluster.nodes
    const tenant = await cluster.tenant('acme')
    const { id } = await tenant.at(node).submit({ jobs: [{ kind: 'sleep', durationMs: 0 }] })
    await tenant.at(node).drained(id)
    const client = cluster.redis.client()

    await client.config('SET', 'maxmemory', '1')
    await Promise.all(cluster.nodes.map((each) => each.readyIs(503)))
    const { status: submitted } = await tenant
      .at(node)
      .http.post('/v1/batches')
      .send({ jobs: [{ kind: 'sleep', durationMs: 0 }] })
    const { state } = await tenant.at(node).batch(id)
    const { status: alive } = await node.anybody.get('/livez')
    await client.config('SET', 'maxmemory', '0')
    await Promise.all(cluster.nodes.map((each) => each.readyIs(200)))

    expect([submitted, state, alive]).toEqual([503, 'succeeded', 200])
  })

  it('leaves in peace, with what was accepted on record', async () => {
    await using cluster = await Cluster.start({ replicas: 2, env: { GATHERD_DRAIN_GRACE_MS: '100' } })
    const [leaving, other] = cluster.nodes
    const tenant = await cluster.tenant('acme')
    await cluster.settle(tenant, leaving)
    const { id } = await tenant.at(leaving).submit({ jobs: Array(20).fill({ kind: 'sleep', durationMs: 30 }) })

    await cluster.redis.kill()
    expect(await leaving.end('SIGTERM')).toEqual({ status: 0, signal: null })
    await cluster.redis.start()
    await other.readyIs(200)

    const { batch } = await tenant.at(other).drained(id)
    expect([batch.state, batch.counts.succeeded]).toEqual(['succeeded', 20])
  })
})
