import { newBatch } from '../../../src/core/batch.ts'
import { LiveBatch } from '../../../src/engine/local/live-batch.ts'
import { newBatchQueue } from '../../../src/engine/local/queues.ts'
import { Sealer } from '../../../src/engine/local/sealer.ts'
import { SpecBudget, SpecWindow } from '../../../src/engine/local/specs.ts'
import { Tenants } from '../../../src/engine/local/tenants.ts'
import { Timers } from '../../../src/engine/local/timers.ts'
import type { BatchHeader } from '../../../src/engine/views.ts'
import type { CommonSpec, JobKind } from '../../../src/jobs/kind.ts'
import { Vault } from '../../../src/secrets/vault.ts'
import type { Store } from '../../../src/store/store.ts'
import { FakeClock } from '../../support/fake-clock.ts'

/** The service's limits in these tests. */
export const DEFAULTS = {
  maxConcurrency: 4,
  maxQueuedJobs: 100,
  maxBatchJobs: 50,
  maxLiveBatches: 1_000,
  maxStoredBytes: null,
  weight: 2,
  rate: { jobsPerSecond: null, requestsPerMinute: null },
}

export const HEADER: BatchHeader = {
  policy: 'all_settled',
  n: null,
  hedgeDelayMs: null,
  name: null,
  labels: {},
  timeoutMs: null,
  maxConcurrency: null,
  context: {},
}

/** A sealer under a key of its own, for kinds that are given. */
export function sealerOf(kinds: readonly JobKind[] = [], vault = new Vault([Buffer.alloc(32, 'key')])): Sealer {
  const events = {
    secretUnreadable: () => {
      throw new Error('A secret cannot be read.')
    },
  }
  return new Sealer({ vault, kinds: new Map(kinds.map((kind) => [kind.name, kind])), events })
}

/** A live batch of a tenant `acme`, over fakes. */
export function liveBatch(
  own: {
    no?: number
    clock?: FakeClock
    timers?: Timers
    fresh?: CommonSpec[]
    header?: Partial<BatchHeader>
    store?: Partial<Store>
    onDue?: (kind: string, index: number) => void
  } = {},
): LiveBatch {
  const no = own.no ?? 1
  const id = `00000000-0000-7000-8000-${String(no).padStart(12, '0')}`
  const core = newBatch({ policy: 'all_settled' })
  const tenant = new Tenants({ defaults: DEFAULTS }).get('acme')
  // Only what the test gives is ever called.
  const store = (own.store ?? {}) as Store
  const specs = new SpecWindow({ store, no, budget: new SpecBudget(), sealer: sealerOf().batch(id) })
  const fresh = own.fresh ?? []
  specs.keep(
    fresh,
    fresh.map((spec) => JSON.stringify(spec)),
  )
  return new LiveBatch({
    id,
    no,
    tenant,
    header: { ...HEADER, ...own.header },
    headerChars: 100,
    core,
    queue: newBatchQueue(tenant.queue, core, null),
    specs,
    timers: own.timers ?? new Timers({ clock: own.clock ?? new FakeClock() }),
    onDue: (_live, kind, index) => own.onDue?.(kind, index),
  })
}
