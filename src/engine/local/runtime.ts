import type { Clock } from '../../clock.ts'
import { cancelCause, reasonOf, timeoutCause } from '../../core/batch.ts'
import type { Effect, TimerKind } from '../../core/events.ts'
import { Job } from '../../core/states.ts'
import { type Input, step } from '../../core/step.ts'
import { NotFoundError, TenantMovedError } from '../../errors.ts'
import type { JobKind } from '../../jobs/kind.ts'
import { EngineCounts } from '../../metrics/engine-counts.ts'
import type { Store } from '../../store/store.ts'
import { Admission } from './admission.ts'
import type { EndOnRecord } from './ahead.ts'
import { type AttemptServices, attempt, inputOf, type Outcome, type Place, RunningAttempt } from './attempts.ts'
import { count, counted } from './count.ts'
import { FairQueue, type Grant } from './fair-queue.ts'
import type { Hosts } from './hosts.ts'
import { Idle } from './idle.ts'
import { Journal } from './journal.ts'
import type { LiveBatch } from './live-batch.ts'
import { LiveIndex } from './live-index.ts'
import type { TenantQueue } from './queues.ts'
import { StartRate } from './rate.ts'
import { recordOf, startedRecord } from './records.ts'
import { Slots } from './slots.ts'
import type { Tenant, Tenants } from './tenants.ts'
import { Timers } from './timers.ts'
import type { EngineTraces } from './traces.ts'

/** How the runtime tells of what an operator should know. */
export interface RuntimeEvents {
  /** A job ignores its abort and keeps its slot. */
  stuck(facts: { tenantId: string; batchId: string; index: number }): void
  /** The store refused a commit; it is tried again. */
  commitFailed(error: unknown): void
  /** The store refused to delete what is old; it is tried again. */
  retentionFailed(error: unknown): void
}

/** The attempt whose end a turn is about. */
interface Ended {
  index: number
  /** Undefined: it was cut off, and has none. */
  end: EndOnRecord | undefined
}

const RETRY_COMMIT_MS = 250

/** Batches of a deleted tenant that leave memory in one turn of the event loop. */
const DROPPED_AT_ONCE = 100

/**
 * The machinery that drives the core: every input enters through `apply`, as one synchronous turn; what the core asks for
 * in return (log, abort, clocks, slots) is done here, in its order.
 */
export class Runtime {
  readonly clock: Clock
  readonly tenants: Tenants
  readonly journal: Journal
  readonly admission: Admission
  readonly fair = new FairQueue()
  readonly counts: EngineCounts
  readonly #timers: Timers
  readonly #slots: Slots
  readonly #services: AttemptServices
  readonly #events: RuntimeEvents
  readonly #hosts: Hosts
  readonly #beforeStart: () => void
  readonly #traces: EngineTraces | undefined
  readonly #startedAt: number
  readonly #live = new LiveIndex()
  #abandoned = false
  /** Attempts whose work has not stopped. */
  #running = 0
  /** Slots are counted in the queue: it has them until the work has stopped. */
  readonly #idle = new Idle((tenant) => (tenant?.queue.running ?? this.#running) > 0)

