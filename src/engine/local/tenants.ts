import type { StorageBound } from '../../jobs/kind.ts'
import type { RateLimits, TenantLimits, TenantSettings, TenantView } from '../engine.ts'
import { DrainRate } from './drain-rate.ts'
import { newTenantQueue, type TenantQueue } from './queues.ts'
import type { StartRate } from './rate.ts'

/** Batches in memory: how many, and the characters of their headers as JSON. */
export interface BatchLoad {
  batches: number
  headerChars: number
}

/** A tenant with work or settings. */
export interface Tenant {
  readonly id: string
  readonly queue: TenantQueue
  settings: TenantSettings
  /** Jobs in state `queued`. */
  queued: number
  /** Places promised to jobs that are being written. */
  reserved: number
  /** Bytes of headers, specs, results and errors that are being written. */
  entering: number
  /** Its batches that have not drained. */
  readonly live: BatchLoad
  /** Those that are being written, and have their place. */
  readonly promised: BatchLoad
  /** How fast jobs leave its queue. */
  readonly drain: DrainRate
  /** Jobs in state `cancelling`. */
  cancelling: number
  /** Jobs that ignore their abort. */
  stuck: number
  /** It is about to move: nothing more starts, whatever its settings say. */
  leaving: boolean
  /** It is being deleted: nothing more enters. */
  closed: boolean
  /** It was deleted, or moved: what still runs of it is stopping, and leaves no trace. */
  deleted: boolean
  /** It is another engine's now: with all that it had been asked (`handed over`), or perhaps not (`lost`). */
  moved: false | 'handed over' | 'lost'
}

/** What holds where a tenant has no setting of its own; without `rate`, `maxLiveBatches` or `maxStoredBytes` there is none. */
export type TenantDefaults = Omit<TenantLimits, 'rate' | 'maxLiveBatches' | 'maxStoredBytes'> & Partial<TenantLimits>

const NO_RATE: RateLimits = { jobsPerSecond: null, requestsPerMinute: null }

/** The tenants the engine has heard of, their limits and their use. */
export class Tenants {
  readonly #defaults: TenantLimits
  readonly #storedBytes: (id: string) => number
  readonly #startRate: ((queue: TenantQueue, perSecond: number) => StartRate) | undefined
  readonly #tenants = new Map<string, Tenant>()

  /**
   * @param options.startRate - Makes what holds a tenant to its `jobsPerSecond`; absent: nothing does.
   * @param options.storedBytes - What a tenant keeps on disk; absent: nobody keeps anything.
   */
  constructor(options: {
    defaults: TenantDefaults
    storedBytes?: (id: string) => number
    startRate?: (queue: TenantQueue, perSecond: number) => StartRate
  }) {
    const none = { rate: NO_RATE, maxLiveBatches: Number.MAX_SAFE_INTEGER, maxStoredBytes: null }
    this.#defaults = { ...none, ...options.defaults }
    this.#storedBytes = options.storedBytes ?? (() => 0)
    this.#startRate = options.startRate
  }

  /** The tenant, entered with the defaults when it is new. */
  get(id: string): Tenant {
    const known = this.#tenants.get(id)
    if (known !== undefined) return known
    const tenant = this.#make(id)
    this.#tenants.set(id, tenant)
    return tenant
  }

  /** The tenant as it is; one that nobody has entered as it would be, and it is not entered by that. */
  look(id: string): Tenant {
    const known = this.#tenants.get(id)
    if (known !== undefined) return known
    const tenant = this.#make(id)
    tenant.queue.rate?.close()
    return tenant
  }

  #make(id: string): Tenant {
    const { maxConcurrency: cap, weight } = this.#defaults
    const queue = newTenantQueue(id, { cap, weight, paused: false })
    const tenant: Tenant = {
      id,
      queue,
      settings: {},
      queued: 0,
      reserved: 0,
      entering: 0,
      live: { batches: 0, headerChars: 0 },
      promised: { batches: 0, headerChars: 0 },
      drain: new DrainRate(),
      cancelling: 0,
      stuck: 0,
      leaving: false,
      closed: false,
      deleted: false,
      moved: false,
    }
    this.#pace(queue, this.#defaults.rate.jobsPerSecond)
    return tenant
  }

  /** Replace a tenant's settings; its queue follows at once. */
  apply(id: string, settings: TenantSettings): Tenant {
    const tenant = this.get(id)
    tenant.settings = settings
    const limits = this.limits(tenant)
    tenant.queue.cap = limits.maxConcurrency
    tenant.queue.weight = limits.weight
    tenant.queue.credit = Math.min(tenant.queue.credit, limits.weight)
    tenant.queue.paused = tenant.leaving || (settings.paused ?? false)
    this.#pace(tenant.queue, limits.rate.jobsPerSecond)
    return tenant
  }

  #pace(queue: TenantQueue, perSecond: number | null): void {
    if (perSecond !== null && queue.rate !== null) return queue.rate.change(perSecond)
    queue.rate?.close()
    queue.rate = perSecond === null ? null : (this.#startRate?.(queue, perSecond) ?? null)
  }

  /** The tenant was deleted: who comes under its name from now on is another. */
  forget(tenant: Tenant): void {
    tenant.closed = true
    tenant.deleted = true
    tenant.queue.paused = true
    tenant.queue.rate?.close()
    this.#tenants.delete(tenant.id)
  }

  /** The limits that hold for a tenant. */
  limits({ settings }: Tenant): TenantLimits {
    const { rate } = this.#defaults
    return {
      maxConcurrency: settings.maxConcurrency ?? this.#defaults.maxConcurrency,
      maxQueuedJobs: settings.maxQueuedJobs ?? this.#defaults.maxQueuedJobs,
      maxBatchJobs: settings.maxBatchJobs ?? this.#defaults.maxBatchJobs,
      maxLiveBatches: settings.maxLiveBatches ?? this.#defaults.maxLiveBatches,
      maxStoredBytes: (settings.maxStoredBytes ?? this.#defaults.maxStoredBytes) || null,
      weight: settings.weight ?? this.#defaults.weight,
      rate: {
        jobsPerSecond: settings.rate?.jobsPerSecond ?? rate.jobsPerSecond,
        requestsPerMinute: settings.rate?.requestsPerMinute ?? rate.requestsPerMinute,
      },
    }
  }

  /** The bound of what a tenant may keep on disk, once it keeps as much, with what is being written; null: it keeps less. */
  overBound(tenant: Tenant): StorageBound | null {
    const limit = this.limits(tenant).maxStoredBytes
    if (limit === null) return null
    const stored = this.#storedBytes(tenant.id) + tenant.entering
    return stored < limit ? null : { stored, limit }
  }

  /** Bytes that a tenant keeps on disk. */
  kept({ id }: Tenant): number {
    return this.#storedBytes(id)
  }

  view(tenant: Tenant): TenantView {
    const { id, settings, queue, queued, cancelling, stuck } = tenant
    const { batches } = tenant.live
    const usage = { queued, running: queue.running, cancelling, stuck, batches, storedBytes: this.#storedBytes(id) }
    return { id, limits: this.limits(tenant), paused: settings.paused ?? false, usage }
  }

  values(): Iterable<Tenant> {
    return this.#tenants.values()
  }
}
