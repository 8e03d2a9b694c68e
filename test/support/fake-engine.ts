import type {
  BatchSubmission,
  BatchView,
  Engine,
  Forecast,
  JsonText,
  StreamEvent,
  SubmitOptions,
  TenantLimits,
} from '../../src/engine/engine.ts'
import { NotFoundError, ShuttingDownError } from '../../src/errors.ts'
import type { CommonSpec } from '../../src/jobs/kind.ts'

/** What the fake was asked, in order. */
export type Call = [method: string, ...args: unknown[]]

/** A batch in its fake life: queued until `settle`. */
interface FakeBatch {
  tenantId: string
  view: BatchView
  jobs: Record<string, unknown>[]
  events: StreamEvent[]
  waiters: Set<() => void>
}

const AT = '2026-01-02T03:04:05.678Z'

/**
 * An {@link Engine} without machinery: batches stay queued until a test settles them. Notes every call, and can be told
 * to fail.
 */
export class FakeEngine implements Engine {
  readonly calls: Call[] = []
  readonly batchesById = new Map<string, FakeBatch>()
  accepting = true
  healthy = true
  /** Thrown by the next call, whatever it is. */
  failNext: Error | null = null
  /** Streams that were opened and have not been let go. */
  openStreams = 0
  limits: TenantLimits = {
    maxConcurrency: 16,
    maxQueuedJobs: 100_000,
    maxBatchJobs: 10_000,
    maxLiveBatches: 10_000,
    maxStoredBytes: null,
    weight: 1,
    rate: { jobsPerSecond: null, requestsPerMinute: null },
  }
  /** What the store would delete with a tenant. */
  onDelete: (tenantId: string) => void = () => undefined
  /** What every forecast says of its jobs and of the queue. */
  wouldWaitOn: Forecast['waitingOn'][number] = null
  wouldFitAfterS: number | null = null
  /** How many jobs a page of `allJobs` has. */
  pageSize = 2

  async submit(tenantId: string, batch: BatchSubmission, { hold }: SubmitOptions = {}): Promise<BatchView> {
    this.#note('submit', tenantId, batch, ...(hold ? [{ timeoutMs: hold.timeoutMs, bytes: hold.bytes }] : []))
    if (!this.accepting) throw new ShuttingDownError()
    const id = `batch-${this.batchesById.size + 1}`
    const fake: FakeBatch = { tenantId, view: viewOf(id, batch), jobs: [], events: [], waiters: new Set() }
    this.batchesById.set(id, fake)
    this.#add(fake, batch.jobs)
    this.emit(id, 'batch.accepted')
    return fake.view
  }

  async forecast(tenantId: string, batch: BatchSubmission): Promise<Forecast> {
    this.#note('forecast', tenantId, batch)
    if (!this.accepting) throw new ShuttingDownError()
    return { waitingOn: batch.jobs.map(() => this.wouldWaitOn), retryAfterS: this.wouldFitAfterS }
  }

  async replay(): Promise<null> {
    return null
  }

  async append(tenantId: string, batchId: string, jobs: CommonSpec[]): Promise<JsonText[]> {
    this.#note('append', tenantId, batchId, jobs)
    return this.#add(this.#find(tenantId, batchId), jobs).map((job) => JSON.stringify(job))
  }

  async close(tenantId: string, batchId: string): Promise<BatchView> {
    this.#note('close', tenantId, batchId)
    return this.#find(tenantId, batchId).view
  }

  async stop(tenantId: string, batchId: string) {
    this.#note('stop', tenantId, batchId)
    return this.#end(tenantId, batchId)
  }

  async cancel(tenantId: string, batchId: string, reason: string | null) {
    this.#note('cancel', tenantId, batchId, reason)
    return this.#end(tenantId, batchId)
  }

  async cancelJob(tenantId: string, jobId: string, reason: string | null) {
    this.#note('cancelJob', tenantId, jobId, reason)
    const job = this.#findJob(tenantId, jobId)
    return { cancelled: job.finishedAt === null, job: JSON.stringify(job) }
  }