  constructor(options: {
    clock: Clock
    store: Store
    tenants: Tenants
    kinds: ReadonlyMap<string, JobKind>
    hosts: Hosts
    maxConcurrency: number
    beforeStart?: (() => void) | undefined
    traces?: EngineTraces | undefined
    events: RuntimeEvents
  }) {
    this.clock = options.clock
    this.#traces = options.traces
    this.#beforeStart = options.beforeStart ?? (() => undefined)
    this.#startedAt = options.clock.now()
    this.tenants = options.tenants
    this.counts = new EngineCounts(options.kinds.keys())
    this.#events = options.events
    this.#hosts = options.hosts
    this.#timers = new Timers({ clock: options.clock })
    this.#slots = new Slots({ concurrency: options.maxConcurrency, fair: this.fair, run: (grant) => this.#run(grant) })
    this.journal = new Journal({
      store: counted(options.store, this.counts, options.clock),
      onPublished: (live, seq) => this.#published(live, seq),
      onFailure: (error) => {
        this.counts.commitFailures++
        this.#events.commitFailed(error)
      },
      retry: () => new Promise((resolve) => this.clock.after(RETRY_COMMIT_MS, resolve)),
    })
    const { clock, tenants } = options
    this.admission = new Admission({ tenants, clock, canWrite: () => this.journal.healthy })
    this.#services = {
      clock,
      timers: this.#timers,
      kinds: options.kinds,
      store: options.store,
      committed: () => this.journal.committed(),
      beforeStart: this.#beforeStart,
      overBound: (tenant) => tenants.overBound(tenant),
      traces: options.traces,
    }
  }

  get timers(): Timers {
    return this.#timers
  }

  /** Slots of the server that nobody has. */
  get freeSlots(): number {
    return this.#slots.concurrency - this.#slots.running
  }

  get slots(): Slots {
    return this.#slots
  }

  /** Run the job whose turn it is at a place elsewhere, if it waits for a slot alone; resolves when it has ended. Null: there is none. */
  sendAway(place: Place): Promise<void> | null {
    const grant = this.#slots.takeElsewhere()
    if (grant === null) return null
    // Its end may let another job start here.
    return this.#run(grant, place).finally(() => this.#slots.kick())
  }

  /** What holds a tenant to so many starts a second. */
  startRate(queue: TenantQueue, perSecond: number): StartRate {
    const wake = () => {
      this.fair.refresh(queue)
      this.kick()
    }
    return new StartRate({ perSecond, since: this.#startedAt, clock: this.clock, timers: this.#timers, wake })
  }

  /** A batch that has not drained, if it is this tenant's. */
  find(tenantId: string, batchId: string): LiveBatch | null {
    const live = this.#live.get(batchId)
    return live !== undefined && live.tenant.id === tenantId && !live.tenant.deleted ? live : null
  }

  values(): Iterable<LiveBatch> {
    return this.#live.values()
  }

  /** Take in a batch that is on disk: from now on it runs. @throws {NotFoundError} {TenantMovedError} when its tenant was deleted or moved meanwhile. */
  enter(live: LiveBatch, effects: Effect[], { kick = true } = {}): void {
    if (live.tenant.deleted) {
      this.#drop(live)
      throw live.tenant.moved !== false ? new TenantMovedError() : new NotFoundError()
    }
    this.#live.add(live)
    live.tenant.queued += live.core.counts[Job.queued]
    live.tenant.live.batches++
    live.tenant.live.headerChars += live.headerChars
    for (const effect of effects) this.#perform(live, effect)
    if (kick) this.#slots.kick()
    this.#retire(live)
  }

  /** One turn: let the core decide what `input` means and do what it says. */
  apply(live: LiveBatch, input: Input, { now = this.clock.now(), ended }: { now?: number; ended?: Ended } = {}): void {
    if (live.tenant.deleted) return
    const effects = this.#decide(live, input, now)
    this.log(live, effects, ended)
    for (const effect of effects) this.#perform(live, effect, ended)
    // The slot of an ended job takes the next one itself.
    if (ended === undefined) this.#slots.kick()
  }

  /** The core's part of a turn. */
  #decide(live: LiveBatch, input: Input, now: number): Effect[] {
    const { counts } = live.core
    const queued = counts[Job.queued]
    const cancelling = counts[Job.cancelling]
    const effects = step(live.core, input, now)
    const left = queued - counts[Job.queued]
    live.tenant.queued -= left
    if (left > 0) this.admission.left(live.tenant, left, now)
    live.tenant.cancelling += counts[Job.cancelling] - cancelling
    return effects
  }

  /** Write down what the core logged. */
  log(live: LiveBatch, effects: Effect[], ended?: Ended): void {
    for (const effect of effects) {
      if (effect.type !== 'log') continue
      this.journal.log(live, effect.entry)
      if (this.#traces !== undefined) this.#traces.logged(live, effect.entry, ended)
      if (effect.entry.type === 'batch.aborting') this.#recordCancelling(live)
      const { type, index, attempt } = effect.entry
      // Queued for the first time, a job has no record.
      if (index >= 0 && (type !== 'job.queued' || attempt !== undefined))
        this.journal.record(live, recordOf(live, effect.entry, ended?.index === index ? ended.end : undefined))
    }
  }

  /** A further cause has no event, but a restart must know that a job whose own clock had fired was cancelled as well. */
  #recordCancelling(live: LiveBatch): void {
    for (const index of live.attempts.keys())
      if (live.core.states[index] === Job.cancelling) this.recordCancelling(live, index)
  }

  /** Write down a job that is being stopped as it is now. */
  recordCancelling(live: LiveBatch, index: number): void {
    if (live.tenant.deleted) return
    const { core } = live
    const cause = cancelCause(core, index) ?? timeoutCause(core, index)
    const record = { ...startedRecord(live, index), state: Job.cancelling, cause, reason: reasonOf(core, index) }
    this.journal.record(live, record)
  }

  /** A tenant's cap, weight, rate or pause has changed, or a job may have become eligible otherwise. */
  kick(): void {
    this.#slots.kick()
  }

  /** Start nothing more. */
  stopStarting(): void {
    this.#slots.stop()
  }

  /** Resolves when no attempt runs, of one tenant's or at all. */
  whenIdle(tenant?: Tenant): Promise<void> {
    return this.#idle.wait(tenant)
  }

  /** Tell every attempt to stop, and write nothing down of it: the next start finds the jobs as they were before. */
  abandon(): void {
    this.#abandoned = true
    const now = this.clock.now()
    for (const live of this.#live.values()) for (const running of live.attempts.values()) running.abort('shutdown', now)
  }

  /**
   * The tenant was deleted, or moved: at once its attempts are told to stop and whoever waits is told, and nothing of it enters
   * the core or the journal any more. Resolves when all its batches have left memory, a few each turn of the event loop.
   */
  async discard(tenant: Tenant): Promise<void> {
    this.fair.refresh(tenant.queue)
    const lives = [...this.#live.ofTenant(tenant)]
    const now = this.clock.now()
    const cause = tenant.moved === false ? 'batch_cancel' : 'shutdown'
    for (const live of lives) {
      for (const running of live.attempts.values()) running.abort(cause, now)
      live.publish(live.publishedSeq)
    }
    await new Promise((resolve) => setImmediate(resolve))
    this.admission.dismiss(tenant)
    for (const [i, live] of lives.entries()) {
      if (i % DROPPED_AT_ONCE === DROPPED_AT_ONCE - 1) await new Promise((resolve) => setImmediate(resolve))
      this.#drop(live)
    }
  }

  /** Forget everything. */
  close(): void {
    this.#slots.stop()
    for (const live of this.#live.values()) live.close()
    this.journal.close()
    this.#timers.close()
  }

  /** A clock of a batch or of one of its jobs ran out. */
  due(live: LiveBatch, timer: TimerKind, index: number): void {
    if (!this.#abandoned) this.apply(live, { type: 'due', timer, index })
  }

  #perform(live: LiveBatch, effect: Effect, ended?: Ended): void {
    switch (effect.type) {
      case 'log':
        return count(this.counts, live, effect.entry, ended?.index === effect.entry.index ? ended.end : undefined)
      case 'abort':
        return live.attempts.get(effect.index)?.abort(effect.cause, this.clock.now())
      case 'arm':
        return live.arm(effect.timer, effect.index, effect.at)
      case 'disarm':
        return live.disarm(effect.timer, effect.index)
      case 'enqueue':
        return this.#enqueue(live, effect.from, effect.to, effect.resumed ?? false)
      case 'release':
        return this.fair.release(live.queue, effect.index)
      default:
        return undefined
    }
  }

  #enqueue(live: LiveBatch, from: number, to: number, resumed: boolean): void {
    if (resumed) this.fair.resume(live.queue, from)
    else this.fair.enqueue(live.queue, from, to, live.orderOf(from))
  }

  /** One job in its slot. p-queue gives the slot on when the returned promise settles. */
  async #run({ batch, index }: Grant, place?: Place): Promise<void> {
    this.#beforeStart()
    const live = this.#live.ofQueue(batch)
    if (live === undefined) return
    const { tenant } = live
    // It moved at this very moment: nothing more of it starts here.
    if (tenant.deleted) return this.fair.release(batch, index)
    const onStuck = () => {
      tenant.stuck++
      this.counts.becameStuck()
      this.#events.stuck({ tenantId: tenant.id, batchId: live.id, index })
    }
    const now = this.clock.now()
    const running = new RunningAttempt({
      startedAt: this.#startOf(live, index, now),
      timers: this.#timers,
      onStuck,
    })
    live.attempts.set(index, running)
    this.#running++
    this.apply(live, { type: 'granted', index }, { now })
    const end = await attempt(this.#services, live, index, running, place)
    this.#ended(live, index, running, end)
  }

  /** `now`, unless the work goes on where a restart cut it off. */
  #startOf(live: LiveBatch, index: number, now: number): number {
    const before = live.startedBefore.get(index)
    return before?.resumes ? before.at : now
  }

  #ended(live: LiveBatch, index: number, running: RunningAttempt, outcome: Outcome): void {
    running.ended()
    if (running.stuck) {
      live.tenant.stuck--
      this.counts.stuck--
    }
    this.#running--
    if (live.tenant.deleted) this.fair.release(live.queue, index)
    else if (!this.#abandoned) {
      const end = outcome.type === 'interrupted' ? undefined : outcome
      if (outcome.type === 'interrupted' && outcome.repeats)
        live.startedBefore.set(index, { at: running.startedAt, resumes: outcome.resumes })
      this.apply(live, inputOf(index, outcome), { ended: { index, end } })
    }
    live.attempts.delete(index)
    if (running.isAwaited) this.#tellRecorded(live, running)
    if (live.tenant.deleted) this.#releaseHosts(live)
    this.#idle.look()
  }

  /** Nothing more is written down of a deleted tenant, nor once everything was abandoned. */
  #tellRecorded({ tenant }: LiveBatch, running: RunningAttempt): void {
    if (tenant.deleted || this.#abandoned) running.recorded()
    else void this.journal.committed().then(() => running.recorded())
  }

  #published(live: LiveBatch, seq: number): void {
    live.publish(seq)
    this.#retire(live)
  }

  /** A batch leaves memory when its last event can be read from the store. */
  #retire(live: LiveBatch): void {
    if (live.core.phase !== 'drained' || live.publishedSeq < live.core.seq) return
    this.#drop(live)
  }

  #drop(live: LiveBatch): void {
    live.close()
    if (this.#live.delete(live)) this.#leave(live)
    this.fair.forget(live.queue)
    const { parked } = live.queue
    for (let lane = parked.peek(); lane !== undefined; lane = parked.peek()) parked.remove(lane)
    this.#releaseHosts(live)
  }

  #leave({ tenant, headerChars }: LiveBatch): void {
    tenant.live.batches--
    tenant.live.headerChars -= headerChars
    this.admission.serve(tenant)
  }

  /** An attempt that is still stopping holds a place at its host: a host that was forgotten would give it away twice. */
  #releaseHosts(live: LiveBatch): void {
    if (live.attempts.size === 0 && this.#live.get(live.id) !== live) this.#hosts.release(live.queue)
  }
}
