import { request } from 'node:http'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it, vi } from 'vitest'
import { startReopenable } from '../restart/reopen.ts'
import { Caller, forever, type ServiceOptions, sleepFor, startService, type TestService } from '../support/service.ts'
import { KINDS } from './kinds.ts'

/** A tenant that the end of the test does not look for, with a key. */
async function guest(service: TestService, name: string, key: Record<string, unknown> = {}): Promise<Caller> {
  await service.admin.put(`/v1/admin/tenants/${name}`).send({})
  const { body } = await service.admin.post(`/v1/admin/tenants/${name}/keys`).send(key).expect(201)
  return new Caller({ name, key: body.key, url: service.url })
}

async function withGuest(options: ServiceOptions = {}) {
  const service = await startService(options)
  return { service, caller: await guest(service, 'guest'), [Symbol.asyncDispose]: () => service[Symbol.asyncDispose]() }
}

const remove = (service: TestService, name = 'guest') => service.admin.delete(`/v1/admin/tenants/${name}`)

/** Resolves when an answer that was begun has broken off. */
async function cut(response: AsyncIterable<unknown>): Promise<string> {
  let text = ''
  try {
    for await (const chunk of response) text += chunk
  } catch {
    return text
  }
  throw new Error(`It came to its end: ${text}`)
}

