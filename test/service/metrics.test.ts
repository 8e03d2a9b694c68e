import { describe, expect, it } from 'vitest'
import { CATALOG, type Declaration } from '../../src/metrics/catalog.ts'
import { parseScrape, type Scrape, seriesOf, sumOf } from '../metrics/parse.ts'
import { rawRequest } from '../support/raw.ts'
import { IN_CLUSTER, SPREADS, startService, type TestService } from '../support/service.ts'

/** What the service says now. */
async function scrape(service: TestService): Promise<Scrape> {
  const { text } = await service.admin.get('/metrics').expect(200)
  return parseScrape(text)
}

const sleep = (durationMs: number, more: Record<string, unknown> = {}) => ({ kind: 'sleep', durationMs, ...more })

describe('GET /metrics', () => {
  it('is for a key with scope admin, and nobody else', async () => {
    await using service = await startService()

    const statuses = [
      (await service.anonymous.get('/metrics')).status,
      (await service.me.http.get('/metrics')).status,
      (await service.admin.get('/metrics')).status,
    ]

    expect(statuses).toEqual([401, 403, 200])
  })

  it('answers in the format that is wanted', async () => {
    await using service = await startService()
    const typeFor = async (accept: string) =>
      (await service.admin.get('/metrics').set('accept', accept)).headers['content-type']

    expect(await typeFor('*/*')).toBe('text/plain; version=0.0.4; charset=utf-8')
    expect(await typeFor('application/openmetrics-text;version=1.0.0,text/plain;q=0.5')).toBe(
      'application/openmetrics-text; version=1.0.0; charset=utf-8',
    )
    expect(await typeFor('image/png')).toBe('application/problem+json; charset=utf-8')
  })

  it('has the labels that are declared, all of them and no others', async () => {
    await using service = await startService()
    await service.me.run({ policy: 'gather', jobs: [sleep(0), service.fetch('/fail')] })

    const { samples } = await scrape(service)
    const wrong = samples.filter(({ name, labels }) => {
      if (!name.startsWith('gatherd_')) return false
      const { le: _le, ...own } = labels
      const declared: Declaration | undefined =
        CATALOG[name.replace(/_(?:bucket|sum|count)$/, '') as keyof typeof CATALOG] ?? CATALOG[name as never]
      return Object.keys(own).sort().join() !== [...(declared?.labels ?? ['undeclared'])].sort().join()
    })

    expect(wrong).toEqual([])
  })
})