  async reschedule(tenantId: string, jobId: string, change: object): Promise<JsonText> {
    this.#note('reschedule', tenantId, jobId, change)
    return JSON.stringify(this.#findJob(tenantId, jobId))
  }

  async batch(tenantId: string, batchId: string): Promise<BatchView> {
    this.#note('batch', tenantId, batchId)
    return this.#find(tenantId, batchId).view
  }

  async batches(tenantId: string, query: Parameters<Engine['batches']>[1]) {
    this.#note('batches', tenantId, query)
    const data = [...this.batchesById.values()].filter((fake) => fake.tenantId === tenantId).map(({ view }) => view)
    const page = data.slice(0, query.limit)
    return { data: page, nextCursor: page.length < data.length ? 'c2' : null }
  }

  async job(tenantId: string, jobId: string): Promise<JsonText> {
    this.#note('job', tenantId, jobId)
    return JSON.stringify(this.#findJob(tenantId, jobId))
  }

  async jobs(tenantId: string, batchId: string, query: Parameters<Engine['jobs']>[2]) {
    this.#note('jobs', tenantId, batchId, query)
    const { jobs } = this.#find(tenantId, batchId)
    const data = jobs.slice(0, query.limit).map((job) => JSON.stringify(job))
    return { data, nextCursor: data.length < jobs.length ? 'c"2' : null }
  }

  async allJobs(tenantId: string, batchId: string): Promise<AsyncIterable<JsonText[]>> {
    this.#note('allJobs', tenantId, batchId)
    return pages(this.#find(tenantId, batchId).jobs, this.pageSize)
  }

  async untilSettled(tenantId: string, batchId: string, timeoutMs: number, signal?: AbortSignal): Promise<BatchView> {
    this.#note('untilSettled', tenantId, batchId, timeoutMs)
    const fake = this.#find(tenantId, batchId)
    if (fake.view.settledAt === null && timeoutMs > 0) await this.#change(fake, signal)
    return fake.view
  }

  async wait(tenantId: string, batchId: string, query: Parameters<Engine['wait']>[2]) {
    const { signal: _, ...rest } = query
    this.#note('wait', tenantId, batchId, rest)
    const { jobs } = this.#find(tenantId, batchId)
    const pending = jobs.filter((job) => job.finishedAt === null).map((job) => String(job.id))
    return {
      done: pages(
        jobs.filter((job) => job.finishedAt !== null),
        this.pageSize,
      ),
      pending,
    }
  }

  async events(tenantId: string, batchId: string, query: Parameters<Engine['events']>[2]) {
    const { signal, ...rest } = query
    this.#note('events', tenantId, batchId, rest)
    const fake = this.#find(tenantId, batchId)
    if (fake.view.drainedAt !== null && query.after >= fake.events.length) return null
    return this.#follow(fake, query.after, signal)
  }

  async inspect(tenantId: string) {
    return this.tenant(tenantId)
  }

  tenant(tenantId: string) {
    return {
      id: tenantId,
      limits: this.limits,
      paused: false,
      usage: { queued: 0, running: 0, cancelling: 0, stuck: 0, batches: 0, storedBytes: 0 },
    }
  }

  applyTenant(tenantId: string, settings: object): void {
    this.#note('applyTenant', tenantId, settings)
  }

  async deleteTenant(tenantId: string): Promise<void> {
    this.#note('deleteTenant', tenantId)
    this.onDelete(tenantId)
  }

  async drain(graceMs: number): Promise<void> {
    this.#note('drain', graceMs)
    this.accepting = false
  }

  async shutdown(): Promise<void> {
    this.accepting = false
  }

  /** Add an event to a batch's log, and wake who follows it. */
  emit(batchId: string, type: string, more: object = {}): void {
    const fake = this.batchesById.get(batchId)
    if (!fake) return
    const seq = fake.events.length + 1
    fake.events.push({ seq, type, json: JSON.stringify({ seq, type, at: AT, batchId, ...more }) })
    fake.view = { ...fake.view, seq }
    this.#wake(fake)
  }

  /** End a batch and all its jobs. */
  settle(batchId: string): void {
    const fake = this.batchesById.get(batchId)
    if (!fake) return
    for (const job of fake.jobs) Object.assign(job, { state: 'succeeded', finishedAt: AT })
    fake.view = { ...fake.view, state: 'succeeded', settledAt: AT, drainedAt: AT }
    this.emit(batchId, 'batch.settled')
    this.emit(batchId, 'batch.drained')
  }

  /** The calls of one method. */
  called(method: string): Call[] {
    return this.calls.filter(([name]) => name === method)
  }

  async *#follow(fake: FakeBatch, after: number, signal?: AbortSignal): AsyncGenerator<StreamEvent[]> {
    this.openStreams += 1
    try {
      let at = after
      while (!signal?.aborted) {
        const fresh = fake.events.slice(at)
        at += fresh.length
        if (fresh.length > 0) yield fresh
        if (fresh.some(({ type }) => type === 'batch.drained')) return
        if (fresh.length === 0) await this.#change(fake, signal)
      }
    } finally {
      this.openStreams -= 1
    }
  }

  #change(fake: FakeBatch, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      fake.waiters.add(resolve)
      signal?.addEventListener('abort', () => resolve(), { once: true })
    })
  }

  #wake(fake: FakeBatch): void {
    const waiters = [...fake.waiters]
    fake.waiters.clear()
    for (const wake of waiters) wake()
  }

  #end(tenantId: string, batchId: string) {
    const { view } = this.#find(tenantId, batchId)
    return { cancelled: view.settledAt === null, batch: view }
  }

  #add(fake: FakeBatch, specs: CommonSpec[]) {
    const jobs = specs.map((spec, offset) => jobOf(fake.view.id, fake.jobs.length + offset, spec))
    fake.jobs.push(...jobs)
    return jobs
  }

  #find(tenantId: string, batchId: string): FakeBatch {
    const fake = this.batchesById.get(batchId)
    if (fake?.tenantId !== tenantId) throw new NotFoundError()
    return fake
  }

  #findJob(tenantId: string, jobId: string): Record<string, unknown> {
    for (const fake of this.batchesById.values()) {
      const job = fake.jobs.find(({ id }) => id === jobId)
      if (job && fake.tenantId === tenantId) return job
    }
    throw new NotFoundError()
  }

  #note(...call: Call): void {
    this.calls.push(call)
    const failure = this.failNext
    this.failNext = null
    if (failure) throw failure
  }
}

