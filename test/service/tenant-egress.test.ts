import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, it } from 'vitest'
import { startReopenable } from '../restart/reopen.ts'
import { TestDns } from '../support/dns.ts'
import { type Caller, startService, type TestService } from '../support/service.ts'

/** What a tenant is told of a URL that it submits: null when it may. */
async function refusalOf(caller: Caller, url: string): Promise<string | null> {
  const jobs = [{ kind: 'fetch', url, delayMs: 3_600_000 }]
  const { status, body } = await caller.http.post('/v1/batches').send({ jobs })
  if (status === 202) {
    caller.track(body.id)
    return null
  }
  const { pointer, code } = body.errors[0]
  return `${status} ${pointer} ${code}`
}

const DENIED = '422 /jobs/0/url egress_denied'
const HERE = 'http://127.0.0.1:8080/'
const NARROW = { egress: { deny: ['127.0.0.1'] } }

/** A fetch that stays queued because its tenant is paused, and what becomes of it once it is not. */
async function afterPause(service: TestService, caller: Caller, change: object) {
  const { id } = await caller.submit({ jobs: [service.fetch('/ok')] })
  await service.admin
    .patch(`/v1/admin/tenants/${caller.name}`)
    .send({ ...change, paused: false })
    .expect(200)
  const { jobs } = await caller.drained(id)
  return [jobs[0]?.state, jobs[0]?.error?.code]
}

describe("a tenant's egress", () => {
  it('holds for its own fetches, and for nobody else', async () => {
    await using service = await startService({ tenants: { narrow: NARROW, other: {} } })

    expect(await refusalOf(service.as('narrow'), HERE)).toBe(DENIED)
    expect(await refusalOf(service.as('narrow'), 'http://127.0.0.2:8080/')).toBe(null)
    expect(await refusalOf(service.as('other'), HERE)).toBe(null)
  })

  it('opens nothing that the service has not opened', async () => {
    const wide = { mode: 'public' as const, allow: ['10.0.0.0/8', '127.0.0.2'], allowHosts: ['app.corp', '*.local'] }
    await using service = await startService({ tenants: { wide: { egress: wide } } })
    const caller = service.as('wide')

    for (const url of ['http://10.1.2.3/', 'http://app.corp/', 'http://printer.local/', 'http://169.254.169.254/'])
      expect([url, await refusalOf(caller, url)]).toEqual([url, DENIED])
    expect(await refusalOf(caller, 'http://127.0.0.2/')).toBe(null)
    // Its own list is all that is left of the service's.
    expect(await refusalOf(caller, HERE)).toBe(DENIED)
  })

  it('leaves nothing with an allow-list of nothing, and public addresses without one', async () => {
    const egress = { allow: [], allowHosts: [] }
    const closed = { egress: { ...egress, mode: 'allow-list' as const } }
    await using service = await startService({ tenants: { closed, open: { egress } } })
    const urls = ['https://example.com/', 'https://93.184.216.34/', HERE]
    const all = (caller: Caller) => Promise.all(urls.map((url) => refusalOf(caller, url)))

    expect(await all(service.as('closed'))).toEqual([DENIED, DENIED, DENIED])
    expect(await all(service.as('open'))).toEqual([null, null, DENIED])
  })

  it('cannot leave the allow-list of the service', async () => {
    const open = { egress: { mode: 'public' as const } }
    await using service = await startService({ egressMode: 'allow-list', tenants: { open } })

    expect(await refusalOf(service.as('open'), 'https://93.184.216.34/')).toBe(DENIED)
    expect(await refusalOf(service.as('open'), HERE)).toBe(null)
  })

  it('acts at once when it is changed, on the next submission and on what is queued', async () => {
    await using service = await startService({ tenants: { t: { paused: true } } })
    const t = service.as('t')

    expect(await afterPause(service, t, NARROW)).toEqual(['failed', 'egress_denied'])
    expect(await refusalOf(t, HERE)).toBe(DENIED)
    expect(service.origin.hitsOf('/ok')).toBe(0)

    await service.admin.patch('/v1/admin/tenants/t').send({ paused: true, egress: null }).expect(200)
    expect(await afterPause(service, t, {})).toEqual(['succeeded', undefined])
  })

  it('acts on what runs, before its next connection', async () => {
    await using service = await startService({ tenants: { t: {} } })
    const t = service.as('t')
    const asked = Promise.withResolvers<ServerResponse>()
    const redirector = createServer((_request, response) => asked.resolve(response)).listen(0, '127.0.0.1')
    await once(redirector, 'listening')
    // It listens on TCP, so its address is one.
    const { port } = redirector.address() as AddressInfo
    const { id } = await t.submit({ jobs: [{ kind: 'fetch', url: `http://127.0.0.1:${port}/` }] })
    const response = await asked.promise

    await service.admin.patch('/v1/admin/tenants/t').send(NARROW).expect(200)
    response.writeHead(302, { location: service.origin.url('/ok') }).end()
    const { jobs } = await t.drained(id)
    redirector.close()

    expect(jobs[0]?.error?.code).toBe('egress_denied')
    expect(service.origin.hitsOf('/ok')).toBe(0)
  })

  it('acts on what is still resolving the name of its host', async () => {
    const answer = Promise.withResolvers<void>()
    await using dns = await TestDns.start({ 'slow.test': { A: [['127.0.0.1']], after: answer.promise } })
    await using service = await startService({ egressDns: [dns.server], tenants: { t: {} } })
    const t = service.as('t')
    const { port } = new URL(service.origin.url('/ok'))
    const { id } = await t.submit({ jobs: [{ kind: 'fetch', url: `http://slow.test:${port}/ok` }] })
    await dns.asked('slow.test')

    await service.admin
      .patch('/v1/admin/tenants/t')
      .send({ egress: { denyHosts: ['slow.test'] } })
      .expect(200)
    answer.resolve()

    const { jobs } = await t.drained(id)
    expect(jobs[0]?.error?.code).toBe('egress_denied')
    expect(service.origin.hitsOf('/ok')).toBe(0)
  })

  it('goes with the tenant: a new one of its name has none of it', async () => {
    await using service = await startService({ tenants: { other: {} } })
    await service.admin.put('/v1/admin/tenants/guest').send(NARROW).expect(201)
    await service.admin.delete('/v1/admin/tenants/guest').expect(204)

    const guest = await service.addTenant('guest')

    expect(await refusalOf(guest, HERE)).toBe(null)
    const { body } = await service.admin.get('/v1/admin/tenants/guest')
    expect(body.egress.deny).toBe(null)
  })

  it('names the entries that the guard cannot use', async () => {
    await using service = await startService()
    const egress = {
      allow: ['10.0.0.0/8', '10.0.0.1/8', 'app.corp'],
      allowHosts: ['app.corp', 'http://x/'],
      deny: ['::1', '[::1]:0'],
      denyHosts: ['*', '10.0.0.1'],
    }

    const { status, body } = await service.admin.put('/v1/admin/tenants/t').send({ egress })

    expect(status).toBe(422)
    expect(body.errors.map(({ pointer }: { pointer: string }) => pointer)).toEqual([
      '/egress/allow/1',
      '/egress/allow/2',
      '/egress/allowHosts/1',
      '/egress/deny/1',
      '/egress/denyHosts/0',
      '/egress/denyHosts/1',
    ])
    expect(body.errors[5].detail).toBe('"10.0.0.1" is an address; it belongs in the list of addresses.')
  })
})

