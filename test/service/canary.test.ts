import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Canaries, filesOf } from '../support/canary.ts'
import { type Origin, startOrigin } from '../support/origin.ts'
import { Collector } from '../support/otlp.ts'
import { ADMIN_KEY, Installation } from '../support/process.ts'
import { rawRequest } from '../support/raw.ts'

/** What may not be on disk in any form. All else that is sent is the tenant's data: on disk, and in no log. */
const SECRETS = [
  'job authorization',
  'job cookie',
  'job x-api-key',
  'job token',
  'job signature',
  'appended',
  'rescheduled',
  'cancelled',
  'password',
  'api key',
  'admin key',
  'wrong key',
  'own header',
  'own cookie',
]

type Job = Record<string, unknown>

const SETTINGS = {
  GATHERD_LOG_LEVEL: 'trace',
  GATHERD_MAX_EVENT_LOOP_DELAY_MS: '0',
  GATHERD_HOST_CONCURRENCY: '64',
  GATHERD_EGRESS_ALLOW: '127.0.0.0/8',
  GATHERD_KINDS: join(import.meta.dirname, 'canary-kinds.ts'),
  GATHERD_DRAIN_GRACE_MS: '100',
  OTEL_BSP_SCHEDULE_DELAY: '100',
}

/** A service with everything logged and traced, the canaries that were sent to it, and what it said. */
class Aviary implements AsyncDisposable {
  readonly canaries = new Canaries()
  readonly origin: Origin
  /** Every answer that was a problem, every error of a job, and what each process printed. */
  readonly problems: string[] = []
  readonly errors: string[] = []
  readonly printed: string[] = []
  readonly scraped: string[] = []
  /** Where spans go. */
  readonly collector: Collector
  readonly #installation: Installation
  #key = ''

  constructor(origin: Origin, collector: Collector) {
    this.origin = origin
    this.collector = collector
    this.#installation = new Installation({ ...SETTINGS, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })
    this.canaries.note('admin key', ADMIN_KEY)
  }

  of(place: string): string {
    return this.canaries.of(place)
  }

