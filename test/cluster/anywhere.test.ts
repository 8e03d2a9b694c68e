import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { overRedis } from '../engine/cluster/support.ts'
import { Cluster, type Node, type Tenant } from '../support/cluster.ts'

let cluster: Cluster
let nth = 0

/** A tenant of its own, whose owner is the first replica. */
async function acme(settings: Record<string, unknown> = {}): Promise<{ acme: Tenant; owner: Node; other: Node }> {
  const acme = await cluster.tenant(`acme-${nth++}`, settings)
  const [owner, other] = cluster.nodes
  await cluster.settle(acme, owner)
  return { acme, owner, other }
}

overRedis('a replica that is not the owner', () => {
  beforeAll(async () => {
    cluster = await Cluster.start()
  })
  afterEach(() => cluster.mend())
  afterAll(() => cluster[Symbol.asyncDispose]())

  it('submits, and what it submits runs where the tenant is', async () => {
    const { acme: tenant, owner, other } = await acme()

    const { batch, jobs } = await tenant.at(other).run({ jobs: [{ kind: 'sleep', durationMs: 5, result: 'x' }] })

    expect([batch.state, jobs[0].result, await cluster.owner(tenant.name)]).toEqual(['succeeded', 'x', owner])
  })

  it('cancels a batch, and one of its jobs', async () => {
    const { acme: tenant, owner, other } = await acme()
    const paths = ['/hang/one', '/hang/two']
    const jobs = paths.map((path) => ({ kind: 'fetch', url: cluster.origin.url(`${path}-${tenant.name}`) }))
    const { id } = await tenant.at(owner).submit({ jobs, policy: 'all_settled' })
    for (const path of paths) await cluster.origin.whenHit(`${path}-${tenant.name}`)

    expect(await tenant.at(other).cancelJob(`${id}-0`, { reason: 'mine' })).toEqual({ status: 202, cancelled: true })
    await cluster.origin.whenClosed(`${paths[0]}-${tenant.name}`)
    expect(await tenant.at(cluster.nodes[2]).cancel(id, { reason: 'all' })).toEqual({ status: 202, cancelled: true })

    const { batch, jobs: ended } = await tenant.at(other).drained(id)
    expect([batch.state, batch.cancel?.reason]).toEqual(['cancelled', 'all'])
    expect(ended.map(({ state, reason }) => [state, reason])).toEqual([
      ['cancelled', 'mine'],
      ['cancelled', 'all'],
    ])
  })

  it('appends to an open batch and closes it', async () => {
    const { acme: tenant, owner, other } = await acme()
    const { id } = await tenant.at(owner).submit({ open: true, jobs: [{ kind: 'sleep', durationMs: 0 }] })

    const [appended] = await tenant.at(other).append(id, [{ kind: 'sleep', durationMs: 0, result: 'later' }])
    await tenant.at(other).http.post(`/v1/batches/${id}/close`).expect(200)

    expect(appended.index).toBe(1)
    expect((await tenant.at(owner).drained(id)).jobs.map(({ result }) => result)).toEqual([null, 'later'])
  })

  it('stops a batch, and what was queued never starts', async () => {
    const { acme: tenant, owner, other } = await acme({ maxConcurrency: 1 })
    const held = `/hold/${tenant.name}`
    const hold = { kind: 'fetch', url: cluster.origin.url(held) }
    const { id } = await tenant
      .at(owner)
      .submit({ jobs: [hold, { kind: 'sleep', durationMs: 0 }], policy: 'task_group' })
    await cluster.origin.whenHit(held)

    const { body } = await tenant.at(other).http.post(`/v1/batches/${id}/stop`).expect(202)
    cluster.origin.release(held)

    expect(body.cancelled).toBe(true)
    const { jobs } = await tenant.at(other).drained(id)
    expect(jobs[1]).toMatchObject({ state: 'cancelled', startedAt: null })
  })

  it('reschedules a queued job', async () => {
    const { acme: tenant, owner, other } = await acme()
    const { id } = await tenant.at(owner).submit({ jobs: [{ kind: 'sleep', durationMs: 0, delayMs: 600_000 }] })

    await tenant.at(other).http.patch(`/v1/jobs/${id}-0`).send({ deadlineMs: 1 }).expect(200)

    expect((await tenant.at(other).drained(id)).jobs[0]).toMatchObject({ state: 'timed_out', cause: 'deadline' })
  })

  it('says what a queued job waits for', async () => {
    const { acme: tenant, owner, other } = await acme({ maxConcurrency: 1 })
    const hang = { kind: 'fetch', url: cluster.origin.url(`/hang/${tenant.name}`) }
    const { id } = await tenant.at(owner).submit({ jobs: [hang, hang] })
    await cluster.origin.whenHit(`/hang/${tenant.name}`)

    expect(await tenant.at(other).job(`${id}-1`)).toMatchObject({ state: 'queued', waitingOn: 'tenant-cap' })
    const { body } = await tenant.at(other).http.get(`/v1/batches/${id}?include=jobs`).expect(200)
    expect(body.jobs).toHaveLength(2)
  })

  it('waits for the first to complete, and holds an answer until a batch has settled', async () => {
    const { acme: tenant, owner, other } = await acme()
    const held = `/hold/${tenant.name}`
    const jobs = [
      { kind: 'sleep', durationMs: 20 },
      { kind: 'fetch', url: cluster.origin.url(held) },
    ]
    const { id } = await tenant.at(owner).submit({ jobs })

    const first = await tenant.at(other).http.get(`/v1/batches/${id}/wait?returnWhen=FIRST_COMPLETED&timeoutMs=9000`)
    const settled = tenant
      .at(other)
      .http.get(`/v1/batches/${id}`)
      .set('prefer', 'wait=9')
      .then(({ body }) => body)
    cluster.origin.release(held)

    expect(first.body.done.map(({ index }: { index: number }) => index)).toEqual([0])
    expect(first.body.pending).toEqual([`${id}-1`])
    expect(await settled).toMatchObject({ state: 'succeeded' })
  })

  it('streams, and goes on where a stream of another replica ended', async () => {
    const { acme: tenant, owner, other } = await acme()
    const held = `/hold/${tenant.name}`
    const jobs = [
      { kind: 'sleep', durationMs: 0 },
      { kind: 'fetch', url: cluster.origin.url(held) },
    ]
    const { id } = await tenant.at(owner).submit({ jobs })
    await using before = await tenant.at(other).stream(id, { format: 'sse' })
    const seen = await before.take(4)
    before.destroy()

    await using after = await tenant.at(2).stream(id, { lastEventId: 4 })
    cluster.origin.release(held)
    const rest = await after.rest()

    expect([...seen, ...rest].map(({ seq }) => seq)).toEqual([...seen, ...rest].map((_, i) => i + 1))
    expect(rest.at(-1)?.type).toBe('batch.drained')
  })

  it('answers a repeated Idempotency-Key as the first time, wherever that was', async () => {
    const { acme: tenant } = await acme()
    const body = { jobs: [{ kind: 'sleep', durationMs: 0 }] }
    const submit = (node: number) => tenant.at(node).http.post('/v1/batches').set('idempotency-key', 'once').send(body)

    const first = await submit(0)
    const again = await Promise.all([submit(1), submit(2)])

    expect(first.status).toBe(202)
    for (const { status, text } of again) expect([status, text]).toEqual([202, first.text])
    expect((await submit(1).send({ jobs: [{ kind: 'sleep', durationMs: 1 }] })).body.code).toBe('idempotency_mismatch')
  })

  it('makes one batch of one Idempotency-Key that comes to all replicas at once', async () => {
    const tenant = await cluster.tenant(`acme-${nth++}`)
    const body = { jobs: [{ kind: 'sleep', durationMs: 0 }] }
    const submit = async (node: number, key: string): Promise<string> => {
      for (;;) {
        const { status, text } = await tenant.at(node).http.post('/v1/batches').set('idempotency-key', key).send(body)
        if (status === 202) return text
        expect([status, text]).toEqual([409, expect.stringContaining('idempotency_conflict')])
      }
    }

    for (let round = 0; round < 5; round++) {
      const answers = await Promise.all([0, 1, 2, 0, 1, 2].map((node) => submit(node, `key-${round}`)))
      expect(new Set(answers).size).toBe(1)
    }

    expect((await tenant.at(0).http.get('/v1/batches')).body.data).toHaveLength(5)
  })

  it('changes a cap, pauses and resumes, and the owner acts on it at once', async () => {
    const { acme: tenant, owner, other } = await acme({ maxConcurrency: 1 })
    const path = `/hang/${tenant.name}`
    const jobs = Array.from({ length: 4 }, () => ({ kind: 'fetch', url: cluster.origin.url(path) }))
    await tenant.at(owner).submit({ jobs })
    await cluster.origin.whenHit(path, 1)

    await other.admin.put(`/v1/admin/tenants/${tenant.name}`).send({ maxConcurrency: 3 }).expect(200)
    await cluster.origin.whenHit(path, 3)
    await other.admin.put(`/v1/admin/tenants/${tenant.name}`).send({ maxConcurrency: 4, paused: true }).expect(200)
    const { id } = await tenant.at(other).submit({ jobs: [{ kind: 'sleep', durationMs: 0 }] })
    await expect.poll(async () => (await tenant.at(other).job(`${id}-0`)).waitingOn).toBe('paused')
    expect(cluster.origin.hitsOf(path)).toBe(3)

    await other.admin.put(`/v1/admin/tenants/${tenant.name}`).send({ maxConcurrency: 5 }).expect(200)
    await cluster.origin.whenHit(path, 4)
    await tenant.at(other).drained(id)
  })

  it('narrows where a tenant may fetch from, and the owner refuses the rest', async () => {
    const { acme: tenant, owner, other } = await acme()
    const settings = { egress: { deny: ['127.0.0.0/8'] } }
    await other.admin.put(`/v1/admin/tenants/${tenant.name}`).send(settings).expect(200)
    const job = { kind: 'fetch', url: cluster.origin.url('/ok') }

    await expect
      .poll(
        async () =>
          (
            await tenant
              .at(owner)
              .http.post('/v1/batches')
              .send({ jobs: [job] })
          ).status,
      )
      .toBe(422)
  })

  it('knows a key that was made elsewhere a moment ago, each time', async () => {
    const { acme: tenant, owner, other } = await acme()

    for (let round = 0; round < 6; round++) {
      const { body } = await owner.admin.post(`/v1/admin/tenants/${tenant.name}/keys`).send({}).expect(201)
      const asked = cluster.nodes.map((node) =>
        node.anybody.get('/v1/tenant').set('authorization', `Bearer ${body.key}`),
      )
      expect((await Promise.all(asked)).map(({ status }) => status)).toEqual([200, 200, 200])
    }
    expect(other.runs).toBe(true)
  })

  it('cuts the streams of a key that is revoked elsewhere', async () => {
    const { acme: tenant, owner, other } = await acme()
    const { body } = await owner.admin.post(`/v1/admin/tenants/${tenant.name}/keys`).send({}).expect(201)
    const { id } = await tenant.at(owner).submit({ jobs: [{ kind: 'sleep', durationMs: 600_000 }] })
    const headers = { authorization: `Bearer ${body.key}`, accept: 'application/x-ndjson' }
    const response = await tenant.at(other).open('GET', `/v1/batches/${id}/events`, headers)
    const cut = new Promise((resolve) => response.on('error', () => undefined).once('close', resolve))
    response.resume()

    await owner.admin.delete(`/v1/admin/tenants/${tenant.name}/keys/${body.id}`).expect(204)
    await cut

    await expect
      .poll(async () => (await other.anybody.get('/v1/tenant').set('authorization', headers.authorization)).status)
      .toBe(401)
  })

  it('deletes a tenant that another replica runs, with its work', async () => {
    const { acme: tenant, owner, other } = await acme()
    const path = `/hang/${tenant.name}`
    const { body: batch } = await tenant
      .at(owner)
      .http.post('/v1/batches')
      .send({ jobs: [{ kind: 'fetch', url: cluster.origin.url(path) }] })
    await cluster.origin.whenHit(path)
    tenant.at(owner).submitted.length = 0

    await other.admin.delete(`/v1/admin/tenants/${tenant.name}`).expect(204)
    await cluster.origin.whenClosed(path)

    for (const node of cluster.nodes)
      await expect.poll(async () => (await tenant.at(node).http.get(`/v1/batches/${batch.id}`)).status).toBe(401)
  })

  it('has one tenant wait for nothing that 50,000 queued jobs of another do', async () => {
    const { acme: busy, owner, other } = await acme({ maxConcurrency: 2, maxQueuedJobs: 60_000 })
    const { acme: small } = await acme({ maxConcurrency: 2 })
    const jobs = Array.from({ length: 10_000 }, () => ({ kind: 'sleep', durationMs: 20 }))
    for (let nth = 0; nth < 5; nth++) {
      const { status } = await busy.at(other).http.post('/v1/batches').send({ jobs })
      expect(status).toBe(202)
    }

    const { batch } = await small.at(other).run({ jobs: jobs.slice(0, 20) })

    expect([batch.state, await cluster.owner(small.name)]).toEqual(['succeeded', owner])
    // Of the 20 jobs no more than 20 turns' worth went to the other tenant.
    const { usage } = (await busy.at(other).http.get('/v1/tenant')).body
    expect(usage.queued).toBeGreaterThan(40_000)
    busy.at(owner).submitted.length = 0
    await other.admin.delete(`/v1/admin/tenants/${busy.name}`).expect(204)
  }, 60_000)

  /** Submit, and again while the answer is "not now": of a thousand tenants at once not all have one at once. */
  async function submitted(tenant: Tenant, node: number, body: object): Promise<string> {
    for (;;) {
      const { status, body: answer } = await tenant.at(node).http.post('/v1/batches').send(body)
      if (status === 202) return answer.id
      expect(status, answer.detail).toBe(503)
      await sleep(500)
    }
  }

  it('never lets more of a tenant run than its cap, whichever replicas its jobs come from', async () => {
    const count = Number(process.env.GATHERD_TEST_TENANTS ?? 60)
    const tenants: Tenant[] = []
    for (let i = 0; i < count; i++) tenants.push(await cluster.tenant(`cap-${nth++}`, { maxConcurrency: 2 }))

    const waiting = [...tenants]
    // A client of thousands of connections at once is slower than what it tests.
    const callers = Array.from({ length: 50 }, async () => {
      for (let tenant = waiting.pop(); tenant !== undefined; tenant = waiting.pop()) {
        const own = tenant
        const url = cluster.origin.url(`/ok?ms=10&k=${own.name}`)
        const jobs = Array.from({ length: 3 }, () => ({ kind: 'fetch', url }))
        const ids = await Promise.all([0, 1, 2].map((node) => submitted(own, node, { jobs })))
        for (const [node, id] of ids.entries()) await own.at(node).drained(id)
      }
    })
    await Promise.all(callers)

    const most = tenants.map(({ name }) => cluster.origin.concurrencyOf(name).max)
    expect(Math.max(...most)).toBe(2)
    for (const tenant of tenants) for (const caller of [0, 1, 2]) tenant.at(caller).submitted.length = 0
    await sleep(0)
  }, 600_000)
})
