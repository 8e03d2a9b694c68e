import { describe, expect, it } from 'vitest'
import { OverloadedError } from '../../src/errors.ts'
import { AdminTenantList, AdminTenantView, KeyList, NewKeyView } from '../../src/schema/admin.ts'
import { StillClock, startFake } from '../support/fake-parts.ts'

describe('PUT /v1/admin/tenants/{tenantId}', () => {
  it('creates a tenant, and applies its settings at once', async () => {
    await using service = await startFake()

    const response = await service.admin
      .put('/v1/admin/tenants/acme')
      .send({ maxConcurrency: 3, weight: null, paused: true })

    expect(response.status).toBe(201)
    expect(AdminTenantView.parse(response.body)).toMatchObject({
      id: 'acme',
      maxConcurrency: 3,
      weight: null,
      paused: true,
    })
    expect(service.engine.called('applyTenant')).toEqual([['applyTenant', 'acme', { maxConcurrency: 3, paused: true }]])
    expect(service.directory.tenantRows.get('acme')?.settings).toEqual({ maxConcurrency: 3, paused: true })
  })

  it('replaces all settings of a tenant, and keeps when it was created', async () => {
    await using service = await startFake()
    const first = await service.admin.put('/v1/admin/tenants/acme').send({ maxConcurrency: 3 })

    const response = await service.admin.put('/v1/admin/tenants/acme').send({ weight: 2 })

    expect(response.status).toBe(200)
    expect(response.body).toMatchObject({ maxConcurrency: null, weight: 2, createdAt: first.body.createdAt })
  })

  it('names every wrong field', async () => {
    await using service = await startFake()
    const body = { maxConcurrency: 0, maxBatchJobs: 1_000_001, weight: '1', rate: 5 }

    const response = await service.admin.put('/v1/admin/tenants/acme').send(body)

    expect(response.body.errors.map((error: { pointer: string }) => error.pointer).sort()).toEqual([
      '/maxBatchJobs',
      '/maxConcurrency',
      '/rate',
      '/weight',
    ])
  })

  it.each([['-a'], ['A'], ['a'.repeat(65)], ['a%20b'], ['%00']])('refuses the id %s', async (id) => {
    await using service = await startFake()

    const response = await service.admin.put(`/v1/admin/tenants/${id}`).send({})

    expect(response.status).toBe(422)
    expect(response.body.errors[0].pointer).toBe('/params/tenantId')
  })

  it('applies nothing that could not be stored', async () => {
    await using service = await startFake()
    service.directory.putTenant = () => Promise.reject(new Error('disk full'))

    const response = await service.admin.put('/v1/admin/tenants/acme').send({})

    expect([response.status, response.body.code]).toEqual([503, 'overloaded'])
    expect(service.engine.called('applyTenant')).toEqual([])
  })
})

