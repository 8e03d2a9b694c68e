import type { Batch } from '../../core/batch.ts'
import type { BatchNo, Store } from '../../store/store.ts'
import type { BatchHeader } from '../views.ts'
import { LiveBatch } from './live-batch.ts'
import { newBatchQueue } from './queues.ts'
import type { Runtime } from './runtime.ts'
import type { Sealer } from './sealer.ts'
import { SpecBudget, SpecWindow } from './specs.ts'
import type { Tenant } from './tenants.ts'

/** What a batch that was just accepted and one that a restart found have in common. */
export interface LiveParts {
  id: string
  no: BatchNo
  tenant: Tenant
  header: BatchHeader
  /** Of the header as JSON. */
  headerChars: number
  core: Batch
}

/** Makes batches that run: all of an engine share one budget for the specs they keep in memory. */
export class LiveBatches {
  readonly #runtime: Runtime
  readonly #store: Store
  readonly #sealer: Sealer
  readonly #budget = new SpecBudget()

  constructor(options: { runtime: Runtime; store: Store; sealer: Sealer }) {
    this.#runtime = options.runtime
    this.#store = options.store
    this.#sealer = options.sealer
  }

  /** The batch, unknown to the runtime yet. */
  make({ id, no, tenant, header, headerChars, core }: LiveParts): LiveBatch {
    return new LiveBatch({
      id,
      no,
      tenant,
      header,
      headerChars,
      core,
      queue: newBatchQueue(tenant.queue, core, header.maxConcurrency),
      specs: new SpecWindow({ store: this.#store, no, budget: this.#budget, sealer: this.#sealer.batch(id) }),
      timers: this.#runtime.timers,
      onDue: (live, timer, index) => this.#runtime.due(live, timer, index),
    })
  }
}
