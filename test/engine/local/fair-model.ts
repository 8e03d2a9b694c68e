import { expect } from 'vitest'
import { addJobs, type Batch, Flag, newBatch } from '../../../src/core/batch.ts'
import { Job } from '../../../src/core/states.ts'
import type { TenantSettings } from '../../../src/engine/engine.ts'
import { FairQueue, type Grant } from '../../../src/engine/local/fair-queue.ts'
import { type BatchQueue, type HostQueue, newBatchQueue } from '../../../src/engine/local/queues.ts'
import { StartRate } from '../../../src/engine/local/rate.ts'
import { type Tenant, Tenants } from '../../../src/engine/local/tenants.ts'
import { Timers } from '../../../src/engine/local/timers.ts'
import { FakeClock } from '../../support/fake-clock.ts'

/** A job as the model knows it. */
export interface ModelJob {
  tenant: Tenant
  batch: BatchQueue
  index: number
  order: number
  priority: number
  host: HostQueue | null
}

/** What a test says of a job. */
export interface JobPlan {
  priority?: number
  host?: number | null
  delayed?: boolean
}

/** A token as the model counts it: rates are tenths a second and time is whole milliseconds, so that all of it is whole. */
const TOKEN = 10_000

/** A rate as the model knows it. */
interface ModelRate {
  perSecond: number
  /** In parts of a token. */
  tokens: number
  at: number
}

/** The fair queue beside a model that looks at every job every time. */
export class FairWorld {
  readonly clock = new FakeClock()
  readonly timers = new Timers({ clock: this.clock })
  readonly fair = new FairQueue()
  /** When each job started, by tenant, since the tenant's rate was last set. */
  readonly starts = new Map<Tenant, number[]>()
  readonly #since = this.clock.now()
  readonly #rates = new Map<Tenant, ModelRate>()
  readonly tenants: Tenant[] = []
  readonly hosts: HostQueue[]
  readonly batches: BatchQueue[] = []
  readonly jobs: ModelJob[] = []
  readonly #jobs = new Map<BatchQueue, ModelJob[]>()
  readonly #tenants = new Tenants({
    defaults: { maxConcurrency: 2, maxQueuedJobs: 1e9, maxBatchJobs: 1e9, weight: 1 },
    startRate: (queue, perSecond) => {
      const wake = () => this.fair.refresh(queue)
      return new StartRate({ perSecond, since: this.#since, clock: this.clock, timers: this.timers, wake })
    },
  })
  /** Takes since each tenant was last served, or could not have been. */
  readonly #passedOver = new Map<Tenant, number>()

  constructor(options: { tenants: TenantSettings[]; hostCaps?: number[] }) {
    options.tenants.forEach((settings, i) => {
      const tenant = this.#tenants.apply(`t${i}`, settings)
      this.tenants.push(tenant)
      this.#pace(tenant, settings.rate?.jobsPerSecond ?? null)
    })
    this.hosts = (options.hostCaps ?? []).map((cap, i) => ({ key: `h${i}`, cap, running: 0, parked: new Map() }))
  }

  submit(tenant: Tenant, max: number | null, plans: JobPlan[]): BatchQueue {
    const batch = newBatchQueue(tenant.queue, newBatch({ policy: 'all_settled' }), max)
    this.batches.push(batch)
    this.append(batch, plans)
    return batch
  }

  append(batch: BatchQueue, plans: JobPlan[]): void {
    const order = this.fair.nextOrder()
    const from = addJobs(
      batch.core,
      plans.map(() => ({})),
      0,
    )
    for (const [i, plan] of plans.entries()) this.#describe(batch, from + i, order, plan)
    let start = from
    for (let i = from; i <= batch.core.total; i++) {
      if (i < batch.core.total && !plans[i - from].delayed) continue
      if (i > start) this.fair.enqueue(batch, start, i, order)
      start = i + 1
    }
  }