describe('PATCH /v1/admin/tenants/{tenantId}', () => {
  it('changes what it names, and leaves the rest', async () => {
    await using service = await startFake()
    const { body: before } = await service.admin.put('/v1/admin/tenants/acme').send({ maxConcurrency: 3, weight: 2 })

    const response = await service.admin.patch('/v1/admin/tenants/acme').send({ maxConcurrency: 5, paused: true })

    expect(response.status).toBe(200)
    expect(AdminTenantView.parse(response.body)).toEqual({ ...before, maxConcurrency: 5, paused: true })
    const settings = { maxConcurrency: 5, weight: 2, paused: true }
    expect(service.engine.called('applyTenant').at(-1)).toEqual(['applyTenant', 'acme', settings])
    expect(service.directory.tenantRows.get('acme')?.settings).toEqual(settings)
  })

  it('takes null for the default of the service, of a part of a setting as of a whole one', async () => {
    await using service = await startFake()
    const rate = { jobsPerSecond: 5, requestsPerMinute: 60 }
    await service.admin.put('/v1/admin/tenants/acme').send({ maxConcurrency: 3, paused: true, rate })

    await service.admin
      .patch('/v1/admin/tenants/acme')
      .send({ maxConcurrency: null, paused: null, rate: { jobsPerSecond: null } })
      .expect(200)
    expect(service.directory.tenantRows.get('acme')?.settings).toEqual({ rate: { requestsPerMinute: 60 } })
    const { body } = await service.admin.patch('/v1/admin/tenants/acme').send({ rate: null }).expect(200)

    expect(service.directory.tenantRows.get('acme')?.settings).toEqual({})
    expect(body).toMatchObject({ maxConcurrency: null, paused: false })
  })

  it('changes a part of a setting that there was none of', async () => {
    await using service = await startFake()

    await service.admin
      .patch('/v1/admin/tenants/default')
      .send({ rate: { jobsPerSecond: 0.5 } })
      .expect(200)

    expect(service.directory.tenantRows.get('default')?.settings).toEqual({ rate: { jobsPerSecond: 0.5 } })
  })

  it('changes nothing with an empty object', async () => {
    await using service = await startFake()
    const { body: before } = await service.admin.put('/v1/admin/tenants/acme').send({ weight: 2 })

    const { status, body } = await service.admin.patch('/v1/admin/tenants/acme').send({})

    expect([status, body]).toEqual([200, before])
  })

  it.each<[unknown, number]>([
    [{ maxConcurrency: 0 }, 422],
    [{ nope: 1 }, 422],
    [[], 422],
    ['', 400],
  ])('refuses %j', async (body, status) => {
    await using service = await startFake()

    const response = await service.admin
      .patch('/v1/admin/tenants/default')
      .set('content-type', 'application/json')
      .send(typeof body === 'string' ? body : JSON.stringify(body))

    expect(response.status).toBe(status)
    expect(service.engine.called('applyTenant')).toEqual([])
  })

  it('makes no tenant', async () => {
    await using service = await startFake()

    const { status, body } = await service.admin.patch('/v1/admin/tenants/nobody').send({ weight: 2 })

    expect([status, body.code]).toEqual([404, 'not_found'])
    expect(service.directory.tenantRows.has('nobody')).toBe(false)
  })

  it('loses no change that is made at the same time', async () => {
    await using service = await startFake()
    service.directory.tenants = async () => {
      const rows = [...service.directory.tenantRows.values()]
      // Long enough for the others to have read the same.
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
      return rows
    }
    const patch = (body: object) => service.admin.patch('/v1/admin/tenants/default').send(body).expect(200)

    await Promise.all([patch({ maxConcurrency: 3 }), patch({ weight: 2 }), patch({ paused: true })])

    expect(service.directory.tenantRows.get('default')?.settings).toEqual({
      maxConcurrency: 3,
      weight: 2,
      paused: true,
    })
  })
})

describe('DELETE /v1/admin/tenants/{tenantId}', () => {
  it('has the engine delete it, and forgets its keys', async () => {
    await using service = await startFake()

    const { status, text } = await service.admin.delete('/v1/admin/tenants/default')

    expect([status, text]).toEqual([204, ''])
    expect(service.engine.called('deleteTenant')).toEqual([['deleteTenant', 'default']])
    expect([service.keys.list('default'), (await service.http.get('/v1/tenant')).status]).toEqual([[], 401])
  })

  it.each([['nobody'], ['%00'], ['A B'], ['x'.repeat(5_000)]])('does not know %s', async (id) => {
    await using service = await startFake()

    const { status, body } = await service.admin.delete(
      `/v1/admin/tenants/${encodeURIComponent(decodeURIComponent(id))}`,
    )

    expect([status, body.code]).toEqual([404, 'not_found'])
    expect(service.engine.called('deleteTenant')).toEqual([])
  })

  it('leaves tenant and keys as they are when it could not be stored', async () => {
    await using service = await startFake()
    service.engine.failNext = new OverloadedError('The store cannot write now; nothing was deleted.', 5)

    const { status, headers } = await service.admin.delete('/v1/admin/tenants/default')

    expect([status, headers['retry-after']]).toEqual([503, '5'])
    expect((await service.http.get('/v1/tenant')).status).toBe(200)
  })
})

describe('GET /v1/admin/tenants', () => {
  it('lists all tenants', async () => {
    await using service = await startFake()
    await service.admin.put('/v1/admin/tenants/acme').send({})

    const response = await service.admin.get('/v1/admin/tenants')

    expect(AdminTenantList.parse(response.body).data.map(({ id }) => id)).toEqual(['default', 'acme'])
  })

  it('reads one', async () => {
    await using service = await startFake()

    const response = await service.admin.get('/v1/admin/tenants/default')

    expect(AdminTenantView.parse(response.body)).toMatchObject({ id: 'default', maxConcurrency: null, paused: false })
  })

  it.each([['nobody'], ['%00'], ['A B']])('does not know %s', async (id) => {
    await using service = await startFake()

    const response = await service.admin.get(`/v1/admin/tenants/${encodeURIComponent(decodeURIComponent(id))}`)

    expect([response.status, response.body.code]).toEqual([404, 'not_found'])
  })
})

