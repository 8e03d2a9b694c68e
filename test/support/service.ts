import { mkdtemp, rm } from 'node:fs/promises'
import { type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import supertest from 'supertest'
import { expect } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { type Config, readConfig } from '../../src/config.ts'
import type { TenantSettings } from '../../src/engine/engine.ts'
import { buildLogger } from '../../src/log.ts'
import type { Traces } from '../../src/traces/start.ts'
import { type Service, wire } from '../../src/wiring.ts'
import { checkCap, checkLog, type WireBatch, type WireEvent, type WireJob } from '../service/check-log.ts'
import { type Origin, startOrigin } from './origin.ts'
import { freshRedis } from './redis.ts'

/** The operator's key of every test service. */
export const ADMIN_KEY = 'the-operators-key-of-a-test-service'

/** Origins of tests are on this machine, where fetches do not go unless they are let. For `GATHERD_EGRESS_ALLOW`. */
export const LOOPBACK = '127.0.0.0/8,::1'

/** Whether the services of this run are replicas over a Redis: the same tests hold for both engines. */
export const IN_CLUSTER = ['cluster', 'spread'].includes(process.env.GATHERD_TEST_ENGINE ?? '')

/** Whether a second replica stands beside each of them, and nearly all attempts run there. */
export const SPREADS = process.env.GATHERD_TEST_ENGINE === 'spread'

/** The tenant that a test is, unless it says otherwise. */
const ME = 'acme'

/** A batch as a test submits it. */
export type Submission = Record<string, unknown> & { jobs: Record<string, unknown>[] }

/** What a test service can be told; settings that are absent have the service's defaults. */
export interface ServiceOptions extends Partial<Config> {
  /** Tenants beside or instead of `acme`, with their settings. */
  tenants?: Record<string, TenantSettings>
  /** True: a scratch directory instead of `:memory:`. */
  onDisk?: boolean
  /** Makes traces. */
  traces?: Traces | undefined
  /** Called when the service has closed, before it is looked at what is left open. */
  afterClose?: () => Promise<void>
}

/** Everything about a drained batch, as a caller can read it. */
export interface Drained {
  batch: WireBatch
  jobs: WireJob[]
  events: WireEvent[]
}

/**
 * Start a whole service on 127.0.0.1, port 0: real store, real engine, real sockets, and an origin of its own for its
 * fetches. Letting it go ends every batch that was submitted here, holds all their logs against the invariants, closes
 * everything and fails when something is left open or an error was logged.
 */
export async function startService(options: ServiceOptions = {}): Promise<TestService> {
  const { tenants = {}, onDisk = false, traces, afterClose, ...config } = options
  const redisUrl = IN_CLUSTER ? await freshRedis() : undefined
  const before = resources()
  const dataDir = onDisk ? await mkdtemp(join(tmpdir(), 'gatherd-test-')) : ':memory:'
  const origin = await startOrigin()
  const logged: string[] = []
  const settings = {
    ...readConfig({
      GATHERD_ADMIN_KEY: ADMIN_KEY,
      GATHERD_DATA_DIR: dataDir,
      GATHERD_EGRESS_ALLOW: LOOPBACK,
      // A machine that is busy with tests is late.
      GATHERD_MAX_EVENT_LOOP_DELAY_MS: '0',
      GATHERD_REDIS_URL: redisUrl,
    }),
    ...config,
  }
  const start = (own: Partial<Config>) =>
    wire(
      { ...settings, ...own },
      {
        clock: systemClock,
        logger: buildLogger({ level: 'warn', destination: lines(logged) }),
        traces,
        version: '0.0.0-test',
        onFatal: (error) => logged.push(`fatal: ${error.message}`),
      },
    )
  const spreads = SPREADS && config.maxConcurrency === undefined
  const service = await start(spreads ? { maxConcurrency: 1 } : {})
  const helper = spreads ? await start({}) : null
  const url = await service.app.listen({ host: '127.0.0.1', port: 0 })
  const started = new TestService({
    service,
    helper,
    origin,
    url,
    logged,
    before,
    dataDir: onDisk ? dataDir : null,
    afterClose: afterClose ?? (() => Promise.resolve()),
  })
  for (const [name, settings] of Object.entries({ [ME]: {}, ...tenants })) await started.addTenant(name, settings)
  return started
}

function lines(into: string[]): Writable {
  return new Writable({
    write(chunk, _encoding, done) {
      into.push(String(chunk))
      done()
    },
  })
}

/** A running service, seen from outside. */
export class TestService implements AsyncDisposable {
  readonly origin: Origin
  readonly url: string
  readonly port: number
  /** Warnings and errors of the service's log. A test that expects one takes it out. */
  readonly logged: string[]
  readonly #service: Service
  readonly #helper: Service | null
  readonly #before: ReadonlyMap<string, number>
  readonly #dataDir: string | null
  readonly #afterClose: () => Promise<void>
  readonly #callers = new Map<string, Caller>()
  /** Tenants whose cap never changed. */
  readonly #caps = new Map<string, number>()
  #closed = false

  constructor(options: {
    service: Service
    helper: Service | null
    origin: Origin
    url: string
    logged: string[]
    before: ReadonlyMap<string, number>
    dataDir: string | null
    afterClose: () => Promise<void>
  }) {
    this.#service = options.service
    this.#helper = options.helper
    this.origin = options.origin
    this.url = options.url
    this.port = Number(new URL(options.url).port)
    this.logged = options.logged
    this.#before = options.before
    this.#dataDir = options.dataDir
    this.#afterClose = options.afterClose
  }

  /** The caller of most tests. */
  get me(): Caller {
    return this.as(ME)
  }

  /** A tenant of this service. */
  as(name: string): Caller {
    const caller = this.#callers.get(name)
    if (caller === undefined) throw new Error(`There is no tenant ${name} here.`)
    return caller
  }

  /** Requests with the operator's key. */
  get admin() {
    return supertest.agent(this.url).set('authorization', `Bearer ${ADMIN_KEY}`)
  }

  /** Requests without a key. */
  get anonymous() {
    return supertest.agent(this.url)
  }

  /** What runs inside, for what cannot be seen from outside. */
  get inside(): Service {
    return this.#service
  }

  async addTenant(name: string, settings: TenantSettings = {}): Promise<Caller> {
    await this.configure(name, settings)
    const { body } = await this.admin.post(`/v1/admin/tenants/${name}/keys`).send({}).expect(201)
    this.#caps.set(name, settings.maxConcurrency ?? this.#service.engine.tenant(name).limits.maxConcurrency)
    const caller = new Caller({ name, key: body.key, url: this.url })
    this.#callers.set(name, caller)
    return caller
  }

  /** Replace a tenant's settings while it runs. */
  async configure(name: string, settings: TenantSettings): Promise<void> {
    this.#caps.delete(name)
    const { status } = await this.admin.put(`/v1/admin/tenants/${name}`).send(settings)
    expect([200, 201]).toContain(status)
  }

  /** `fetch` of this service's origin. */
  fetch(path: string, more: Record<string, unknown> = {}): Record<string, unknown> {
    return { kind: 'fetch', url: this.origin.url(path), ...more }
  }

  /** May be called twice. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    try {
      await this.#checkAll()
    } finally {
      await this.#service.close()
      await this.#helper?.close()
      await this.#afterClose()
      await this.origin.whenIdle()
      await this.origin[Symbol.asyncDispose]()
      if (this.#dataDir !== null) await rm(this.#dataDir, { recursive: true, force: true })
    }
    expect(this.logged, 'nothing is logged at warn or above').toEqual([])
    await expectNothingLeft(this.#before)
  }

  /** End what was started here, and hold every log against the invariants. */
  async #checkAll(): Promise<void> {
    for (const [name, caller] of this.#callers) {
      const logs: WireEvent[][] = []
      for (const { id, shielded } of caller.submitted) {
        const { batch, jobs, events } = await caller.ended(id)
        checkLog(events, batch, jobs, shielded)
        if (batch.maxConcurrency !== null) checkCap([events], batch.maxConcurrency)
        logs.push(events)
      }
      const cap = this.#caps.get(name)
      if (cap !== undefined) checkCap(logs, cap)
      const { usage } = (await caller.http.get('/v1/tenant').expect(200)).body
      if (caller.tracksAll) expect(usage).toMatchObject({ queued: 0, running: 0, cancelling: 0, stuck: 0 })
    }
  }
}

