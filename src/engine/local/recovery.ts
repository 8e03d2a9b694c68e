import { type BatchPlan, type JobPlan, liveJobs } from '../../core/batch.ts'
import type { Effect, ErrorFacts, IndexedError } from '../../core/events.ts'
import type { BatchFacts } from '../../core/facts.ts'
import { restart, restoreBatch, type SavedJobs } from '../../core/restart.ts'
import { Job } from '../../core/states.ts'
import { TenantMovedError } from '../../errors.ts'
import type { CommonSpec, JobKind } from '../../jobs/kind.ts'
import type { BatchHistory, BatchRow, PlanColumns, Store } from '../../store/store.ts'
import type { BatchHeader } from '../views.ts'
import { restartRule } from './attempts.ts'
import type { Hosts } from './hosts.ts'
import type { LiveBatch } from './live-batch.ts'
import type { LiveBatches } from './live-batches.ts'
import type { Runtime } from './runtime.ts'
import type { Tenant } from './tenants.ts'

/** How many specs are read at once to find the hosts of queued jobs. */
const CHUNK = 1_000

/** A batch that has not drained, as its row has it. */
interface SavedBatch {
  row: BatchRow
  header: BatchHeader
  facts: BatchFacts
}

/** The place in the order of acceptance of the jobs from an index on. */
interface Place {
  from: number
  order: number
}

/** Takes up at a start what the last process left: every batch that has not drained goes on where its record ends. */
export class Recovery {
  readonly #runtime: Runtime
  readonly #store: Store
  readonly #hosts: Hosts
  readonly #batches: LiveBatches
  readonly #kinds: ReadonlyMap<string, JobKind>

  constructor(options: {
    runtime: Runtime
    store: Store
    hosts: Hosts
    batches: LiveBatches
    kinds: ReadonlyMap<string, JobKind>
  }) {
    this.#batches = options.batches
    this.#runtime = options.runtime
    this.#store = options.store
    this.#hosts = options.hosts
    this.#kinds = options.kinds
  }