describe('/v1/admin/tenants/{tenantId}/keys', () => {
  it('makes a key that works at once, and shows it this once', async () => {
    await using service = await startFake()
    await service.admin.put('/v1/admin/tenants/acme').send({})

    const made = await service.admin.post('/v1/admin/tenants/acme/keys').send({ name: 'ci' })
    const used = await service.anybody.get('/v1/tenant').set('authorization', `Bearer ${made.body.key}`)
    const listed = await service.admin.get('/v1/admin/tenants/acme/keys')

    expect(made.status).toBe(201)
    expect(NewKeyView.parse(made.body)).toMatchObject({
      tenantId: 'acme',
      name: 'ci',
      scopes: ['jobs'],
      expiresAt: null,
    })
    expect(used.body.id).toBe('acme')
    expect(KeyList.parse(listed.body).data).toMatchObject([{ id: made.body.id, name: 'ci', revokedAt: null }])
    expect(listed.text).not.toContain(made.body.key)
  })

  it('makes a key without a body', async () => {
    await using service = await startFake()

    const response = await service.admin.post('/v1/admin/tenants/default/keys')

    expect(response.status).toBe(201)
    expect(response.body).toMatchObject({ name: null, scopes: ['jobs'] })
  })

  it('makes a key that expires', async () => {
    const clock = new StillClock()
    await using service = await startFake({ clock })
    const expiresAt = new Date(clock.now() + 1_000).toISOString()

    const made = await service.admin.post('/v1/admin/tenants/default/keys').send({ expiresAt })
    const use = () => service.anybody.get('/v1/tenant').set('authorization', `Bearer ${made.body.key}`)
    const before = await use()
    clock.advance(1_001)
    const after = await use()

    expect(made.body.expiresAt).toBe(expiresAt)
    expect([before.status, after.status]).toEqual([200, 401])
  })

  it('makes a key for the admin routes', async () => {
    await using service = await startFake()
    const made = await service.admin.post('/v1/admin/tenants/default/keys').send({ scopes: ['admin'] })

    const asAdmin = await service.anybody.get('/v1/admin/tenants').set('authorization', `Bearer ${made.body.key}`)
    const asTenant = await service.anybody.get('/v1/tenant').set('authorization', `Bearer ${made.body.key}`)

    expect([asAdmin.status, asTenant.status]).toEqual([200, 403])
  })

  it.each([
    [{ scopes: [] }, '/scopes'],
    [{ scopes: ['root'] }, '/scopes/0'],
    [{ expiresAt: 'soon' }, '/expiresAt'],
    [{ expiresAt: 5 }, '/expiresAt'],
    [{ name: 'n'.repeat(201) }, '/name'],
    [{ secret: 'x' }, '/secret'],
  ])('refuses %j', async (body, pointer) => {
    await using service = await startFake()

    const response = await service.admin.post('/v1/admin/tenants/default/keys').send(body)

    expect(response.body.errors).toMatchObject([{ pointer }])
  })

  it('revokes a key, at once and as often as it is asked', async () => {
    await using service = await startFake()
    const [row] = service.keys.list('default')

    const first = await service.admin.delete(`/v1/admin/tenants/default/keys/${row?.id}`)
    const second = await service.admin.delete(`/v1/admin/tenants/default/keys/${row?.id}`)

    expect([first.status, second.status, first.text]).toEqual([204, 204, ''])
    expect((await service.http.get('/v1/tenant')).status).toBe(401)
  })

  it('does not know keys and tenants that are not there', async () => {
    await using service = await startFake()
    const [row] = service.keys.list('default')

    const answers = [
      await service.admin.post('/v1/admin/tenants/nobody/keys'),
      await service.admin.get('/v1/admin/tenants/nobody/keys'),
      await service.admin.delete(`/v1/admin/tenants/nobody/keys/${row?.id}`),
      await service.admin.delete('/v1/admin/tenants/default/keys/nope'),
    ]

    expect(answers.map(({ status }) => status)).toEqual([404, 404, 404, 404])
  })
})

