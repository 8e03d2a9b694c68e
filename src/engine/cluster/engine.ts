import { setMaxListeners } from 'node:events'
import type { Clock } from '../../clock.ts'
import { EmptyWaitSetError, OverloadedError, ShuttingDownError } from '../../errors.ts'
import { newBatchId } from '../../ids.ts'
import type { CommonSpec } from '../../jobs/kind.ts'
import type { BatchRow, Store } from '../../store/store.ts'
import {
  AT_ONCE,
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
import type { LocalEngine } from '../local/engine.ts'
import { missing } from '../local/lookup.ts'
import { within } from '../local/within.ts'
import { restOf, rowView } from '../views.ts'
import { pagesUnlessAway, unlessAway } from './away.ts'
import type { Holdings } from './holdings.ts'
import { Observer, type Watches } from './observe.ts'
import { type Patience, type Peers, Router, UnreachableError } from './router.ts'

/** How long a reader may take for the last line of its stream when the service stops. */
const LAST_LINE_MS = 2_000

/** What a replica's engine is made of. It owns none of it but what it starts: whoever built the parts closes them, after the engine. */
export interface ClusterEngineOptions {
  /** Runs the tenants that this replica owns; over `store`. */
  local: LocalEngine
  store: Store
  holdings: Holdings
  peers: Peers
  watches: Watches
  clock: Clock
  /** How long a tenant may be without an owner before callers are told so. */
  patienceMs: number
  /** True while the lease is good, and Redis answers and has room. */
  connected: () => boolean
  /** Called first when it drains: nothing is to be taken up any more when it resolves. */
  beforeDrain: () => Promise<void>
  /** Called while it drains: what runs here for other replicas is to be handed back when it resolves. */
  handBack?: (graceMs: number) => Promise<void>
}

/**
 * The engine of one replica of several. Each tenant has one owner at a time, whose local engine runs its work; what changes
 * a tenant's work is brought to the owner, and what reads is read from the record, from any replica.
 */
export class ClusterEngine implements Engine {
  readonly router: Router
  readonly #local: LocalEngine
  readonly #store: Store
  readonly #holdings: Holdings
  readonly #observer: Observer
  readonly #connected: () => boolean
  readonly #beforeDrain: () => Promise<void>
  readonly #handBack: (graceMs: number) => Promise<void>
  readonly #clock: Clock
  readonly #stopped = new AbortController()
  #draining: Promise<void> | null = null

  constructor(options: ClusterEngineOptions) {
    const { local, store, holdings, peers, watches, clock, patienceMs } = options
    this.#local = local
    this.#store = store
    this.#holdings = holdings
    this.#clock = clock
    this.#connected = options.connected
    this.#beforeDrain = options.beforeDrain
    this.#handBack = options.handBack ?? (() => Promise.resolve())
    this.router = new Router({ local, peers, holdings, clock, patienceMs, accepting: () => this.accepting })
    // One listener for each open stream and wait.
    setMaxListeners(0, this.#stopped.signal)
    this.#observer = new Observer({ store, watches, clock, shutdown: this.#stopped.signal })
  }

  get accepting(): boolean {
    return this.#draining === null
  }

  get healthy(): boolean {
    return this.#connected() && this.#local.healthy
  }

  async submit(tenantId: string, batch: BatchSubmission, options: SubmitOptions = {}): Promise<BatchView> {
    const { idempotency, hold } = options
    if (idempotency !== undefined) {
      const first = await this.replay(tenantId, idempotency)
      if (first !== null) return first
    }
    this.#assertAccepting()
    // A signal does not cross between replicas as it is: the router brings it to where the waiting is done.
    const kept = hold && { timeoutMs: hold.timeoutMs, bytes: hold.bytes }
    const around = { timeoutMs: hold?.timeoutMs ?? 0, signal: hold?.signal }
    return await this.#submitted(tenantId, [batch, { id: newBatchId(), idempotency, hold: kept }], around)
  }

  /** Submit, and before it is done again look whether it was accepted: by its id it is found, and nowhere twice. */
  async #submitted(
    tenantId: string,
    args: [BatchSubmission, SubmitOptions & { id: string }],
    options: { timeoutMs: number; signal?: AbortSignal | undefined },
  ): Promise<BatchView> {
    const until = this.#clock.now() + (args[1].hold?.timeoutMs ?? 0)
    const accepted = async () => {
      const [, given] = args
      // A key's first answer comes again.
      if (given.idempotency !== undefined) return null
      // Its owner knows, or the next one, who has the record when it answers.
      const found = await this.router.ask('accepted', tenantId, [given.id])
      // What was not accepted never will be under that id: the next try has another.
      const hold = given.hold && { ...given.hold, timeoutMs: Math.max(0, until - this.#clock.now()) }
      if (found === null) args[1] = { ...given, id: newBatchId(), hold }
      return found
    }
    try {
      // Also an owner that says that the tenant has moved may have written it before.
      return await this.router.ask('submit', tenantId, args, { ...options, beforeAgain: accepted })
    } catch (error) {
      if (!(error instanceof UnreachableError)) throw error
      return (await accepted()) ?? (await this.#submitted(tenantId, args, options))
    }
  }

  async forecast(tenantId: string, batch: BatchSubmission): Promise<Forecast> {
    this.#assertAccepting()
    return await this.router.ask('forecast', tenantId, [batch])
  }

  async replay(tenantId: string, idempotency: Idempotency): Promise<BatchView | null> {
    const found = await this.#read(() => this.#local.replay(tenantId, idempotency))
    // What is on record may have been refused, and be about to be taken back: its owner knows.
    return found && (await this.router.ask('replayed', tenantId, [idempotency]))
  }

  async append(tenantId: string, batchId: string, jobs: CommonSpec[]): Promise<JsonText[]> {
    this.#assertAccepting()
    try {
      return await this.router.ask('append', tenantId, [batchId, jobs])
    } catch (cause) {
      if (!(cause instanceof UnreachableError)) throw cause
      const detail = 'The replica that runs the batch is gone: look at the batch before you append the jobs again.'
      throw new OverloadedError(detail, 5, { cause })
    }
  }

  async close(tenantId: string, batchId: string): Promise<BatchView> {
    return await this.router.ask('close', tenantId, [batchId])
  }

  async stop(tenantId: string, batchId: string): Promise<{ cancelled: boolean; batch: BatchView }> {
    return await this.router.ask('stop', tenantId, [batchId])
  }

  async cancel(
    tenantId: string,
    batchId: string,
    reason: string | null,
  ): Promise<{ cancelled: boolean; batch: BatchView }> {
    return await this.router.ask('cancel', tenantId, [batchId, reason])
  }

  async cancelJob(
    tenantId: string,
    jobId: string,
    reason: string | null,
  ): Promise<{ cancelled: boolean; job: JsonText }> {
    return await this.router.ask('cancelJob', tenantId, [jobId, reason])
  }

  async reschedule(tenantId: string, jobId: string, change: Reschedule): Promise<JsonText> {
    return await this.router.ask('reschedule', tenantId, [jobId, change])
  }

  async batch(tenantId: string, batchId: string): Promise<BatchView> {
    return rowView(await this.#read(() => this.#row(tenantId, batchId)))
  }

  async batches(tenantId: string, query: Parameters<Engine['batches']>[1]): Promise<Page<BatchView>> {
    return await this.#read(() => this.#local.batches(tenantId, query))
  }

  async job(tenantId: string, jobId: string): Promise<JsonText> {
    const found = await this.#read(() => this.#local.job(tenantId, jobId))
    const ask = (options: Patience) => this.router.ask('job', tenantId, [jobId], options)
    return await this.#explained(tenantId, found, isQueued(found), ask)
  }

  async jobs(tenantId: string, batchId: string, query: JobsQuery, pages: Pages = AT_ONCE): Promise<Page<JsonText>> {
    const found = await this.#read(() => this.#local.jobs(tenantId, batchId, query, pages))
    const ask = (options: Patience) => this.router.ask('jobs', tenantId, [batchId, query], options)
    return await this.#explained(tenantId, found, found.data.some(isQueued), ask)
  }

  async allJobs(tenantId: string, batchId: string, pages: Pages = AT_ONCE): Promise<AsyncIterable<JsonText[]>> {
    return pagesUnlessAway(await this.#read(() => this.#local.allJobs(tenantId, batchId, pages)))
  }

  async untilSettled(tenantId: string, batchId: string, timeoutMs: number, signal?: AbortSignal): Promise<BatchView> {
    return await this.#read(async () =>
      this.#observer.untilSettled(await this.#row(tenantId, batchId), timeoutMs, signal),
    )
  }

  async wait(
    tenantId: string,
    batchId: string,
    query: { returnWhen: ReturnWhen; timeoutMs: number; signal?: AbortSignal },
    pages: Pages = AT_ONCE,
  ): Promise<{ done: AsyncIterable<JsonText[]>; pending: string[] }> {
    return await this.#read(async () => {
      const row = await this.#row(tenantId, batchId)
      const { total } = rowView(row).counts
      if (total === 0) throw new EmptyWaitSetError()
      await this.#observer.wait(row, query, total)
      const { done, pending } = await this.#local.split(row, total, pages)
      return { done: pagesUnlessAway(done), pending }
    })
  }

  async events(
    tenantId: string,
    batchId: string,
    query: EventsQuery,
    pages: Pages = AT_ONCE,
  ): Promise<AsyncIterable<StreamEvent[]> | null> {
    const row = await this.#read(() => this.#row(tenantId, batchId))
    const rest = restOf(row, query)
    return rest && this.#observer.events(row, rest, pages)
  }

  tenant(tenantId: string): TenantView {
    return this.#local.tenant(tenantId)
  }

  async inspect(tenantId: string): Promise<TenantView> {
    // Who only looks at tenants makes nobody their owner.
    const holder = await this.#read(() => this.#holdings.find(tenantId))
    return holder === null ? this.tenant(tenantId) : await this.router.ask('inspect', tenantId, [])
  }

  applyTenant(tenantId: string, settings: TenantSettings): void {
    this.#local.applyTenant(tenantId, settings)
  }

  async deleteTenant(tenantId: string): Promise<void> {
    await this.router.ask('deleteTenant', tenantId, [])
  }

  drain(graceMs: number): Promise<void> {
    this.#draining ??= this.#drain(graceMs)
    return this.#draining
  }

  async shutdown(): Promise<void> {
    await this.drain(0)
    await this.#local.shutdown()
  }

  /** What others wait for goes to them at once; streams end with their last line when nothing runs here any more. */
  async #drain(graceMs: number): Promise<void> {
    await this.#beforeDrain()
    await Promise.all([this.#holdings.leave(graceMs), this.#handBack(graceMs)])
    this.#stopped.abort()
    await within(this.#clock, LAST_LINE_MS, this.#observer.ended())
  }

  #assertAccepting(): void {
    if (!this.accepting) throw new ShuttingDownError()
  }

  async #row(tenantId: string, batchId: string): Promise<BatchRow> {
    const row = await this.#store.batch(tenantId, batchId)
    if (row !== null) return row
    throw await missing(this.#store, tenantId, batchId)
  }

  /** What a queued job waits for is its owner's to say, if it says so soon: all else is on record. */
  async #explained<T>(
    tenantId: string,
    found: T,
    isQueued: boolean,
    ask: (options: Patience) => Promise<T>,
  ): Promise<T> {
    if (!isQueued || this.#holdings.holds(tenantId)) return found
    return await ask({ patienceMs: 0, answerMs: 1_000 }).catch(() => found)
  }

  /** A read of the record. @throws {OverloadedError} while Redis does not answer. */
  #read<T>(read: () => Promise<T>): Promise<T> {
    return unlessAway(read)
  }
}

function isQueued(job: JsonText): boolean {
  return job.includes('"state":"queued"')
}
