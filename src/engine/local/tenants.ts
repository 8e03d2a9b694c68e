import type { TenantLimits, TenantSettings, TenantView } from '../engine.ts'
import { DrainRate } from './drain-rate.ts'
import { newTenantQueue, type TenantQueue } from './queues.ts'

/** A tenant with work or settings. */
export interface Tenant {
  readonly id: string
  readonly queue: TenantQueue
  settings: TenantSettings
  /** Jobs in state `queued`. */
  queued: number
  /** Places promised to jobs that are being written. */
  reserved: number
  /** How fast jobs leave its queue. */
  readonly drain: DrainRate
  /** Jobs in state `cancelling`. */
  cancelling: number
  /** Jobs that ignore their abort. */
  stuck: number
}

/** The tenants the engine has heard of, their limits and their use. */
export class Tenants {
  readonly #defaults: TenantLimits
  readonly #tenants = new Map<string, Tenant>()

  /** `defaults` hold where a tenant has no setting of its own. */
  constructor(options: { defaults: TenantLimits }) {
    this.#defaults = options.defaults
  }

  /** The tenant, entered with the defaults when it is new. */
  get(id: string): Tenant {
    const known = this.#tenants.get(id)
    if (known !== undefined) return known
    const { maxConcurrency: cap, weight } = this.#defaults
    const queue = newTenantQueue(id, { cap, weight, paused: false })
    const tenant: Tenant = {
      id,
      queue,
      settings: {},
      queued: 0,
      reserved: 0,
      drain: new DrainRate(),
      cancelling: 0,
      stuck: 0,
    }
    this.#tenants.set(id, tenant)
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
    tenant.queue.paused = settings.paused ?? false
    return tenant
  }

  /** The limits that hold for a tenant. */
  limits({ settings }: Tenant): TenantLimits {
    return {
      maxConcurrency: settings.maxConcurrency ?? this.#defaults.maxConcurrency,
      maxQueuedJobs: settings.maxQueuedJobs ?? this.#defaults.maxQueuedJobs,
      maxBatchJobs: settings.maxBatchJobs ?? this.#defaults.maxBatchJobs,
      weight: settings.weight ?? this.#defaults.weight,
    }
  }

  view(tenant: Tenant): TenantView {
    const { id, settings, queue, queued, cancelling, stuck } = tenant
    const usage = { queued, running: queue.running, cancelling, stuck }
    return { id, limits: this.limits(tenant), paused: settings.paused ?? false, usage }
  }

  values(): Iterable<Tenant> {
    return this.#tenants.values()
  }
}