describe('egress of a tenant', () => {
  const NONE = { mode: null, allow: null, allowHosts: null, deny: null, denyHosts: null }
  const put = (service: Awaited<ReturnType<typeof startFake>>, egress: unknown) =>
    service.admin.put('/v1/admin/tenants/acme').send({ egress })
  const kept = (service: Awaited<ReturnType<typeof startFake>>) =>
    service.directory.tenantRows.get('acme')?.settings.egress

  it('is kept, applied and shown, null where it says nothing', async () => {
    await using service = await startFake()
    const egress = { mode: 'allow-list', allow: ['192.0.2.0/24', '192.0.2.9:9000'], denyHosts: ['*.example.org'] }

    const { status, body } = await put(service, egress)

    expect([status, AdminTenantView.parse(body).egress]).toEqual([201, { ...NONE, ...egress }])
    expect(kept(service)).toEqual(egress)
    expect(service.engine.called('applyTenant').at(-1)).toEqual(['applyTenant', 'acme', { egress }])
  })

  it.each([undefined, null])('is of nobody when it is %s', async (egress) => {
    await using service = await startFake()

    const { body } = await put(service, egress)

    expect(body.egress).toEqual(NONE)
    expect(service.directory.tenantRows.get('acme')?.settings).toEqual({})
  })

  it('takes null for a list as for none: an empty one closes', async () => {
    await using service = await startFake()

    await put(service, { mode: null, allow: null, allowHosts: [], deny: null }).expect(201)

    expect(kept(service)).toEqual({ allowHosts: [] })
  })

  it('is changed list by list in a PATCH, each list as a whole', async () => {
    await using service = await startFake()
    await put(service, { mode: 'allow-list', allow: ['192.0.2.1', '192.0.2.2'], denyHosts: ['a.test'] })
    const patch = async (egress: unknown) => {
      await service.admin.patch('/v1/admin/tenants/acme').send({ egress }).expect(200)
      return kept(service)
    }

    expect(await patch({ allow: ['192.0.2.3'], mode: null })).toEqual({ allow: ['192.0.2.3'], denyHosts: ['a.test'] })
    expect(await patch({ deny: ['192.0.2.4'], denyHosts: null })).toEqual({ allow: ['192.0.2.3'], deny: ['192.0.2.4'] })
    expect(await patch({})).toEqual({ allow: ['192.0.2.3'], deny: ['192.0.2.4'] })
    expect(await patch(null)).toBeUndefined()
  })

  it('is refused with a pointer to each entry that is wrong, together with what else is', async () => {
    await using service = await startFake()
    const body = {
      weight: 0,
      egress: { mode: 'off', allow: ['ok', 'a!', 5, ''], allowHosts: ['b!'], denyHosts: 'x', deny: ['ok'], more: [] },
    }

    const { status, body: problem } = await service.admin.put('/v1/admin/tenants/acme').send(body)

    expect(status).toBe(422)
    const { errors } = problem as { errors: { pointer: string; detail: string }[] }
    expect(errors.map(({ pointer }) => pointer).sort()).toEqual([
      '/egress/allow/1',
      '/egress/allow/2',
      '/egress/allow/3',
      '/egress/allowHosts/0',
      '/egress/denyHosts',
      '/egress/mode',
      '/egress/more',
      '/weight',
    ])
    expect(errors).toContainEqual({ pointer: '/egress/allow/1', detail: 'allow has a!.' })
    expect(errors).toContainEqual({ pointer: '/egress/allowHosts/0', detail: 'allowHosts has b!.' })
    expect(service.directory.tenantRows.has('acme')).toBe(false)
  })

  it('has at most 1,000 entries of 300 characters in a list', async () => {
    await using service = await startFake()
    const wide = Array.from({ length: 1_000 }, (_, i) => `${i}`.padEnd(300, 'x'))

    await put(service, { deny: wide }).expect(201)
    const many = await put(service, { deny: [...wide, 'x'] }).expect(422)
    const long = await put(service, { denyHosts: ['ok', `${'x'.repeat(300)}!`] }).expect(422)

    expect(many.body.errors).toEqual([{ pointer: '/egress/deny', detail: 'Must be at most 1000 entries long.' }])
    expect(long.body.errors).toEqual([
      { pointer: '/egress/denyHosts/1', detail: 'Must be at most 300 characters long.' },
    ])
  })
})