  #describe(batch: BatchQueue, index: number, order: number, plan: JobPlan): void {
    const host = plan.host == null ? null : (this.hosts[plan.host] ?? null)
    batch.priorities.extend(1, plan.priority ?? 0)
    if (this.hosts.length > 0) batch.hosts[index] = host
    if (plan.delayed) batch.core.flags[index] |= Flag.delayed
    const tenant = this.tenants.find(({ queue }) => queue === batch.tenant)
    if (tenant === undefined) throw new Error('unknown tenant')
    const job = { tenant, batch, index, order, priority: plan.priority ?? 0, host }
    this.jobs.push(job)
    const jobs = this.#jobs.get(batch)
    if (jobs === undefined) this.#jobs.set(batch, [job])
    else jobs.push(job)
  }

  /** A job's delay is over. */
  due(job: ModelJob): void {
    job.batch.core.flags[job.index] &= ~Flag.delayed
    if (stateOf(job) === Job.queued) this.fair.enqueue(job.batch, job.index, job.index + 1, job.order)
  }

  cancel(job: ModelJob): void {
    setState(job, Job.cancelled)
  }

  requeue(job: ModelJob, priority: number): void {
    job.priority = priority
    job.batch.priorities.set(job.index, priority)
    this.fair.requeue(job.batch, job.index, job.order)
  }

  release(job: ModelJob): void {
    setState(job, Job.succeeded)
    this.fair.release(job.batch, job.index)
  }

  set(tenant: Tenant, settings: TenantSettings): void {
    this.#tenants.apply(tenant.id, settings)
    this.#pace(tenant, settings.rate?.jobsPerSecond ?? null)
    this.fair.refresh(tenant.queue)
    this.#passedOver.clear()
  }

  /** Let time pass; what is due meanwhile is. */
  advance(ms: number): void {
    this.clock.advance(ms)
  }

  take(): ModelJob | null {
    const eligible = this.eligible()
    const grant = this.fair.take()
    if (grant === null) return null
    const job = this.granted(grant)
    this.#noteFairness(eligible, job)
    return job
  }

  /** The job of a grant that somebody else took starts. */
  granted(grant: Grant): ModelJob {
    const job = this.#find(grant)
    setState(job, Job.running)
    const starts = this.starts.get(job.tenant)
    if (starts === undefined) this.starts.set(job.tenant, [this.clock.now()])
    else starts.push(this.clock.now())
    const rate = this.#rates.get(job.tenant)
    if (rate !== undefined) rate.tokens -= TOKEN
    return job
  }

  /** Whether the tenant's rate has a start left. */
  mayStart(tenant: Tenant): boolean {
    const rate = this.#filled(tenant)
    return rate === undefined || rate.tokens >= TOKEN
  }

  /** Takes for which the tenant passed over longest has waited, though it could have been served. */
  get longestPassedOver(): number {
    return Math.max(0, ...this.#passedOver.values())
  }

  queued(): ModelJob[] {
    return this.jobs.filter((job) => stateOf(job) === Job.queued)
  }

  running(): ModelJob[] {
    return this.jobs.filter((job) => stateOf(job) === Job.running)
  }

  /** Every job that may start now. */
  eligible(): ModelJob[] {
    const running = {
      tenants: new Map<Tenant, number>(),
      batches: new Map<BatchQueue, number>(),
      hosts: new Map<HostQueue, number>(),
    }
    for (const job of this.running()) {
      bump(running.tenants, job.tenant)
      bump(running.batches, job.batch)
      if (job.host !== null) bump(running.hosts, job.host)
    }
    const mayStart = new Set(this.tenants.filter((tenant) => this.mayStart(tenant)))
    return this.queued().filter(
      (job) =>
        !isHeldBack(job) &&
        !job.tenant.queue.paused &&
        mayStart.has(job.tenant) &&
        (running.tenants.get(job.tenant) ?? 0) < job.tenant.queue.cap &&
        (running.batches.get(job.batch) ?? 0) < job.batch.max &&
        (job.host === null || (running.hosts.get(job.host) ?? 0) < job.host.cap),
    )
  }

  /** The queue's choice against the model's. */
  check(): void {
    const eligible = this.eligible()
    const grant = this.fair.next()
    if (grant === null) {
      if (eligible.length > 0) throw new Error(`next() is null, but eligible: ${eligible.map(describeJob).join('; ')}`)
      return
    }
    const job = this.#find(grant)
    if (!eligible.includes(job)) throw new Error(`next() gives what may not start: ${describeJob(job)}`)
    const [first] = eligible.filter(({ tenant }) => tenant === job.tenant).sort(startsFirst)
    if (first !== job && !this.#isPromised(first, job))
      expect(describeJob(job), 'next() gives not the first').toBe(describeJob(first))
    const again = this.fair.next()
    if (again?.batch !== grant.batch || again.index !== grant.index) throw new Error('next() changes its mind')
  }

  /** What the queue counts against what runs; plain comparisons, for this is looked at after every operation. */
  checkCounters(): void {
    const running = this.running()
    for (const { queue } of this.tenants) counted(queue.running, running, ({ batch }) => batch.tenant === queue)
    for (const batch of this.batches) {
      counted(batch.running, running, (job) => job.batch === batch)
      if (batch.running > batch.max) throw new Error('a batch is above its maxConcurrency')
    }
    for (const host of this.hosts) {
      counted(host.running, running, (job) => job.host === host)
      if (host.running > host.cap) throw new Error('a host is above its cap')
    }
  }

  /** A host's free slot goes to the tenant that has waited longest for it; until then no other's jobs for it come first. */
  #isPromised(first: ModelJob, given: ModelJob): boolean {
    if (first.host === null || first.host === given.host) return false
    return this.jobs.some(({ host, tenant }) => host === first.host && tenant !== first.tenant)
  }

  #pace(tenant: Tenant, perSecond: number | null): void {
    const known = this.#filled(tenant)
    if (known?.perSecond === perSecond) return
    this.starts.delete(tenant)
    const now = this.clock.now()
    if (perSecond === null) this.#rates.delete(tenant)
    else {
      const tokens = known === undefined ? grown(perSecond, now - this.#since) : known.tokens
      this.#rates.set(tenant, { perSecond, tokens: Math.min(tokens, burstOf(perSecond) * TOKEN), at: now })
    }
  }

  #filled(tenant: Tenant): ModelRate | undefined {
    const rate = this.#rates.get(tenant)
    if (rate === undefined) return undefined
    const now = this.clock.now()
    rate.tokens = Math.min(rate.tokens + grown(rate.perSecond, now - rate.at), burstOf(rate.perSecond) * TOKEN)
    rate.at = now
    return rate
  }

  #noteFairness(eligible: ModelJob[], served: ModelJob): void {
    const could = new Set(eligible.map(({ tenant }) => tenant))
    for (const tenant of this.tenants) {
      if (tenant === served.tenant || !could.has(tenant)) this.#passedOver.delete(tenant)
      else bump(this.#passedOver, tenant)
    }
  }

  #find({ batch, index }: Grant): ModelJob {
    const job = this.#jobs.get(batch)?.[index]
    if (job === undefined) throw new Error('next() gives a job that was never queued')
    return job
  }
}

