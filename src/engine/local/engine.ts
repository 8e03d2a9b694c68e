import { setMaxListeners } from 'node:events'
import type { Clock } from '../../clock.ts'
import {
  BatchDeletedError,
  BatchFinishedError,
  EmptyWaitSetError,
  JobFinishedError,
  NotFoundError,
  OverloadedError,
  ShuttingDownError,
} from '../../errors.ts'
import type { CommonSpec } from '../../jobs/kind.ts'
import type { Census, EngineCounts } from '../../metrics/engine-counts.ts'
import type { BatchRow, Store } from '../../store/store.ts'
import {
  AT_ONCE,
  type BatchesQuery,
  type BatchSubmission,
  type BatchView,
  type Engine,
  type EventsQuery,
  type Forecast,
  type Idempotency,
  type JobsQuery,
  type JsonText,
  type Page,
  type Pages,
  type Reschedule,
  type ReturnWhen,
  type StreamEvent,
  type SubmitOptions,
  type TenantSettings,
  type TenantView,
} from '../engine.ts'
import { headerOf, restOf, rowView } from '../views.ts'
import { STUCK_AFTER_MS } from './attempts.ts'
import { census } from './census.ts'
import { Commands } from './commands.ts'
import { counted } from './count.ts'
import { Exchange } from './exchange.ts'
import { Follower } from './follow.ts'
import { forecast } from './forecast.ts'
import { Hosts } from './hosts.ts'
import { Intake } from './intake.ts'
import { LiveBatches } from './live-batches.ts'
import { Lookup } from './lookup.ts'
import type { LocalEngineOptions } from './options.ts'
import { Reads } from './reads.ts'
import { Recovery } from './recovery.ts'
import { Retention } from './retention.ts'
import { Runtime } from './runtime.ts'
import { Sealer } from './sealer.ts'
import { Tenancy } from './tenancy.ts'
import { Tenants } from './tenants.ts'
import { within } from './within.ts'

/** How long the last commit may take when the service stops. */
export const LAST_COMMIT_MS = 10_000

/** How long a reader may take for the last line of its stream when the service stops. */
export const LAST_LINE_MS = 2_000

/** The engine of one process: slots in memory, the record in the store. */
export class LocalEngine implements Engine {
  /** For an engine that shares its store with others. */
  readonly tenancy: Tenancy
  /** As that: attempts that run elsewhere, and those of others that run here. */
  readonly exchange: Exchange
  /** What has happened since it was made, for metrics. */
  readonly counts: EngineCounts
  readonly #store: Store
  readonly #clock: Clock
  readonly #durable: boolean
  readonly #tenants: Tenants
  readonly #runtime: Runtime
  readonly #intake: Intake
  readonly #recovery: Recovery
  readonly #retention: Retention
  readonly #commands: Commands
  readonly #follower: Follower
  readonly #lookup: Lookup
  readonly #reads: Reads
  readonly #hosts: Hosts
  readonly #onTenant: (id: string, settings: TenantSettings) => void
  readonly #onTenantDeleted: (id: string) => void
  readonly #stopped = new AbortController()
  #draining: Promise<void> | null = null