describe('DELETE of a tenant', () => {
  it('stops what runs, with its sockets, and starts nothing that was queued', async () => {
    await using world = await withGuest({ tenantConcurrency: 2 })
    const { service, caller } = world
    const jobs = ['a', 'b', 'c'].map((name) => service.fetch(`/hold/${name}`))
    await caller.submit({ jobs, maxConcurrency: 2 })
    await Promise.all([service.origin.whenHit('/hold/a'), service.origin.whenHit('/hold/b')])

    const { status, text } = await remove(service)

    expect([status, text]).toEqual([204, ''])
    await Promise.all([service.origin.whenClosed('/hold/a'), service.origin.whenClosed('/hold/b')])
    await service.origin.whenIdle()
    expect(service.origin.hitsOf('/hold/c')).toBe(0)
  })

  it('starts nothing in the place of what stops at once', async () => {
    await using world = await withGuest({ tenantConcurrency: 1 })
    const { service, caller } = world
    await caller.submit({ jobs: [forever(), service.fetch('/never')] })
    await caller.submit({ jobs: [service.fetch('/neither')] })
    await vi.waitUntil(async () => (await caller.http.get('/v1/tenant')).body.usage.running === 1)

    await remove(service).expect(204)

    await service.me.run({ jobs: [service.fetch('/last')] })
    expect([service.origin.hitsOf('/never'), service.origin.hitsOf('/neither')]).toEqual([0, 0])
  })

  it('stops shielded jobs, those that wait for a clock, and open batches as well', async () => {
    await using world = await withGuest()
    const { service, caller } = world
    await caller.submit({ jobs: [service.fetch('/hold/shielded', { shield: true })] })
    await caller.submit({ jobs: [service.fetch('/late', { delayMs: 50 }), forever({ deadlineMs: 60 })] })
    await caller.submit({ open: true, jobs: [] })
    await service.origin.whenHit('/hold/shielded')

    await remove(service).expect(204)

    await service.origin.whenClosed('/hold/shielded')
    // A job of another tenant that is due later has run: so would those above have.
    await service.me.run({ jobs: [sleepFor(0, { delayMs: 100 })] })
    expect(service.origin.hitsOf('/late')).toBe(0)
  })

  it('makes its keys useless at once: streams are cut, and held answers are 401', async () => {
    await using world = await withGuest()
    const { service, caller } = world
    const { id } = await caller.submit({ jobs: [forever()] })
    const stream = await caller.stream(id, { format: 'sse' })
    await stream.find(({ type }) => type === 'job.started')
    const held = [
      caller.http.get(`/v1/batches/${id}`).set('prefer', 'wait=50'),
      caller.http.get(`/v1/batches/${id}/wait`),
      caller.http
        .post('/v1/batches')
        .set('prefer', 'wait=50')
        .send({ jobs: [forever()] }),
    ].map((request) => request.then((response) => response))
    await vi.waitUntil(async () => (await caller.http.get('/v1/tenant')).body.usage.running === 2)
    const rest = stream.find(() => false).catch(() => undefined)

    await remove(service).expect(204)

    for (const { status, body, headers } of await Promise.all(held))
      expect([status, body.code, headers['www-authenticate']]).toEqual([401, 'unauthenticated', 'Bearer'])
    expect(await rest).toBeUndefined()
    for (const path of ['/v1/tenant', `/v1/batches/${id}`, '/v1/batches', `/v1/batches/${id}/events`])
      expect((await caller.http.get(path)).status).toBe(401)
  })

  it('refuses a submission that waits for room, and starts nothing of it', async () => {
    await using world = await withGuest({ maxQueuedJobs: 1, tenantConcurrency: 1 })
    const { service, caller } = world
    await caller.submit({ jobs: [service.fetch('/hold/first')] })
    await service.origin.whenHit('/hold/first')
    await caller.submit({ jobs: [service.fetch('/second')] })
    const waiting = caller.http
      .post('/v1/batches')
      .set('prefer', 'wait=50')
      .send({ jobs: [service.fetch('/third')] })
      .then((response) => response)
    // The answer to a request that was sent after it: it has come.
    await caller.http.get('/v1/tenant').expect(200)

    await remove(service).expect(204)

    expect((await waiting).status).toBe(401)
    await service.me.run({ jobs: [service.fetch('/last')] })
    expect([service.origin.hitsOf('/second'), service.origin.hitsOf('/third')]).toEqual([0, 0])
  })

  it('starts nothing of a body that was still on its way', async () => {
    await using world = await withGuest()
    const { service, caller } = world
    const outgoing = request(new URL('/v1/batches', service.url), {
      method: 'POST',
      agent: false,
      headers: {
        authorization: `Bearer ${caller.key}`,
        'content-type': 'application/json',
        expect: '100-continue',
        'transfer-encoding': 'chunked',
      },
    })
    const answered = new Promise<number | undefined>((resolve) => {
      outgoing.once('response', (response) => resolve(response.resume().statusCode))
    })
    // The guard has looked at the key when the service asks for the body.
    await new Promise<void>((resolve) => {
      outgoing.once('continue', resolve).flushHeaders()
    })
    outgoing.write('{"jobs":[')
    await vi.waitUntil(() => service.inside.keys.sessions.size === 1)

    await remove(service).expect(204)
    outgoing.end(`${JSON.stringify(service.fetch('/never'))}]}`)

    expect(await answered).toBe(401)
    await service.me.run({ jobs: [service.fetch('/last')] })
    expect(service.origin.hitsOf('/never')).toBe(0)
  })

  it('answers 404 the second time, and for one that never was', async () => {
    await using world = await withGuest()
    const { service } = world

    const answers = [await remove(service), await remove(service), await remove(service, 'nobody')]

    expect(answers.map(({ status, body }) => [status, body.code])).toEqual([
      [204, undefined],
      [404, 'not_found'],
      [404, 'not_found'],
    ])
    expect((await service.admin.get('/v1/admin/tenants/guest')).status).toBe(404)
    expect((await service.admin.get('/v1/admin/tenants/guest/keys')).status).toBe(404)
    expect((await service.admin.post('/v1/admin/tenants/guest/keys')).status).toBe(404)
    expect((await service.admin.patch('/v1/admin/tenants/guest').send({})).status).toBe(404)
    const { body } = await service.admin.get('/v1/admin/tenants')
    expect(body.data.map(({ id }: { id: string }) => id)).toEqual(['acme', 'default'])
  })

  it('deletes once when it is asked for twice at the same time', async () => {
    await using world = await withGuest()

    const answers = await Promise.all([remove(world.service), remove(world.service)])

    expect(answers.map(({ status }) => status).sort()).toEqual([204, 404])
  })

  it('leaves no key behind that was made at the same time', async () => {
    await using world = await withGuest()
    const { service } = world

    const [made] = await Promise.all([service.admin.post('/v1/admin/tenants/guest/keys').send({}), remove(service)])
    await service.admin.put('/v1/admin/tenants/guest').send({}).expect(201)

    const used = service.anonymous.get('/v1/tenant').set('authorization', `Bearer ${made.body.key}`)
    expect((await used).status).toBe(401)
    expect((await service.admin.get('/v1/admin/tenants/guest/keys')).body.data).toEqual([])
  })

  it('touches no other tenant', async () => {
    await using world = await withGuest({ maxConcurrency: 2, tenantConcurrency: 2 })
    const { service, caller } = world
    await caller.submit({ jobs: [forever(), forever(), forever()] })
    await vi.waitUntil(async () => (await caller.http.get('/v1/tenant')).body.usage.running === 2)
    const mine = await service.me.submit({ jobs: [sleepFor(0, { result: 'mine' })] })

    await remove(service).expect(204)

    const { jobs } = await service.me.drained(mine.id)
    expect(jobs.map(({ state, result }) => [state, result])).toEqual([['succeeded', 'mine']])
  })

  it('gives up what waits for a host, and takes no place there from others', async () => {
    await using world = await withGuest({ hostConcurrency: 1 })
    const { service, caller } = world
    await caller.submit({ maxConcurrency: 1, jobs: ['x', 'y'].map((name) => service.fetch(`/hold/${name}`)) })
    await service.origin.whenHit('/hold/x')
    const mine = await service.me.submit({ jobs: [service.fetch('/ok')] })

    await remove(service).expect(204)

    expect((await service.me.drained(mine.id)).batch.counts.succeeded).toBe(1)
    expect(service.origin.hitsOf('/hold/y')).toBe(0)
  })
})