async function* pages(jobs: Record<string, unknown>[], size: number): AsyncGenerator<JsonText[]> {
  for (let at = 0; at < jobs.length; at += size) yield jobs.slice(at, at + size).map((job) => JSON.stringify(job))
}

function viewOf(id: string, { jobs, traceparent: _, ...batch }: BatchSubmission): BatchView {
  const counts = {
    total: jobs.length,
    queued: jobs.length,
    running: 0,
    cancelling: 0,
    succeeded: 0,
    failed: 0,
    timed_out: 0,
    cancelled: 0,
  }
  const self = `/v1/batches/${id}`
  const links = { self, jobs: `${self}/jobs`, events: `${self}/events`, cancel: `${self}/cancel` }
  const ends = { settledAt: null, drainedAt: null, winner: null, error: null, cancel: null }
  return { ...batch, id, state: 'running', counts, acceptedAt: AT, seq: 0, links, ...ends }
}

function jobOf(batchId: string, index: number, { kind, name }: CommonSpec): Record<string, unknown> {
  const never = { startedAt: null, finishedAt: null, cause: null, reason: null, result: null, error: null }
  const job = { id: `${batchId}-${index}`, batchId, index, name: name ?? `job-${index}`, kind, state: 'queued' }
  return { ...job, attempts: 0, cancelRequests: 0, acceptedAt: AT, ...never }
}