describe('what is measured of jobs', () => {
  it('counts them as they are accepted, start and end', async () => {
    await using service = await startService()
    const failing = service.fetch('/fail')
    await service.me.run({
      policy: 'all_settled',
      jobs: [sleep(0), sleep(0), failing, sleep(60_000, { timeoutMs: 1 })],
    })

    const after = await scrape(service)

    const ended = (kind: string, state: string, code: string) =>
      seriesOf(after, 'gatherd_jobs_ended_total', { kind, state, code })
    expect(ended('sleep', 'succeeded', 'none')).toBe(2)
    expect(ended('fetch', 'failed', 'http_status')).toBe(1)
    expect(ended('sleep', 'timed_out', 'timeout')).toBe(1)
    expect(sumOf(after, 'gatherd_jobs_ended_total')).toBe(4)
    const bySleep = ['jobs_accepted', 'attempts'].map((name) =>
      seriesOf(after, `gatherd_${name}_total`, { kind: 'sleep' }),
    )
    expect(bySleep).toEqual([3, 3])
    expect(seriesOf(after, 'gatherd_job_wait_seconds_count', { kind: 'sleep' })).toBe(3)
    expect(seriesOf(after, 'gatherd_attempt_duration_seconds_count', { kind: 'fetch' })).toBe(1)
    expect(sumOf(after, 'gatherd_attempts_repeated_total')).toBe(0)
  })

  it('counts jobs that were cancelled before they started, each under its own kind', async () => {
    await using service = await startService({ tenants: { acme: { paused: true } } })
    const jobs = [sleep(1), service.fetch('/ok'), sleep(1), sleep(1)]
    const { id } = await service.me.submit({ policy: 'gather', jobs })
    await service.me.cancel(id)
    await service.me.drained(id)

    const after = await scrape(service)

    const cancelled = (kind: string) =>
      seriesOf(after, 'gatherd_jobs_ended_total', { kind, state: 'cancelled', code: 'batch_cancel' })
    expect([cancelled('sleep'), cancelled('fetch')]).toEqual([3, 1])
    expect(sumOf(after, 'gatherd_attempts_total')).toBe(0)
    expect(sumOf(after, 'gatherd_attempt_duration_seconds_count')).toBe(0)
  })

  it('shows what is queued by kind, and what it waits for', async () => {
    await using service = await startService({ tenants: { acme: { paused: true } } })
    const held = [sleep(1), sleep(1, { delayMs: 60_000 }), service.fetch('/ok'), service.fetch('/ok')]
    const { id } = await service.me.submit({ policy: 'gather', jobs: held })
    await service.me.submit({ policy: 'race', jobs: [sleep(1)] })
    await service.me.append((await service.me.submit({ policy: 'gather', open: true, jobs: [] })).id, [sleep(1)])

    const during = await scrape(service)
    await service.me.ended(id)
    const after = await scrape(service)

    const queued = (at: Scrape, kind: string) => seriesOf(at, 'gatherd_jobs_queued', { kind })
    expect([queued(during, 'sleep'), queued(during, 'fetch')]).toEqual([4, 2])
    expect([queued(after, 'sleep'), queued(after, 'fetch')]).toEqual([2, 0])
    const waiting = (reason: string) => seriesOf(during, 'gatherd_jobs_waiting', { reason })
    expect([waiting('paused'), waiting('delay'), waiting('server-cap')]).toEqual([5, 1, 0])
    expect(seriesOf(during, 'gatherd_batches_open', { policy: 'race' })).toBe(1)
    expect(sumOf(during, 'gatherd_batches_open')).toBe(3)
    expect(seriesOf(during, 'gatherd_tenants_paused')).toBe(1)
  })

  it('shows what runs, who has all of its slots, and what waits for them', async () => {
    await using service = await startService({ tenants: { acme: { maxConcurrency: 2 } } })
    const jobs = [service.fetch('/hang'), service.fetch('/hang'), sleep(1), sleep(1), sleep(1)]
    const { id } = await service.me.submit({ policy: 'gather', jobs })
    await service.me.seen(id, 'job.started', 1)

    const during = await scrape(service)

    expect(seriesOf(during, 'gatherd_jobs_running', { kind: 'fetch' })).toBe(2)
    expect(seriesOf(during, 'gatherd_jobs_waiting', { reason: 'tenant-cap' })).toBe(3)
    expect(seriesOf(during, 'gatherd_slots_used', { cap: 'tenants' })).toBe(2)
    expect(seriesOf(during, 'gatherd_slots', { cap: 'tenants' })).toBeGreaterThanOrEqual(2)
    expect(seriesOf(during, 'gatherd_tenants_at_cap')).toBe(1)
    if (!SPREADS) expect(seriesOf(during, 'gatherd_slots_used', { cap: 'server' })).toBe(2)
    if (!SPREADS) expect(seriesOf(during, 'gatherd_slots', { cap: 'server' })).toBe(256)
  })

  it('counts batches by policy and outcome', async () => {
    await using service = await startService()
    await service.me.run({ policy: 'gather', jobs: [sleep(0)] })
    await service.me.run({ policy: 'task_group', jobs: [service.fetch('/fail')] })
    await service.me.run({ policy: 'gather', jobs: [] })

    const after = await scrape(service)

    const settled = (policy: string, state: string) =>
      seriesOf(after, 'gatherd_batches_settled_total', { policy, state })
    expect([settled('gather', 'succeeded'), settled('task_group', 'failed')]).toEqual([2, 1])
    expect(seriesOf(after, 'gatherd_batches_accepted_total', { policy: 'gather' })).toBe(2)
    expect(seriesOf(after, 'gatherd_batch_duration_seconds_count', { policy: 'task_group' })).toBe(1)
    expect(sumOf(after, 'gatherd_batches_open')).toBe(0)
  })
})