/** Gives tenant `t` of a store at rest these settings and no others. */
function setEgress(dataDir: string, settings: object): void {
  using database = new DatabaseSync(join(dataDir, 'gatherd.db'))
  database.prepare(`UPDATE tenants SET settings = ? WHERE id = 't'`).run(JSON.stringify(settings))
}

describe("a tenant's egress after a restart", () => {
  it('is as it was, before the first job starts', async () => {
    await using service = await startReopenable()
    await service.addTenant('t', { paused: true })
    const { id } = await service.as('t').submit({ jobs: [service.fetch('/ok')] })
    const image = service.image()
    setEgress(image, NARROW)

    await service.moveTo(image)

    const { jobs } = await service.as('t').drained(id)
    expect(jobs[0]?.error?.code).toBe('egress_denied')
    expect(service.origin.hitsOf('/ok')).toBe(0)
    expect(await refusalOf(service.as('t'), HERE)).toBe(DENIED)
    expect(await refusalOf(service.me, HERE)).toBe(null)
  })

  it('stops the start when it cannot be used, and names the tenant', async () => {
    await using service = await startReopenable()
    await service.addTenant('t', NARROW)
    const image = service.image()
    setEgress(image, { egress: { deny: ['10.0.0.1/8'] } })

    await expect(service.moveTo(image)).rejects.toThrow(
      /^The egress rules of tenant "t" cannot be used: deny: "10\.0\.0\.1\/8" /,
    )
  })
})