describe('a tenant made anew under the name of a deleted one', () => {
  it('begins at once, and sees nothing of the old one', async () => {
    await using world = await withGuest()
    const { service, caller: old } = world
    const first = await old.http
      .post('/v1/batches')
      .set('idempotency-key', 'k')
      .send({ labels: { run: '1' }, jobs: [forever(), sleepFor(0)] })
    await old.seen(first.body.id, 'job.succeeded', 1)
    await old.submit({ jobs: [] })
    const cursor = (await old.http.get('/v1/batches?limit=1')).body.nextCursor
    await remove(service).expect(204)

    const fresh = await guest(service, 'guest')

    for (const path of ['', '/jobs', '/events', '/wait']) {
      const { status, body } = await fresh.http.get(`/v1/batches/${first.body.id}${path}`)
      expect([status, body.code]).toEqual([404, 'not_found'])
    }
    expect((await fresh.http.get(`/v1/jobs/${first.body.id}-0`)).body.code).toBe('not_found')
    for (const query of ['', '?label.run=1', `?limit=1&cursor=${cursor}`])
      expect((await fresh.http.get(`/v1/batches${query}`)).body.data).toEqual([])
    expect((await fresh.http.get('/v1/tenant')).body.usage).toEqual({
      queued: 0,
      running: 0,
      cancelling: 0,
      stuck: 0,
      batches: 0,
      storedBytes: 0,
    })
    const again = await fresh.http
      .post('/v1/batches')
      .set('idempotency-key', 'k')
      .send({ jobs: [sleepFor(1)] })
    expect([again.status, again.body.id === first.body.id]).toEqual([202, false])
    expect((await fresh.drained(again.body.id)).batch.state).toBe('succeeded')
    expect((await old.http.get('/v1/tenant')).status).toBe(401)
  })

  it('gets no socket that the old one opened', async () => {
    await using world = await withGuest()
    const { service, caller } = world
    await caller.run({ jobs: [service.fetch('/ok/old')] })
    const before = service.origin.sockets.length
    await remove(service).expect(204)

    const fresh = await guest(service, 'guest')
    await fresh.run({ jobs: [service.fetch('/ok/new')] })

    expect([before, service.origin.sockets.length]).toEqual([1, 2])
  })

  it('is under its own egress rules at once, not under those of the old one', async () => {
    await using world = await withGuest()
    const { service } = world
    await service.admin
      .put('/v1/admin/tenants/guest')
      .send({ egress: { deny: ['127.0.0.1'] } })
      .expect(200)
    await remove(service).expect(204)

    const fresh = await guest(service, 'guest')
    const { batch } = await fresh.run({ jobs: [service.fetch('/ok')] })

    expect(batch.counts.succeeded).toBe(1)
  })

  it('has all its slots, though an attempt of the old one ignores its abort; that one keeps its place in the server', async () => {
    await using world = await withGuest({ kinds: KINDS, maxConcurrency: 2, tenantConcurrency: 1 })
    const { service, caller } = world
    const stubborn = { kind: 'stubborn', url: service.origin.url('/hold/deaf'), end: 'value' }
    await caller.submit({ jobs: [stubborn] })
    await service.origin.whenHit('/hold/deaf')
    await remove(service).expect(204)

    const fresh = await guest(service, 'guest')
    const { id } = await fresh.submit({ jobs: [forever()] })
    await fresh.seen(id, 'job.started')
    const mine = await service.me.submit({ jobs: [sleepFor(0)] })

    // The server has two slots: one is the new tenant's, the other the old one's until it lets go.
    expect((await service.me.job(`${mine.id}-0`)).waitingOn).toBe('server-cap')
    service.origin.release('/hold/deaf')
    expect((await service.me.drained(mine.id)).batch.state).toBe('succeeded')
    expect((await fresh.batch(id)).counts).toMatchObject({ running: 1 })
  })

  it('has the default settings again', async () => {
    await using service = await startService()
    await service.admin.put('/v1/admin/tenants/guest').send({ maxConcurrency: 3, paused: true }).expect(201)
    await remove(service).expect(204)

    const { status, body } = await service.admin.put('/v1/admin/tenants/guest').send({})

    expect([status, body.maxConcurrency, body.paused]).toEqual([201, null, false])
    expect(body.limits.maxConcurrency).toBe(16)
  })
})