describe('what is measured of everything else', () => {
  it('times the commits of the store', async () => {
    await using service = await startService()
    await service.me.run({ policy: 'gather', jobs: Array.from({ length: 20 }, () => sleep(0)) })

    const after = await scrape(service)

    const commits = seriesOf(after, 'gatherd_store_commit_duration_seconds_count') ?? 0
    expect(commits).toBeGreaterThanOrEqual(2)
    expect(seriesOf(after, 'gatherd_store_commit_rows_count')).toBe(commits)
    // A batch, its head, twenty specs, twenty ends, and at least an entry of the log.
    expect(seriesOf(after, 'gatherd_store_commit_rows_sum')).toBeGreaterThanOrEqual(43)
    expect(seriesOf(after, 'gatherd_store_writable')).toBe(1)
    expect(seriesOf(after, 'gatherd_store_commit_failures_total')).toBe(0)
    expect(seriesOf(after, 'gatherd_store_kept_bytes')).toBeGreaterThan(0)
  })

  it('counts requests by route, method and class of status, and why submissions were refused', async () => {
    await using service = await startService()
    await service.me.http.post('/v1/batches').send({ jobs: 'none' }).expect(422)
    await service.me.http.get('/v1/batches/nobody-knows').expect(404)
    await service.anonymous.get('/v1/batches').expect(401)
    await service.anonymous.get('/nothing?secret=1').expect(404)

    const after = await scrape(service)

    const requests = (route: string, method: string) =>
      seriesOf(after, 'gatherd_http_requests_total', { route, method, status: '4xx' })
    expect(requests('/v1/batches', 'POST')).toBe(1)
    expect(requests('/v1/batches/:batchId', 'GET')).toBe(1)
    expect(requests('/v1/batches', 'GET')).toBe(1)
    expect(requests('none', 'GET')).toBe(1)
    expect(seriesOf(after, 'gatherd_submissions_refused_total', { code: 'invalid_argument' })).toBe(1)
    expect(sumOf(after, 'gatherd_submissions_refused_total')).toBe(1)
    expect(seriesOf(after, 'gatherd_http_problems_total', { code: 'not_found' })).toBe(2)
    expect(seriesOf(after, 'gatherd_http_problems_total', { code: 'unauthenticated' })).toBe(1)
  })

  it('counts who hangs up during a wait, a stream or a submission, and logs it', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ policy: 'gather', open: true, jobs: [] })
    const stream = await service.me.stream(id)
    const ends = ['wait=30', 'wait=31'].map((prefer) => {
      const end = new AbortController()
      const headers = { authorization: `Bearer ${service.me.key}`, prefer, 'content-type': 'application/json' }
      const body = prefer === 'wait=31' ? JSON.stringify({ policy: 'gather', open: true, jobs: [] }) : undefined
      const url = `http://127.0.0.1:${service.port}/v1/batches${body ? '' : `/${id}`}`
      fetch(url, { method: body ? 'POST' : 'GET', headers, body: body ?? null, signal: end.signal }).catch(
        () => undefined,
      )
      return end
    })
    await expect.poll(async () => seriesOf(await scrape(service), 'gatherd_observers')).toBe(3)

    stream.destroy()
    for (const end of ends) end.abort()

    const left = async (method: string, route: string) =>
      seriesOf(await scrape(service), 'gatherd_http_requests_total', { method, route, status: 'left' })
    await expect.poll(() => left('GET', '/v1/batches/:batchId/events')).toBe(1)
    await expect.poll(() => left('GET', '/v1/batches/:batchId')).toBe(1)
    await expect.poll(() => left('POST', '/v1/batches')).toBe(1)
  })

  it('has durations that never fall, whatever is answered', async () => {
    await using service = await startService()
    const sums = async () => {
      const scraped = await scrape(service)
      return ['/livez', 'none'].map((route) =>
        seriesOf(scraped, 'gatherd_http_request_duration_seconds_sum', { route, method: 'GET' }),
      )
    }
    for (let i = 0; i < 20; i++) {
      await service.anonymous.get(`/nothing-${i}`).expect(404)
      await rawRequest(service.port, 'GET /livez HTTP/1.1\r\n\r\n')
    }

    for (const sum of await sums()) expect(sum).toBeGreaterThan(0)
  })

  it('counts what never became a request by its problem', async () => {
    await using service = await startService()
    await rawRequest(service.port, 'NONSENSE\r\n\r\n')
    await rawRequest(service.port, 'CONNECT a.example:443 HTTP/1.1\r\nHost: gatherd\r\n\r\n')

    const after = await scrape(service)

    expect(seriesOf(after, 'gatherd_http_problems_total', { code: 'bad_request' })).toBe(1)
    expect(seriesOf(after, 'gatherd_http_problems_total', { code: 'method_not_allowed' })).toBe(1)
    expect(seriesOf(after, 'gatherd_connections_dropped_total')).toBe(0)
  })

  it('counts streams and held answers while they are open', async () => {
    await using service = await startService()
    const { id } = await service.me.submit({ policy: 'gather', open: true, jobs: [] })
    const stream = await service.me.stream(id)
    const wait = service.me.http.get(`/v1/batches/${id}`).set('prefer', 'wait=30').then()

    await expect.poll(async () => seriesOf(await scrape(service), 'gatherd_observers')).toBe(2)
    const during = await scrape(service)
    await service.me.http.post(`/v1/batches/${id}/close`).expect(200)
    await stream.rest()
    await wait
    await expect.poll(async () => seriesOf(await scrape(service), 'gatherd_observers')).toBe(0)

    expect(seriesOf(during, 'gatherd_streams_open')).toBe(1)
    expect(seriesOf(await scrape(service), 'gatherd_streams_open')).toBe(0)
  })

  it('counts destinations that were refused, at the submission and at the attempt', async () => {
    await using service = await startService()
    const closed = { kind: 'fetch', url: 'http://10.1.2.3/' }
    await service.me.http
      .post('/v1/batches')
      .send({ jobs: [closed, closed, { ...closed, url: 'http://192.0.2.1/' }] })
      .expect(422)
    await service.me.run({ policy: 'all_settled', jobs: [service.fetch(`/redirect?to=${closed.url}`)] })

    const after = await scrape(service)

    const refused = (stage: string) => seriesOf(after, 'gatherd_egress_refusals_total', { stage, kind: 'address' })
    expect([refused('submission'), refused('attempt')]).toEqual([3, 1])
    expect(seriesOf(after, 'gatherd_jobs_ended_total', { kind: 'fetch', code: 'egress_denied' })).toBe(1)
  })

  it('shows the budgets with their limits', async () => {
    await using service = await startService({ maxUnreadBytes: 1_048_576 })

    const now = await scrape(service)

    expect(seriesOf(now, 'gatherd_unread_limit_bytes')).toBe(1_048_576)
    expect(seriesOf(now, 'gatherd_request_body_limit_bytes')).toBe(4 * 16 * 1_048_576)
    expect(seriesOf(now, 'gatherd_response_body_limit_bytes')).toBe(268_435_456)
    expect([seriesOf(now, 'gatherd_unread_bytes'), seriesOf(now, 'gatherd_request_body_bytes')]).toEqual([0, 0])
    expect(seriesOf(now, 'gatherd_http_under_pressure')).toBe(0)
  })

  it.runIf(IN_CLUSTER)('shows what a replica is', async () => {
    await using service = await startService()
    await service.me.run({ policy: 'gather', jobs: [sleep(0)] })

    const after = await scrape(service)

    expect(seriesOf(after, 'gatherd_cluster_tenants_owned')).toBeGreaterThanOrEqual(SPREADS ? 0 : 1)
    expect(seriesOf(after, 'gatherd_cluster_lease_seconds')).toBeGreaterThan(0)
    expect(seriesOf(after, 'gatherd_cluster_connected')).toBe(1)
    expect(seriesOf(after, 'gatherd_cluster_leases_lost_total')).toBe(0)
    expect(seriesOf(after, 'gatherd_build_info', { store: 'redis' })).toBe(1)
  })

  it.runIf(IN_CLUSTER)('shows of tenants those that the replica owns, and not all that it has heard of', async () => {
    const others = { b: { paused: true }, c: { paused: true }, d: {} }
    await using service = await startService({ tenants: { acme: {}, ...others } })
    await service.me.run({ policy: 'gather', jobs: [sleep(0)] })

    const after = await scrape(service)

    expect(seriesOf(after, 'gatherd_tenants')).toBe(seriesOf(after, 'gatherd_cluster_tenants_owned'))
    expect(seriesOf(after, 'gatherd_tenants')).toBeLessThanOrEqual(1)
    expect(seriesOf(after, 'gatherd_tenants_paused')).toBe(0)
  })

  it.runIf(!IN_CLUSTER)('says nothing of replicas where there are none', async () => {
    await using service = await startService()

    const { samples } = await scrape(service)

    expect(samples.filter(({ name }) => name.startsWith('gatherd_cluster'))).toEqual([])
  })
})
