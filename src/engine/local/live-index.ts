import type { LiveBatch } from './live-batch.ts'
import type { BatchQueue } from './queues.ts'
import type { Tenant } from './tenants.ts'

const NONE: ReadonlySet<LiveBatch> = new Set()

/** The batches in memory: by id, by queue, and those of a tenant without a look at anybody else's. */
export class LiveIndex {
  readonly #byId = new Map<string, LiveBatch>()
  readonly #byQueue = new Map<BatchQueue, LiveBatch>()
  readonly #byTenant = new Map<Tenant, Set<LiveBatch>>()

  get(id: string): LiveBatch | undefined {
    return this.#byId.get(id)
  }

  ofQueue(queue: BatchQueue): LiveBatch | undefined {
    return this.#byQueue.get(queue)
  }

  /** Those of a tenant as it is: who comes under its name after a move is another. */
  ofTenant(tenant: Tenant): ReadonlySet<LiveBatch> {
    return this.#byTenant.get(tenant) ?? NONE
  }

  values(): Iterable<LiveBatch> {
    return this.#byId.values()
  }

  /** Takes the place of a batch of the same id: of a tenant that moved away and is back already. */
  add(live: LiveBatch): void {
    this.#byId.set(live.id, live)
    this.#byQueue.set(live.queue, live)
    const own = this.#byTenant.get(live.tenant)
    if (own === undefined) this.#byTenant.set(live.tenant, new Set([live]))
    else own.add(live)
  }

  /** False: it was not there (any more). */
  delete(live: LiveBatch): boolean {
    if (this.#byId.get(live.id) === live) this.#byId.delete(live.id)
    const own = this.#byTenant.get(live.tenant)
    own?.delete(live)
    if (own?.size === 0) this.#byTenant.delete(live.tenant)
    return this.#byQueue.delete(live.queue)
  }
}