describe('the tenant of whoever deletes', () => {
  it('stays: there is always an admin left', async () => {
    await using service = await startService()
    const { body: mine } = await service.admin.post('/v1/admin/tenants/acme/keys').send({ scopes: ['jobs', 'admin'] })
    const asMe = (path: string) => service.anonymous.delete(path).set('authorization', `Bearer ${mine.key}`)

    const [own, other] = [await asMe('/v1/admin/tenants/acme'), await asMe('/v1/admin/tenants/default')]

    expect([own.status, own.body.code, other.status]).toEqual([409, 'tenant_in_use', 204])
    expect((await service.me.http.get('/v1/tenant')).status).toBe(200)
  })

  it('is the default one while authentication is off', async () => {
    await using service = await startService({ auth: 'off' })

    const { status, body } = await remove(service, 'default')

    expect([status, body.code]).toEqual([409, 'tenant_in_use'])
  })
})

describe('a key', () => {
  it('that is revoked ends its streams with a cut, and leaves what it submitted and other keys alone', async () => {
    await using service = await startService()
    const other = await guest(service, 'acme')
    const { id } = await service.me.submit({ jobs: [service.fetch('/hold/a')] })
    const [mine, theirs] = [await other.stream(id), await service.me.stream(id)]
    for (const stream of [mine, theirs]) await stream.find(({ type }) => type === 'job.started')
    const rest = cut(mine.response)
    const keyId = other.key.split('_')[1]

    await service.admin.delete(`/v1/admin/tenants/acme/keys/${keyId}`).expect(204)
    expect(await rest).toBe('')
    service.origin.release('/hold/a')

    expect((await theirs.rest()).at(-1)?.type).toBe('batch.drained')
    expect((await service.me.batch(id)).state).toBe('succeeded')
    expect((await other.http.get('/v1/tenant')).status).toBe(401)
  })

  it('that is revoked is useless while the store does not write, and the operator is told to say it again', async () => {
    await using service = await startService()
    const other = await guest(service, 'acme')
    const { store } = service.inside
    const put = store.putKey.bind(store)
    store.putKey = () => Promise.reject(new Error('disk full'))
    const keyId = other.key.split('_')[1]
    const revoke = () => service.admin.delete(`/v1/admin/tenants/acme/keys/${keyId}`)

    const refused = await revoke()
    expect([refused.status, refused.body.code, refused.headers['retry-after']]).toEqual([503, 'overloaded', '5'])
    expect(refused.body.detail).toMatch(/^The key is useless here now, .* Revoke it again\.$/)
    expect((await other.http.get('/v1/tenant')).status).toBe(401)
    store.putKey = put
    await revoke().expect(204)

    expect((await store.keys()).find(({ id }) => id === keyId)?.revokedAt).not.toBeNull()
  })

  it('that is revoked is useless though a change before it is still being written', async () => {
    await using service = await startService()
    const other = await guest(service, 'acme')
    const { store } = service.inside
    const written = Promise.withResolvers<void>()
    const put = store.putTenant.bind(store)
    store.putTenant = (row) => written.promise.then(() => put(row))
    const changing = service.admin.patch('/v1/admin/tenants/acme').send({ weight: 2 }).then()

    const revoking = service.admin.delete(`/v1/admin/tenants/acme/keys/${other.key.split('_')[1]}`).then()
    await vi.waitUntil(async () => (await other.http.get('/v1/tenant')).status === 401)
    written.resolve()

    expect([(await changing).status, (await revoking).status]).toEqual([200, 204])
  })

  it('is not made to have expired already', async () => {
    await using service = await startService()

    const { status, body } = await service.admin
      .post('/v1/admin/tenants/acme/keys')
      .send({ expiresAt: '2020-01-01T00:00:00Z' })

    expect([status, body.errors]).toEqual([
      422,
      [{ pointer: '/expiresAt', detail: 'Must be an instant that is still to come.' }],
    ])
  })

  it('that revokes itself is answered, and good no more', async () => {
    await using service = await startService()
    const { body: own } = await service.admin.post('/v1/admin/tenants/acme/keys').send({ scopes: ['admin'] })
    const asOwn = service.anonymous.delete(`/v1/admin/tenants/acme/keys/${own.id}`)

    expect((await asOwn.set('authorization', `Bearer ${own.key}`)).status).toBe(204)

    const after = service.anonymous.get('/v1/admin/tenants').set('authorization', `Bearer ${own.key}`)
    expect((await after).status).toBe(401)
  })

  it('with both scopes is good for both kinds of route, one for admin for all tenants, one for jobs for its own', async () => {
    await using service = await startService()
    const statuses = []
    for (const scopes of [['jobs'], ['admin'], ['jobs', 'admin'], ['jobs', 'jobs']]) {
      const { body } = await service.admin.post('/v1/admin/tenants/acme/keys').send({ scopes }).expect(201)
      const get = (path: string) => service.anonymous.get(path).set('authorization', `Bearer ${body.key}`)
      statuses.push([...body.scopes, (await get('/v1/tenant')).status, (await get('/v1/admin/tenants/default')).status])
    }

    expect(statuses).toEqual([
      ['jobs', 200, 403],
      ['admin', 403, 200],
      ['jobs', 'admin', 200, 200],
      ['jobs', 200, 403],
    ])
  })
})