/** One tenant with its key. */
export class Caller {
  readonly name: string
  readonly key: string
  readonly url: string
  /** Batches that are checked in the end. */
  readonly submitted: { id: string; shielded: Set<number> }[] = []
  /** False when batches were submitted that are not in `submitted`. */
  tracksAll = true

  constructor({ name, key, url }: { name: string; key: string; url: string }) {
    this.name = name
    this.key = key
    this.url = url
  }

  /** supertest with this tenant's key. */
  get http() {
    return supertest.agent(this.url).set('authorization', `Bearer ${this.key}`)
  }

  /** Submit a batch that is accepted. */
  async submit(submission: Submission): Promise<WireBatch> {
    const { status, body } = await this.http.post('/v1/batches').send(submission)
    expect([status, body.errors ?? body.detail]).toEqual([202, undefined])
    this.track(body.id, submission.jobs)
    return body
  }

  /** Have a batch checked in the end that was not submitted by `submit`. */
  track(id: string, jobs: readonly Record<string, unknown>[] = []): void {
    this.submitted.push({ id, shielded: shieldedOf(jobs, 0) })
  }

  /** Append jobs that are accepted. */
  async append(batchId: string, jobs: Record<string, unknown>[]): Promise<WireJob[]> {
    const { status, body } = await this.http.post(`/v1/batches/${batchId}/jobs`).send({ jobs })
    expect([status, body.errors ?? body.detail]).toEqual([201, undefined])
    this.note(batchId, body.data[0].index, jobs)
    return body.data
  }