  get port(): number {
    return Number(new URL(this.#installation.url).port)
  }

  get files(): Map<string, Buffer> {
    return filesOf(this.#installation.dataDir)
  }

  async start(): Promise<void> {
    await this.#installation.start()
    if (this.#key !== '') return
    const { key } = await this.admin('POST', '/v1/admin/tenants/default/keys', {})
    this.#key = key
    this.canaries.note('api key', key)
  }

  /** Scrape the metrics, in both formats, as the operator. */
  async scrape(): Promise<void> {
    for (const accept of ['text/plain', 'application/openmetrics-text']) {
      const headers = { authorization: `Bearer ${ADMIN_KEY}`, accept }
      this.scraped.push(await (await fetch(`${this.#installation.url}/metrics`, { headers })).text())
    }
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    const { process } = this.#installation
    await process.end(signal)
    this.printed.push(process.stdout, process.stderr)
  }

  /** Call as the tenant; resolves with the JSON of the answer. */
  async call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
    const sent = typeof body === 'string' || body === undefined ? body : JSON.stringify(body)
    const own = {
      'x-own-secret': this.of('own header'),
      cookie: `sid=${this.of('own cookie')}`,
      tracestate: `x=${this.of('trace state')}`,
    }
    const type: Record<string, string> = sent === undefined ? {} : { 'content-type': 'application/json' }
    const all = { authorization: `Bearer ${this.#key}`, ...own, ...type, ...headers }
    const response = await fetch(this.#installation.url + path, { method, headers: all, body: sent })
    const text = await response.text()
    if (response.status >= 400) this.problems.push(text)
    return /^application\/(problem\+)?json/.test(response.headers.get('content-type') ?? '') ? JSON.parse(text) : text
  }

  async admin(method: string, path: string, body?: unknown) {
    return await this.call(method, path, body, { authorization: `Bearer ${ADMIN_KEY}` })
  }

  /** Submit a batch and resolve with its id. */
  async submit(jobs: Job[], more: Job = {}, headers: Record<string, string> = {}): Promise<string> {
    const batch = await this.call('POST', '/v1/batches', { jobs, ...more }, headers)
    expect(batch).toHaveProperty('id')
    return batch.id
  }

  /** Follow a batch to its end by every way of reading it. */
  async drained(id: string): Promise<Job[]> {
    await this.call('GET', `/v1/batches/${id}/events`, undefined, { accept: 'application/x-ndjson' })
    await this.call('GET', `/v1/batches/${id}/events`, undefined, { accept: 'text/event-stream' })
    await this.call('GET', `/v1/batches/${id}/jobs?order=completion`)
    const { jobs } = await this.call('GET', `/v1/batches/${id}?include=jobs`)
    // That of a cancelled job has the reason, which is there to be read.
    for (const { state, error } of jobs) if (state !== 'cancelled') this.errors.push(JSON.stringify(error))
    return jobs
  }

  /** A fetch with a canary wherever one can be. */
  fetch(path: string, more: Job = {}, url = this.origin.url(path)): Job {
    const separator = url.includes('?') ? '&' : '?'
    return {
      kind: 'fetch',
      url: `${url}${separator}q=${this.of('query')}`,
      headers: {
        Authorization: `Bearer ${this.of('job authorization')}`,
        cookie: `a=b; sid=${this.of('job cookie')}`,
        'X-Api-Key': this.of('job x-api-key'),
        'my-Token': this.of('job token'),
        'x-hub-signature': this.of('job signature'),
        'x-plain': this.of('plain header'),
      },
      ...more,
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#installation[Symbol.asyncDispose]()
    await this.origin[Symbol.asyncDispose]()
  }
}

/** Fetches that go well, and those that fail in every way a fetch can. */
async function everyKindOfJob(aviary: Aviary): Promise<void> {
  const { origin } = aviary
  const body = aviary.of('request body')
  const closed = await startOrigin()
  const refused = closed.url('/')
  await closed[Symbol.asyncDispose]()
  const jobs = [
    aviary.fetch('/ok/a', { method: 'POST', body }),
    aviary.fetch('/ok/b', { method: 'PUT', json: { password: body } }),
    aviary.fetch(`/ok/c?body=${aviary.of('response body')}&h.set-cookie=${aviary.of('response header')}`),
    aviary.fetch(`/${aviary.of('path')}`),
    aviary.fetch('/fail'),
    aviary.fetch('/ok/json', { response: 'json' }),
    aviary.fetch('/ok/large', { maxResponseBytes: 1 }),
    aviary.fetch('/hang', { timeoutMs: 50 }),
    aviary.fetch('/loop'),
    aviary.fetch(`/redirect?to=${encodeURIComponent(`http://user:${aviary.of('redirected')}@127.0.0.1/`)}`),
    aviary.fetch('/bad-gzip?how=garbage'),
    ...['status', 'header', 'chunk', 'lengths'].map((how) => aviary.fetch(`/malformed?how=${how}`)),
    ...['before', 'headers', 'body', 'short'].map((how) => aviary.fetch(`/reset?how=${how}`)),
    aviary.fetch('', {}, refused),
    aviary.fetch('', {}, `https://127.0.0.1:${origin.port}/`),
    aviary.fetch('', { timeoutMs: 2_000 }, `http://${aviary.of('host')}.invalid/`),
    { kind: 'leaky', password: aviary.of('password') },
  ]
  const more = {
    name: aviary.of('name'),
    labels: { label: aviary.of('label') },
    context: { who: aviary.of('context') },
  }
  const ended = await aviary.drained(
    await aviary.submit(jobs, more, { 'idempotency-key': aviary.of('idempotency key') }),
  )
  expect(ended.filter(({ state }) => state === 'succeeded').length).toBeGreaterThanOrEqual(4)
  expect(ended.filter(({ state }) => state === 'failed').length).toBeGreaterThanOrEqual(14)
}

/** What is refused, each with a canary in the wrong place. */
async function everyKindOfRefusal(aviary: Aviary): Promise<void> {
  const wrong = aviary.of('wrong field')
  const ok = aviary.fetch('/ok')
  const jobs = [
    { ...ok, timeoutMs: wrong },
    { ...ok, method: wrong },
    { ...ok, okStatus: [wrong] },
    { kind: wrong },
    wrong,
    { ...ok, url: `http://user:${wrong}@127.0.0.1/` },
    { ...ok, url: `ftp://${wrong}/` },
    { ...ok, url: `http://\u0000${wrong}/` },
    { ...ok, headers: { authorization: `${wrong}\n` } },
    { ...ok, headers: { host: wrong } },
    { ...ok, headers: { 'proxy-authorization': wrong } },
    { ...ok, headers: wrong },
    { ...ok, method: 'POST', bodyBase64: `%${wrong}` },
    { ...ok, response: wrong },
    { kind: 'leaky', password: [wrong] },
    { ...ok, onRestart: wrong },
    { ...ok, context: { k: [wrong] } },
  ]
  for (const job of jobs) await aviary.call('POST', '/v1/batches', { jobs: [job] })
  for (const more of [{ policy: wrong }, { labels: wrong }, { defaults: { timeoutMs: wrong } }, { n: wrong }])
    await aviary.call('POST', '/v1/batches', { jobs: [ok], ...more })
  const json = { 'content-type': 'application/json' }
  await aviary.call('POST', '/v1/batches', `{"jobs": ${wrong}}`, json)
  await aviary.call('POST', '/v1/batches', `"${wrong}`, json)
  await aviary.call('POST', '/v1/batches', wrong, { 'content-type': 'text/plain' })
  const key = { 'idempotency-key': aviary.of('idempotency key') }
  await aviary.call('POST', '/v1/batches', { jobs: [ok] }, key)
  await aviary.call('POST', '/v1/batches', { jobs: [{ kind: 'leaky', password: wrong, breaks: wrong }] })
  await everyWrongRequest(aviary, wrong)
}

async function everyWrongRequest(aviary: Aviary, wrong: string): Promise<void> {
  const key = aviary.of('wrong key')
  for (const authorization of [`Bearer ${key}`, `Bearer gth_${key}`, `Basic ${key}`, key])
    await aviary.call('GET', '/v1/tenant', undefined, { authorization })
  for (const path of [`/v1/batches/${wrong}`, `/v1/jobs/${wrong}`, `/${wrong}?${wrong}`, `/v1/batches?cursor=${wrong}`])
    await aviary.call('GET', path)
  // Names of fields are in pointers, which say where a mistake is: only values are canaries.
  for (const query of [`state=${wrong}`, `limit=${wrong}`, `api_key=${wrong}`])
    await aviary.call('GET', `/v1/batches?${query}`)
  for (const [name, value] of Object.entries({
    accept: `x/${wrong}`,
    prefer: `wait=${wrong}`,
    'idempotency-key': `"${wrong}`,
  }))
    await aviary.call('POST', '/v1/batches', { jobs: [] }, { [name]: value })
  await aviary.call('DELETE', `/v1/batches?${wrong}`)
  await aviary.admin('PUT', `/v1/admin/tenants/acme`, { maxConcurrency: wrong })
  for (const text of [`${wrong}\r\n\r\n`, `GET /${wrong} HTTP/9\r\n\r\n`, `GET / HTTP/1.1\r\n${wrong}\r\n\r\n`])
    aviary.problems.push((await rawRequest(aviary.port, text)).body)
}

/** Jobs that are running, queued, appended, rescheduled, cancelled and streamed when the process ends. */
async function leaveInFlight(aviary: Aviary, name: string): Promise<string> {
  const auth = (place: string) => ({ headers: { authorization: aviary.of(place) } })
  const path = `/hold/${name}`
  const jobs = [
    aviary.fetch(path),
    aviary.fetch('/ok/after', auth('rescheduled')),
    aviary.fetch('/ok/never', auth('cancelled')),
  ]
  const id = await aviary.submit(jobs, { maxConcurrency: 1 })
  await aviary.origin.whenHit(path)
  await aviary.call('POST', `/v1/batches/${id}/jobs`, { jobs: [aviary.fetch('/ok/appended', auth('appended'))] })
  await aviary.call('PATCH', `/v1/jobs/${id}-1`, { priority: 5, deadlineMs: 60_000 })
  await aviary.call('PATCH', `/v1/jobs/${id}-1`, { priority: aviary.of('wrong field') })
  await aviary.call('POST', `/v1/jobs/${id}-2/cancel`, { reason: aviary.of('reason') })
  return id
}

describe('what a service is told in confidence', () => {
  it('is in no log, metric, trace, problem or error of a job, and its secrets in no file', async () => {
    await using collector = await Collector.start()
    await using aviary = new Aviary(await startOrigin(), collector)
    await aviary.start()
    await everyKindOfJob(aviary)
    await everyKindOfRefusal(aviary)
    const crashed = await leaveInFlight(aviary, 'crash')
    const files = [aviary.files]
    await aviary.scrape()
    await aviary.end('SIGKILL')
    files.push(aviary.files)
    await aviary.start()
    aviary.origin.release('/hold/crash')
    const after = await aviary.drained(crashed)
    const stopped = await leaveInFlight(aviary, 'stop')
    await aviary.end('SIGTERM')
    files.push(aviary.files)
    await aviary.start()
    aviary.origin.release('/hold/stop')
    await aviary.drained(stopped)
    await aviary.scrape()
    await aviary.end('SIGTERM')
    files.push(aviary.files)

    const { canaries, printed, problems, errors } = aviary
    // The secrets were really sent, those that a restart read from the disk as well.
    const authorizations = aviary.origin.hits.map(({ headers }) => headers.authorization)
    expect(authorizations).toContain(canaries.of('appended'))
    expect(authorizations).toContain(canaries.of('rescheduled'))
    expect(authorizations).toContain(`Bearer ${canaries.of('job authorization')}`)
    expect(after.map(({ state }) => state)).toEqual(['succeeded', 'succeeded', 'cancelled', 'succeeded'])
    // There was something to search: lines of every kind, among them those of the canary's own 500.
    expect(printed.join('').split('\n').length).toBeGreaterThan(80)
    expect(printed.join('')).toContain('"msg":"request failed"')
    expect(problems.length).toBeGreaterThan(40)
    for (const name of ['POST /v1/batches', 'batch', 'job', 'attempt fetch', 'attempt'])
      expect([name, collector.named(name).length > 0]).toEqual([name, true])
    expect(canaries.foundIn(Buffer.concat([...(files[0]?.values() ?? [])]))).toContain('query')

    expect(aviary.scraped[0]).toContain('gatherd_jobs_ended_total{kind="fetch",state="failed",code="http_status"}')
    expect(aviary.scraped[0]).toContain('gatherd_http_problems_total{code="internal"}')

    expect(canaries.foundIn(printed.join('\n'))).toEqual([])
    expect(canaries.foundIn(aviary.scraped.join('\n'))).toEqual([])
    // Nor who they are, or which jobs they have.
    expect(aviary.scraped.join('\n')).not.toMatch(/default|acme|127\.0\.0\.1|https?:|[0-9a-f]{8}-[0-9a-f]{4}/)
    expect(canaries.foundIn(problems.join('\n'))).toEqual([])
    expect(canaries.foundIn(Buffer.concat(collector.bodies))).toEqual([])
    expect(canaries.foundIn(errors.join('\n'))).toEqual([])
    expect(errors.join('\n')).not.toMatch(/127\.0\.0\.1|localhost|https?:|ECONN|ENOTFOUND/)
    for (const moment of files)
      for (const [name, bytes] of moment) expect([name, canaries.foundIn(bytes, SECRETS)]).toEqual([name, []])
  }, 60_000)
})