describe('a change of settings', () => {
  it('lets what runs over a lowered cap go on, and starts nothing new until there is room', async () => {
    await using service = await startService()
    const tenant = await service.addTenant('lower', { maxConcurrency: 3 })
    const jobs = ['a', 'b', 'c', 'd'].map((name) => service.fetch(`/hold/${name}`))
    const { id } = await tenant.submit({ jobs })
    for (const name of ['a', 'b', 'c']) await service.origin.whenHit(`/hold/${name}`)

    await service.admin.patch('/v1/admin/tenants/lower').send({ maxConcurrency: 1 }).expect(200)
    expect((await tenant.batch(id)).counts).toMatchObject({ running: 3, queued: 1 })
    for (const name of ['a', 'b']) service.origin.release(`/hold/${name}`)
    await tenant.seen(id, 'job.succeeded', 0)
    await tenant.seen(id, 'job.succeeded', 1)

    expect((await tenant.job(`${id}-3`)).waitingOn).toBe('tenant-cap')
    service.origin.release('/hold/c')
    await service.origin.whenHit('/hold/d')
    service.origin.release('/hold/d')
    await tenant.drained(id)
  })

  it('pauses and resumes at once', async () => {
    await using service = await startService()
    const tenant = await service.addTenant('pausing')
    await service.admin.patch('/v1/admin/tenants/pausing').send({ paused: true }).expect(200)
    const { id } = await tenant.submit({ jobs: [sleepFor(0)] })
    expect((await tenant.job(`${id}-0`)).waitingOn).toBe('paused')

    const { body } = await service.admin.patch('/v1/admin/tenants/pausing').send({ paused: null }).expect(200)

    expect(body.paused).toBe(false)
    expect((await tenant.drained(id)).batch.state).toBe('succeeded')
  })
})