  /** Have it known in the check at the end which of the jobs appended from an index on are shielded. */
  note(batchId: string, from: number, jobs: readonly Record<string, unknown>[]): void {
    for (const index of shieldedOf(jobs, from)) this.submitted.find(({ id }) => id === batchId)?.shielded.add(index)
  }

  /** Submit a batch and follow it until it has drained. */
  async run(submission: Submission): Promise<Drained> {
    return await this.drained((await this.submit(submission)).id)
  }

  async batch(id: string): Promise<WireBatch> {
    return (await this.http.get(`/v1/batches/${id}`).expect(200)).body
  }

  async job(id: string): Promise<WireJob> {
    return (await this.http.get(`/v1/jobs/${id}`).expect(200)).body
  }

  async cancel(id: string, body: { reason?: string } = {}): Promise<{ status: number; cancelled: boolean }> {
    const response = await this.http.post(`/v1/batches/${id}/cancel`).send(body)
    return { status: response.status, cancelled: response.body.cancelled }
  }

  async cancelJob(id: string, body: { reason?: string } = {}): Promise<{ status: number; cancelled: boolean }> {
    const response = await this.http.post(`/v1/jobs/${id}/cancel`).send(body)
    return { status: response.status, cancelled: response.body.cancelled }
  }

  /** Resolves when the batch has drained, with all there is to read about it. */
  async drained(id: string): Promise<Drained> {
    await using stream = await this.stream(id)
    const events = await stream.rest()
    expect(events.at(-1)).toMatchObject({ type: 'batch.drained' })
    const { body } = await this.http.get(`/v1/batches/${id}?include=jobs`).expect(200)
    const { jobs, ...batch } = body
    return { batch, jobs, events }
  }

  /** Cancel whatever of a batch still lives, and resolve when it has drained. */
  async ended(id: string): Promise<Drained> {
    const { body } = await this.http.get(`/v1/batches/${id}?include=jobs`).expect(200)
    if (body.drainedAt === null) {
      await this.cancel(id)
      for (const job of body.jobs) if (job.finishedAt === null) await this.cancelJob(job.id)
    }
    return await this.drained(id)
  }

  /** Resolves with the first event of the batch that matches, past or to come. */
  async seen(id: string, type: string, index?: number): Promise<WireEvent> {
    await using stream = await this.stream(id)
    const event = await stream.find((each) => each.type === type && (index === undefined || each.index === index))
    if (event === undefined) throw new Error(`The log ended without ${type}.`)
    return event
  }

  /** Open a stream of a batch's events on a socket of its own. */
  async stream(id: string, options: StreamOptions = {}): Promise<EventStream> {
    const { format = 'ndjson', lastEventId, ...query } = options
    const parameters = new URLSearchParams(
      Object.entries(query).map(([name, value]): [string, string] => [name, String(value)]),
    )
    const response = await this.open('GET', `/v1/batches/${id}/events?${parameters}`, {
      accept: TYPES[format],
      ...(lastEventId !== undefined && { 'last-event-id': String(lastEventId) }),
    })
    return new EventStream(response, format)
  }

  /** Send a request on a socket of its own, and resolve with the head of its answer; the body is not read. */
  async open(method: string, path: string, headers: OutgoingHttpHeaders = {}, body?: string): Promise<IncomingMessage> {
    return await new Promise((resolve, reject) => {
      const all = { authorization: `Bearer ${this.key}`, ...headers }
      const outgoing = request(new URL(path, this.url), { method, agent: false, headers: all })
      outgoing.once('response', resolve).once('error', reject)
      outgoing.end(body)
    })
  }
}

function shieldedOf(jobs: readonly Record<string, unknown>[], from: number): Set<number> {
  return new Set(jobs.flatMap((job, i) => (job.shield === true ? [from + i] : [])))
}

/** How a stream is asked for. */
export interface StreamOptions {
  format?: 'sse' | 'ndjson'
  after?: number
  lastEventId?: number | string
  only?: 'completions'
  timeoutMs?: number
}