  constructor(options: LocalEngineOptions) {
    const { store, vault, clock, kinds, maxConcurrency, events } = options
    this.#store = store
    this.#clock = clock
    this.#durable = options.durable
    this.#onTenant = options.onTenant ?? (() => undefined)
    this.#onTenantDeleted = options.onTenantDeleted ?? (() => undefined)
    this.#tenants = new Tenants({
      defaults: options.tenantDefaults,
      storedBytes: (id) => store.storedBytes(id),
      startRate: (queue, perSecond) => this.#runtime.startRate(queue, perSecond),
    })
    const hosts = new Hosts({ cap: options.hostConcurrency, kinds })
    this.#hosts = hosts
    const { beforeStart, traces } = options
    this.#runtime = new Runtime({
      clock,
      store,
      tenants: this.#tenants,
      kinds,
      hosts,
      maxConcurrency,
      beforeStart,
      traces,
      events,
    })
    const sealer = new Sealer({ vault, kinds, events })
    const shared = { runtime: this.#runtime, store, sealer, kinds, clock }
    this.exchange = new Exchange({ ...shared, beforeStart, traces })
    const batches = new LiveBatches({ runtime: this.#runtime, store, sealer })
    this.#intake = new Intake({ runtime: this.#runtime, store, hosts, batches, vault })
    this.#recovery = new Recovery({ runtime: this.#runtime, store, hosts, batches, kinds })
    this.tenancy = new Tenancy({ runtime: this.#runtime, tenants: this.#tenants, recovery: this.#recovery, clock })
    this.counts = this.#runtime.counts
    const onError = (error: unknown) => {
      this.counts.retentionFailures++
      events.retentionFailed(error)
    }
    this.#retention = new Retention({
      store: counted(store, this.counts, clock),
      clock,
      retentionMs: options.retentionMs,
      onError,
    })
    this.#lookup = new Lookup({ runtime: this.#runtime, store })
    this.#reads = new Reads({ runtime: this.#runtime, store, lookup: this.#lookup })
    this.#commands = new Commands({ runtime: this.#runtime, store })
    // One listener for each open stream and wait.
    setMaxListeners(0, this.#stopped.signal)
    this.#follower = new Follower({ runtime: this.#runtime, store, clock, shutdown: this.#stopped.signal })
  }

  /**
   * Take up what the last process left, before the first request, and begin to delete what is old. Resolves with the number of batches.
   * @param options.takeUp - False: what is left is taken up tenant by tenant, see {@link Tenancy}. Default true.
   */
  async start({ takeUp = true } = {}): Promise<number> {
    const batches = takeUp ? await this.#recovery.run() : 0
    this.#retention.start()
    return batches
  }

  /**
   * What there is now, for metrics. Looks at every queued job once.
   * @param owns - Whether a tenant is this engine's, where several share one store. Default: all are.
   */
  census(owns: (tenantId: string) => boolean = () => true): Census {
    const { counts, fair, tenants, slots, admission, journal } = this.#runtime
    return census({ counts, fair, tenants, owns, slots, admission, journal, values: this.#runtime.values() })
  }

  get accepting(): boolean {
    return this.#draining === null
  }

  get healthy(): boolean {
    return this.#runtime.journal.healthy
  }

  async submit(tenantId: string, submission: BatchSubmission, options: SubmitOptions = {}): Promise<BatchView> {
    // The tenant as it is when it is asked: what comes under its name after it has moved or was deleted is another.
    const tenant = this.#tenants.get(tenantId)
    const submit = async () => {
      if (!this.accepting) throw new ShuttingDownError()
      return await this.#intake.submit(tenant, submission, options)
    }
    const { idempotency } = options
    return idempotency === undefined ? await submit() : await this.#intake.once(tenantId, idempotency, submit)
  }

  async forecast(tenantId: string, batch: BatchSubmission): Promise<Forecast> {
    if (!this.accepting) throw new ShuttingDownError()
    const tenant = this.#tenants.look(tenantId)
    const { admission, freeSlots } = this.#runtime
    const { length } = JSON.stringify(headerOf(batch))
    const retryAfterS = admission.wouldWait(tenant, batch.jobs.length, length)
    const around = { tenant: tenant.queue, hosts: this.#hosts, freeSlots, now: this.#clock.now() }
    return { waitingOn: forecast(batch, around), retryAfterS }
  }

  async replay(tenantId: string, idempotency: Idempotency): Promise<BatchView | null> {
    return await this.#intake.first(tenantId, idempotency)
  }

  /** As `replay`, of what is not being made at this moment: that may be refused yet. @throws {IdempotencyConflictError} it is. */
  async replayed(tenantId: string, idempotency: Idempotency): Promise<BatchView | null> {
    await this.#runtime.journal.committed()
    return await this.#intake.made(tenantId, idempotency)
  }

  /**
   * A batch as it is, once nothing of it is being written; null: it was not accepted, and will not be. For who has had no answer:
   * a submission that still waits for room is refused, and so is whatever comes under this id from now on.
   */
  async accepted(tenantId: string, batchId: string): Promise<BatchView | null> {
    await this.#intake.close(batchId)
    await this.#runtime.journal.committed()
    const row = await this.#store.batch(tenantId, batchId)
    return row && rowView(row)
  }

  async append(tenantId: string, batchId: string, jobs: CommonSpec[]): Promise<JsonText[]> {
    if (!this.accepting) throw new ShuttingDownError()
    const { live, row } = await this.#lookup.toChange(tenantId, batchId)
    if (live === null) throw new BatchFinishedError()
    const from = await this.#intake.append(live, jobs)
    const views: JsonText[] = []
    while (views.length < jobs.length) {
      const page = await this.#store.jobs(row.no, { from: from + views.length, limit: jobs.length - views.length })
      if (page.data.length === 0) throw new BatchDeletedError()
      views.push(...page.data)
    }
    return views
  }

  async close(tenantId: string, batchId: string): Promise<BatchView> {
    const { live, row } = await this.#lookup.toChange(tenantId, batchId)
    return live === null ? rowView(row) : await this.#commands.close(live)
  }

  async stop(tenantId: string, batchId: string): Promise<{ cancelled: boolean; batch: BatchView }> {
    return await this.#end(tenantId, batchId, { type: 'stop' })
  }

  async cancel(
    tenantId: string,
    batchId: string,
    reason: string | null,
  ): Promise<{ cancelled: boolean; batch: BatchView }> {
    return await this.#end(tenantId, batchId, { type: 'cancelBatch', reason })
  }

  async cancelJob(
    tenantId: string,
    jobId: string,
    reason: string | null,
  ): Promise<{ cancelled: boolean; job: JsonText }> {
    const { live, index } = await this.#lookup.jobToChange(tenantId, jobId)
    const cancelled = live === null ? false : await this.#commands.cancelJob(live, index, reason)
    return { cancelled, job: await this.job(tenantId, jobId) }
  }

  async reschedule(tenantId: string, jobId: string, change: Reschedule): Promise<JsonText> {
    const { live, index } = await this.#lookup.jobToChange(tenantId, jobId)
    if (live === null) throw new JobFinishedError()
    await this.#commands.reschedule(live, index, change)
    return await this.job(tenantId, jobId)
  }

  async batch(tenantId: string, batchId: string): Promise<BatchView> {
    return await this.#reads.batch(tenantId, batchId)
  }

  async batches(tenantId: string, query: BatchesQuery): Promise<Page<BatchView>> {
    return await this.#reads.batches(tenantId, query)
  }

  async job(tenantId: string, jobId: string): Promise<JsonText> {
    return await this.#reads.job(tenantId, jobId)
  }

  async jobs(tenantId: string, batchId: string, query: JobsQuery, pages: Pages = AT_ONCE): Promise<Page<JsonText>> {
    return await this.#reads.jobs(tenantId, batchId, query, pages)
  }

  async allJobs(tenantId: string, batchId: string, pages: Pages = AT_ONCE): Promise<AsyncIterable<JsonText[]>> {
    const { row } = await this.#lookup.batch(tenantId, batchId)
    return this.#follower.jobs(row, pages)
  }

  async untilSettled(tenantId: string, batchId: string, timeoutMs: number, signal?: AbortSignal): Promise<BatchView> {
    const { live, row } = await this.#lookup.batch(tenantId, batchId)
    if (live === null) return rowView(row)
    await this.#follower.untilSettled(live, timeoutMs, signal)
    return await this.batch(tenantId, batchId)
  }

  async wait(
    tenantId: string,
    batchId: string,
    query: { returnWhen: ReturnWhen; timeoutMs: number; signal?: AbortSignal },
    pages: Pages = AT_ONCE,
  ): Promise<{ done: AsyncIterable<JsonText[]>; pending: string[] }> {
    const { live, row } = await this.#lookup.batch(tenantId, batchId)
    const total = live?.core.total ?? rowView(row).counts.total
    if (total === 0) throw new EmptyWaitSetError()
    if (live !== null) await this.#follower.wait(live, query.returnWhen, query.timeoutMs, query.signal)
    return await this.#follower.split(row, total, pages)
  }

  /** The first `total` jobs that have ended and the ids of those that have not, as one moment on disk has them. */
  split(row: BatchRow, total: number, pages: Pages): Promise<{ done: AsyncIterable<JsonText[]>; pending: string[] }> {
    return this.#follower.split(row, total, pages)
  }

  async events(
    tenantId: string,
    batchId: string,
    query: EventsQuery,
    pages: Pages = AT_ONCE,
  ): Promise<AsyncIterable<StreamEvent[]> | null> {
    const { row } = await this.#lookup.batch(tenantId, batchId)
    const rest = restOf(row, query)
    return rest && this.#follower.events(row, rest, pages)
  }

  tenant(tenantId: string): TenantView {
    return this.#tenants.view(this.#tenants.look(tenantId))
  }

  inspect(tenantId: string): Promise<TenantView> {
    return Promise.resolve(this.tenant(tenantId))
  }

  applyTenant(tenantId: string, settings: TenantSettings): void {
    this.#onTenant(tenantId, settings)
    const tenant = this.#tenants.apply(tenantId, settings)
    this.#runtime.fair.refresh(tenant.queue)
    this.#runtime.admission.serve(tenant)
    this.#runtime.kick()
  }

  async deleteTenant(tenantId: string): Promise<void> {
    const tenant = this.#tenants.get(tenantId)
    if (tenant.closed) throw new NotFoundError()
    // Whatever has a number by now is gone with it, on disk already or not; nothing more of it gets one.
    tenant.closed = true
    const goOn = this.#retention.hold()
    try {
      await this.#store.deleteTenant(tenantId, this.#store.lastBatchNo)
    } catch (cause) {
      tenant.closed = false
      goOn()
      throw new OverloadedError('The store cannot write now; nothing was deleted.', 5, { cause })
    }
    this.#tenants.forget(tenant)
    const discarded = this.#runtime.discard(tenant)
    // Not before: what it must not do holds for its attempts until they have been told to stop, and that they have.
    this.#onTenantDeleted(tenantId)
    void discarded.then(async () => {
      // No row is deleted before the last that may still be written is.
      await this.#runtime.journal.committed()
      goOn()
    })
  }

  drain(graceMs: number): Promise<void> {
    this.#draining ??= this.#drain(graceMs)
    return this.#draining
  }

  async shutdown(): Promise<void> {
    await this.drain(0)
    await this.#retention.close()
    this.#runtime.close()
  }

  async #drain(graceMs: number): Promise<void> {
    this.#runtime.admission.close()
    this.#runtime.stopStarting()
    await within(this.#clock, graceMs, this.#runtime.whenIdle())
    if (this.#durable) this.#runtime.abandon()
    else for (const live of this.#runtime.values()) this.#runtime.apply(live, { type: 'shutDown' })
    // Neither work that ignores its abort nor a disk that takes nothing may keep the process from ending.
    await within(this.#clock, STUCK_AFTER_MS, this.#runtime.whenIdle())
    await within(this.#clock, LAST_COMMIT_MS, this.#runtime.journal.committed())
    this.#stopped.abort()
    await within(this.#clock, LAST_LINE_MS, this.#follower.ended())
  }

  async #end(
    tenantId: string,
    batchId: string,
    input: { type: 'stop' } | { type: 'cancelBatch'; reason: string | null },
  ): Promise<{ cancelled: boolean; batch: BatchView }> {
    const { live, row } = await this.#lookup.toChange(tenantId, batchId)
    return live === null ? { cancelled: false, batch: rowView(row) } : await this.#commands.end(live, input)
  }
}