  /**
   * Resolves with the number of batches taken up, once all of them are: only then does the first job start.
   * @param whose - Default: everybody's.
   * @throws {TenantMovedError} it is another engine's by now, and nothing of it runs here.
   */
  async run(whose: Tenant | null = null): Promise<number> {
    const found: { live: LiveBatch; effects: Effect[] }[] = []
    // Both are written by the engine, from these types.
    const saved = (await this.#store.unfinished(whose?.id)).map((row) => ({
      row,
      header: JSON.parse(row.header) as BatchHeader,
      facts: JSON.parse(row.facts) as BatchFacts,
    }))
    const orders = this.#orders(saved)
    for await (const [batch, history] of this.#histories(saved))
      found.push(await this.#takeUp(batch, history, orders.get(batch.row.no) ?? [], whose))
    if (whose?.deleted) throw this.#dropped(found)
    for (const { live, effects } of found) {
      this.#runtime.counts.recoveredBatches++
      this.#runtime.counts.recoveredJobs += liveJobs(live.core)
      this.#runtime.enter(live, effects, { kick: false })
    }
    this.#runtime.kick()
    return found.length
  }

  /** Whose they were has moved meanwhile, and comes back, if it does, as another. */
  #dropped(found: readonly { live: LiveBatch }[]): TenantMovedError {
    for (const { live } of found) {
      live.close()
      this.#hosts.release(live.queue)
    }
    return new TenantMovedError()
  }

  /** The places of all submissions and appends in the order of acceptance, by batch: that of their instants. */
  #orders(saved: readonly SavedBatch[]): Map<number, Place[]> {
    let newest = 0
    const segments = saved.flatMap(({ row: { no }, facts: { accepted } }) => {
      // The clock may have been set back between two processes; the numbers of batches have not.
      newest = Math.max(newest, accepted[0].at)
      return accepted.map(({ from, at }) => ({ no, from, at: Math.max(at, newest) }))
    })
    // Stable: at one instant the batch with the lower number was first, and of one batch the submission.
    segments.sort((a, b) => a.at - b.at)
    const places = segments.map(({ no, from }) => ({ no, from, order: this.#runtime.fair.nextOrder() }))
    return Map.groupBy(places, ({ no }) => no)
  }

  /** Each batch with its history; the store reads the next one while this one is taken up. */
  async *#histories(saved: readonly SavedBatch[]): AsyncGenerator<[SavedBatch, BatchHistory]> {
    const read = (batch: SavedBatch | undefined) => batch && this.#store.history(batch.row.no)
    let next = read(saved[0])
    for (const [i, batch] of saved.entries()) {
      const history = await next
      next = read(saved[i + 1])
      if (history !== undefined) yield [batch, history]
    }
  }

  async #takeUp(
    { row, header, facts }: SavedBatch,
    history: BatchHistory,
    places: readonly Place[],
    whose: Tenant | null,
  ): Promise<{ live: LiveBatch; effects: Effect[] }> {
    const failures = await this.#failures(row, facts, history)
    const jobs: SavedJobs = { ...history, failures, plan: (index) => planOf(history.plans, index) }
    const live = this.#newLive(row, header, facts, jobs, whose ?? this.#runtime.tenants.get(row.tenantId))
    for (const { from, order } of places) live.orders.push({ from, order })
    await this.#queue(live, history)
    const specs = this.#resumable(live, history)
    const effects = restart(live.core, jobs, (index) => this.#repeats(specs.get(index)), this.#runtime.clock.now())
    this.#runtime.log(live, effects)
    return { live, effects }
  }

  /** A cancelled job is no failure, except where it was the first to end of a race. */
  async #failures(row: BatchRow, { decided, winner }: BatchFacts, history: BatchHistory): Promise<IndexedError[]> {
    const { states, failures } = history
    if (decided !== 'failed' || winner === null || states[winner] !== Job.cancelled) return failures
    const view = await this.#store.job(row.no, winner)
    // The view of an ended job, rendered by the store: a cancelled one has its error.
    const { type, code, message } = JSON.parse(view ?? '{}').error as ErrorFacts
    return [{ index: winner, type, code, message }, ...failures]
  }

  #newLive(row: BatchRow, header: BatchHeader, facts: BatchFacts, jobs: SavedJobs, tenant: Tenant): LiveBatch {
    const plan: BatchPlan = header
    const core = restoreBatch(plan, facts, row.seq, row, jobs)
    const live = this.#batches.make({ id: row.id, no: row.no, tenant, header, headerChars: row.header.length, core })
    live.publishedSeq = row.seq
    return live
  }

  /** What the fair queue must know of the jobs. */
  async #queue(live: LiveBatch, { plans, kinds }: BatchHistory): Promise<void> {
    const { total } = live.core
    const numbers = kinds.names.map((name) => this.#runtime.counts.kindNo(name))
    for (let index = 0; index < total; index++) {
      live.queue.priorities.extend(1, plans.priority?.[index] ?? 0)
      live.kinds.extend(1, numbers[kinds.of[index]])
    }
    if (!this.#hosts.capped) return
    for (let from = 0; from < total; from += CHUNK) await this.#assignHosts(live, from)
  }

  async #assignHosts(live: LiveBatch, from: number): Promise<void> {
    let next = from
    const to = Math.min(from + CHUNK, live.core.total)
    while (next < to) {
      const texts = await this.#store.specs(live.no, { from: next, limit: to - next })
      this.#hosts.assign(
        live.queue,
        next,
        texts.map((text) => JSON.parse(text)),
      )
      next += texts.length
    }
  }

  /** The specs of jobs that were in flight; of those whose work goes on with what is left, the start is kept. */
  #resumable(live: LiveBatch, { unended }: BatchHistory): Map<number, CommonSpec> {
    const specs = new Map<number, CommonSpec>()
    for (const { index, spec: text, startedAt } of unended) {
      // Written by Intake, from a spec.
      const spec = JSON.parse(text) as CommonSpec
      specs.set(index, spec)
      const resumes = this.#kinds.get(spec.kind)?.resumes ?? false
      if (startedAt !== null) live.startedBefore.set(index, { at: startedAt, resumes })
    }
    return specs
  }

  #repeats(spec: CommonSpec | undefined): boolean {
    const kind = spec === undefined ? undefined : this.#kinds.get(spec.kind)
    return spec !== undefined && kind !== undefined && restartRule(kind, spec) === 'retry'
  }
}

function planOf(plans: PlanColumns, index: number): JobPlan {
  return {
    timeoutMs: given(plans.timeoutMs, index),
    deadlineMs: given(plans.deadlineMs, index),
    queueTimeoutMs: given(plans.queueTimeoutMs, index),
    delayMs: plans.delayMs?.[index],
    shield: plans.shield?.[index] === 1,
  }
}

function given(column: Float64Array | null, index: number): number | null {
  const value = column?.[index] ?? -1
  return value < 0 ? null : value
}
