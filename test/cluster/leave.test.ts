import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { overRedis } from '../engine/cluster/support.ts'
import { Cluster, type Node, type Tenant } from '../support/cluster.ts'

/** No test would pass that waited for it. */
const LONG_LEASE_MS = 120_000

let cluster: Cluster
let nth = 0

async function ownedBy(owner: Node, settings: Record<string, unknown> = {}): Promise<Tenant> {
  const tenant = await cluster.tenant(`leave-${nth++}`, settings)
  await cluster.settle(tenant, owner)
  return tenant
}

overRedis('a replica that leaves', { timeout: 30_000 }, () => {
  beforeAll(async () => {
    cluster = await Cluster.start({ replicas: 2, leaseMs: LONG_LEASE_MS, env: { GATHERD_DRAIN_GRACE_MS: '300' } })
  }, 30_000)
  afterEach(() => cluster.mend(), 30_000)
  afterAll(() => cluster[Symbol.asyncDispose]())

  it('gives its work to the others at once, which start it without waiting for its lease', async () => {
    const [leaving, other] = cluster.nodes
    const tenant = await ownedBy(leaving, { maxConcurrency: 1 })
    const held = `/hold/${tenant.name}`
    const jobs = [
      { kind: 'fetch', url: cluster.origin.url(held) },
      { kind: 'sleep', durationMs: 0 },
    ]
    const { id } = await tenant.at(leaving).submit({ jobs })
    await cluster.origin.whenHit(held)
    await using stream = await tenant.at(leaving).stream(id)

    const exit = leaving.end('SIGTERM')
    await cluster.origin.whenHit(held, 2)
    cluster.origin.release(held)

    const { jobs: ended } = await tenant.at(other).drained(id)
    expect(ended.map(({ state, attempts }) => [state, attempts])).toEqual([
      ['succeeded', 2],
      ['succeeded', 1],
    ])
    expect((await stream.rest()).at(-1)?.type).toBe('stream.shutdown')
    expect(await exit).toEqual({ status: 0, signal: null })
    expect(cluster.origin.concurrencyOf('hold').max).toBe(1)
  })

  it('lets what runs end within its grace, and makes none of it again', async () => {
    const [leaving, other] = cluster.nodes
    const tenant = await ownedBy(leaving)
    const path = `/ok/${tenant.name}`
    const { id } = await tenant.at(leaving).submit({
      jobs: [
        { kind: 'fetch', url: cluster.origin.url(`${path}?ms=100`) },
        { kind: 'sleep', durationMs: 0, delayMs: 500 },
      ],
    })
    await cluster.origin.whenHit(path)

    expect(await leaving.end('SIGTERM')).toEqual({ status: 0, signal: null })

    const { jobs } = await tenant.at(other).drained(id)
    expect(jobs.map(({ state, attempts }) => [state, attempts])).toEqual([
      ['succeeded', 1],
      ['succeeded', 1],
    ])
    expect(cluster.origin.hitsOf(path)).toBe(1)
  })

  it('tells who waits for room there to ask again, and takes nothing new', async () => {
    const [leaving] = cluster.nodes
    const tenant = await ownedBy(leaving, { maxConcurrency: 1, maxQueuedJobs: 1 })
    const hang = { kind: 'fetch', url: cluster.origin.url(`/hang/${tenant.name}`) }
    await tenant.at(leaving).submit({ jobs: [hang] })
    await cluster.origin.whenHit(`/hang/${tenant.name}`)
    await tenant.at(leaving).submit({ jobs: [hang] })
    const waiting = tenant
      .at(leaving)
      .http.post('/v1/batches')
      .set('prefer', 'wait=20')
      .send({ jobs: [hang] })
      .then(({ status, body }) => [status, body.code])
    await expect.poll(async () => (await tenant.at(1).http.get('/v1/tenant')).body.usage.queued).toBe(1)

    const exit = leaving.end('SIGTERM')

    expect(await waiting).toEqual([503, 'shutting_down'])
    expect(await exit).toEqual({ status: 0, signal: null })
  })

  it('hands over tenants without work, too', async () => {
    const [leaving, other] = cluster.nodes
    const tenant = await ownedBy(leaving)

    expect(await leaving.end('SIGTERM')).toEqual({ status: 0, signal: null })

    expect((await tenant.at(other).run({ jobs: [{ kind: 'sleep', durationMs: 0 }] })).batch.state).toBe('succeeded')
  })
})

overRedis('replicas that start at once', { timeout: 30_000 }, () => {
  it('make one first key between them', async () => {
    await using cluster = await Cluster.start()

    const keys = cluster.nodes.map(({ process }) => process.firstKey || undefined)

    expect(keys.filter((key) => key !== undefined)).toHaveLength(1)
    const [key] = keys.filter((each) => each !== undefined)
    for (const node of cluster.nodes)
      expect((await node.anybody.get('/v1/tenant').set('authorization', `Bearer ${key}`)).status).toBe(200)
  })

  it('warn of one that has another key for secrets, and of no other', async () => {
    await using cluster = await Cluster.start({ env: { GATHERD_SECRET_KEY: 'a-key-that-is-long-enough-to-be-one' } })
    const [, , wrong] = cluster.nodes
    await wrong.end('SIGTERM')

    await wrong.start({ GATHERD_SECRET_KEY: 'another-key-that-is-long-enough-to-be' })

    expect(cluster.nodes.map(({ process }) => process.stdout.includes('the other replicas have another key'))).toEqual([
      false,
      false,
      true,
    ])
  })
})