describe('the data of a deleted tenant', () => {
  it('is gone from the disk, and the service goes on meanwhile', async () => {
    await using world = await startReopenable()
    await world.addTenant('guest')
    const guestOf = world.as('guest')
    await guestOf.submit({ labels: { secret: 'label' }, jobs: Array(5_000).fill(sleepFor(0, { result: 'canary' })) })
    await guestOf.submit({ jobs: [forever({ result: 'canary' })] })

    await world.admin.delete('/v1/admin/tenants/guest').expect(204)
    await world.me.run({ jobs: [sleepFor(0)] })

    await vi.waitUntil(() => rowsOf(world.dataDir, 'graves') === 0, { timeout: 20_000 })
    for (const table of ['labels', 'idempotency', 'tombstones'])
      expect([table, rowsOf(world.dataDir, table)]).toEqual([table, 0])
    for (const table of ['batches', 'specs', 'records'])
      expect([table, rowsOf(world.dataDir, table)]).toEqual([table, 1])
  })

  it('goes on to be deleted after a crash, and nothing of it runs again', async () => {
    await using world = await startReopenable()
    await world.addTenant('guest')
    const caller = world.as('guest')
    const { id } = await caller.submit({
      jobs: [world.fetch('/hold/a'), ...Array(9_000).fill(sleepFor(0, { delayMs: 60_000 }))],
    })
    await world.origin.whenHit('/hold/a')

    await world.admin.delete('/v1/admin/tenants/guest').expect(204)
    // The grave is on disk when the answer comes; the rows may or may not be gone.
    await world.crash()
    await world.addTenant('guest')

    expect((await world.as('guest').http.get(`/v1/batches/${id}`)).body.code).toBe('not_found')
    expect((await world.as('guest').http.get('/v1/batches')).body.data).toEqual([])
    expect((await caller.http.get('/v1/tenant').catch(() => ({ status: 401 }))).status).toBe(401)
    await world.me.run({ jobs: [sleepFor(0)] })
    expect(world.origin.hitsOf('/hold/a')).toBe(1)
  })
})

function rowsOf(dataDir: string, table: string): number {
  using database = new DatabaseSync(join(dataDir, 'gatherd.db'), { readOnly: true })
  return Number(database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.n)
}