/** What a second's worth is, and never less than one. */
export function burstOf(perSecond: number): number {
  return Math.max(1, Math.ceil(perSecond))
}

function grown(perSecond: number, ms: number): number {
  return Math.round(perSecond * 10) * ms
}

/** Priority, then acceptance, then input order. */
export function startsFirst(a: ModelJob, b: ModelJob): number {
  return b.priority - a.priority || a.order - b.order || a.index - b.index
}

/** A job in a failed test's words. */
export function describeJob(job: ModelJob): string {
  const at = job.host === null ? '' : ` at ${job.host.key}`
  return `${job.tenant.id} order ${job.order} index ${job.index} priority ${job.priority}${at}`
}

export function stateOf({ batch, index }: { batch: BatchQueue; index: number }): number {
  return batch.core.states[index]
}

function counted(count: number, running: ModelJob[], counts: (job: ModelJob) => boolean): void {
  let really = 0
  for (const job of running) if (counts(job)) really++
  if (count !== really) throw new Error(`${count} are counted as running, ${really} are`)
}

function setState(job: ModelJob, state: number): void {
  const core: Batch = job.batch.core
  core.counts[core.states[job.index]]--
  core.counts[state]++
  core.states[job.index] = state
}

export function isHeldBack({ batch, index }: ModelJob): boolean {
  return (batch.core.flags[index] & Flag.delayed) !== 0
}

function bump<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