const TYPES = { sse: 'text/event-stream', ndjson: 'application/x-ndjson' } as const

/** An open stream of events. Reads nothing from its socket before it is asked. */
export class EventStream implements AsyncDisposable {
  readonly response: IncomingMessage
  /** Of an SSE stream: what came beside events, in order. */
  readonly notes: string[] = []
  readonly #events: AsyncGenerator<WireEvent, void, undefined>

  constructor(response: IncomingMessage, format: 'sse' | 'ndjson') {
    this.response = response
    this.#events = format === 'sse' ? this.#readSse() : this.#readNdjson()
  }

  get status(): number | undefined {
    return this.response.statusCode
  }

  /** The next event; undefined when the stream has ended. */
  async next(): Promise<WireEvent | undefined> {
    return (await this.#events.next()).value ?? undefined
  }

  /** The next `count` events, fewer when the stream ends. */
  async take(count: number): Promise<WireEvent[]> {
    const events: WireEvent[] = []
    while (events.length < count) {
      const event = await this.next()
      if (event === undefined) break
      events.push(event)
    }
    return events
  }

  /** Read on to the first event that matches. */
  async find(matches: (event: WireEvent) => boolean): Promise<WireEvent | undefined> {
    for (let event = await this.next(); event !== undefined; event = await this.next()) {
      if (matches(event)) return event
    }
    return undefined
  }

  /** Everything up to the end of the stream. */
  async rest(): Promise<WireEvent[]> {
    return await this.take(Number.POSITIVE_INFINITY)
  }

  /** Cut the connection. */
  destroy(): void {
    this.response.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.response.destroy()
  }

  async *#readNdjson(): AsyncGenerator<WireEvent, void, undefined> {
    for await (const line of this.#lines()) if (line !== '') yield JSON.parse(line)
  }

  async *#readSse(): AsyncGenerator<WireEvent, void, undefined> {
    let frame: Record<string, string> = {}
    for await (const line of this.#lines()) {
      const [, field = '', value = ''] = /^([a-z]*): ?(.*)$/.exec(line) ?? []
      if (line !== '') frame[field] = value
      else {
        if (frame.data === undefined) this.notes.push(JSON.stringify(frame))
        else yield eventOf(frame)
        frame = {}
      }
    }
  }

  async *#lines(): AsyncGenerator<string, void, undefined> {
    try {
      yield* createInterface({ input: this.response, crlfDelay: Number.POSITIVE_INFINITY })
    } catch (error) {
      // The test cut the connection itself.
      if (!this.response.destroyed) throw error
    }
  }
}

/** An event of an SSE frame, whose `id` and `event` say what its data says. */
function eventOf({ id, event, data = '' }: Record<string, string>): WireEvent {
  const parsed: WireEvent = JSON.parse(data)
  expect([event, id]).toEqual([parsed.type, parsed.seq === undefined ? undefined : String(parsed.seq)])
  return parsed
}

/** A sleep, for a batch. */
export function sleepFor(durationMs: number, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { kind: 'sleep', durationMs, ...more }
}

/** A sleep that no test waits for. */
export function forever(more: Record<string, unknown> = {}): Record<string, unknown> {
  return sleepFor(3_600_000, more)
}

/** What a type of event adds to the job it is about: `job.started 1`. */
export function shortLog(events: readonly WireEvent[]): string[] {
  return events.map(({ type, index, cause }) =>
    [type, ...(index === undefined ? [] : [index]), ...(cause === undefined ? [] : [cause])].join(' '),
  )
}

/** What keeps a process alive, counted by its type. */
function resources(): Map<string, number> {
  const counts = new Map<string, number>()
  for (const type of process.getActiveResourcesInfo()) counts.set(type, (counts.get(type) ?? 0) + 1)
  return counts
}

const WATCHED = ['TCPServerWrap', 'TCPSocketWrap', 'Timeout', 'MessagePort', 'Worker', 'FSReqCallback']

/** Sockets close a few turns after they were destroyed, and the origin may still be about to answer; what stays is a leak. */
async function expectNothingLeft(before: ReadonlyMap<string, number>): Promise<void> {
  const giveUpAt = performance.now() + 2_000
  while (leaked(before).length > 0 && performance.now() < giveUpAt)
    await new Promise((resolve) => setImmediate(resolve))
  expect(leaked(before), 'handles that are left open').toEqual([])
}

function leaked(before: ReadonlyMap<string, number>): string[] {
  const now = resources()
  return WATCHED.filter((type) => (now.get(type) ?? 0) > (before.get(type) ?? 0)).map(
    (type) => `${type}: ${before.get(type) ?? 0} -> ${now.get(type)}`,
  )
}
