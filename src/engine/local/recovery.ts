import type { BatchPlan, JobPlan } from '../../core/batch.ts'
import type { Effect } from '../../core/events.ts'
import type { BatchFacts } from '../../core/facts.ts'
import { restart, restoreBatch, type SavedJobs } from '../../core/restart.ts'
import type { CommonSpec, JobKind } from '../../jobs/kind.ts'
import type { BatchHistory, BatchRow, PlanColumns, Store } from '../../store/store.ts'
import type { BatchHeader } from '../views.ts'
import { restartRule } from './attempts.ts'
import type { Hosts } from './hosts.ts'
import { LiveBatch } from './live-batch.ts'
import { newBatchQueue } from './queues.ts'
import type { Runtime } from './runtime.ts'
import { SpecWindow } from './specs.ts'

/** How many specs are read at once to find the hosts of queued jobs. */
const CHUNK = 1_000

/** Takes up at a start what the last process left: every batch that has not drained goes on where its record ends. */
export class Recovery {
  readonly #runtime: Runtime
  readonly #store: Store
  readonly #hosts: Hosts
  readonly #kinds: ReadonlyMap<string, JobKind>

  constructor(options: { runtime: Runtime; store: Store; hosts: Hosts; kinds: ReadonlyMap<string, JobKind> }) {
    this.#runtime = options.runtime
    this.#store = options.store
    this.#hosts = options.hosts
    this.#kinds = options.kinds
  }

  /** Resolves with the number of batches taken up, once all of them are: only then does the first job start. */
  async run(): Promise<number> {
    const found: { live: LiveBatch; effects: Effect[] }[] = []
    for (const row of await this.#store.unfinished()) found.push(await this.#takeUp(row))
    for (const { live, effects } of found) this.#runtime.enter(live, effects, { kick: false })
    this.#runtime.kick()
    return found.length
  }

  async #takeUp(row: BatchRow): Promise<{ live: LiveBatch; effects: Effect[] }> {
    const history = await this.#store.history(row.no)
    // Both are written by the engine, from these types.
    const header = JSON.parse(row.header) as BatchHeader
    const facts = JSON.parse(row.facts) as BatchFacts
    const jobs: SavedJobs = { ...history, plan: (index) => planOf(history.plans, index) }
    const live = this.#newLive(row, header, facts, jobs)
    await this.#queue(live, facts, history)
    const specs = this.#resumable(live, history)
    const effects = restart(live.core, jobs, (index) => this.#repeats(specs.get(index)), this.#runtime.clock.now())
    this.#runtime.log(live, effects)
    return { live, effects }
  }

  #newLive(row: BatchRow, header: BatchHeader, facts: BatchFacts, jobs: SavedJobs): LiveBatch {
    const tenant = this.#runtime.tenants.get(row.tenantId)
    const plan: BatchPlan = header
    const core = restoreBatch(plan, facts, row.seq, row, jobs)
    const live = new LiveBatch({
      id: row.id,
      no: row.no,
      tenant,
      header,
      core,
      queue: newBatchQueue(tenant.queue, core, header.maxConcurrency),
      specs: new SpecWindow({ store: this.#store, no: row.no, fresh: [] }),
      timers: this.#runtime.timers,
      onDue: (due, timer, index) => this.#runtime.due(due, timer, index),
    })
    live.publishedSeq = row.seq
    return live
  }

  /** What the fair queue must know of the jobs. The order of acceptance is that of the batches' numbers, then of the appends. */
  async #queue(live: LiveBatch, facts: BatchFacts, { plans }: BatchHistory): Promise<void> {
    const { total } = live.core
    for (const { from } of facts.accepted) live.orders.push({ from, order: this.#runtime.fair.nextOrder() })
    for (let index = 0; index < total; index++) live.queue.priorities.extend(1, plans.priority?.[index] ?? 0)
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
