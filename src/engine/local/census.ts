import { Flag } from '../../core/batch.ts'
import { Job } from '../../core/states.ts'
import type { Census } from '../../metrics/engine-counts.ts'
import type { FairQueue, WaitingOn } from './fair-queue.ts'
import type { LiveBatch } from './live-batch.ts'
import type { Runtime } from './runtime.ts'
import { Shortage } from './shortage.ts'

/** Every reason, so that one which nobody waits for is shown as zero. */
const REASONS: readonly WaitingOn[] = [
  ...(['delay', 'paused', 'tenant-cap', 'rate'] as const),
  ...(['batch-limit', 'host-cap', 'server-cap'] as const),
]

/**
 * What there is in an engine now. Each queued job is looked at once, a byte of it: a million take a few milliseconds, and while nobody
 * asks, nobody counts.
 */
export function census({ counts, fair, tenants, owns, slots, admission, journal, values }: CensusParts): Census {
  const perKind = () => new Float64Array(counts.kindNames.length)
  const byKind = { queued: perKind(), running: perKind(), cancelling: perKind() }
  const waiting = new Map<WaitingOn, number>(REASONS.map((reason) => [reason, 0]))
  const batches = new Map<string, number>()
  const shortage = new Shortage()
  for (const live of values) {
    if (live.tenant.deleted) continue
    batches.set(live.header.policy, (batches.get(live.header.policy) ?? 0) + 1)
    countRunning(live, byKind)
    countQueued(live, fair, { queued: byKind.queued, waiting, shortage })
  }
  return {
    ...byKind,
    waiting,
    shortOfSlots: shortage.jobs,
    batches,
    stuck: counts.stuck,
    tenants: countTenants(tenants, owns),
    slots: { total: slots.concurrency, used: slots.running },
    held: admission.held,
    writable: journal.healthy,
  }
}

/** What of a runtime is looked at. */
export type CensusParts = Pick<Runtime, 'counts' | 'fair' | 'tenants' | 'admission' | 'journal'> & {
  slots: Pick<Runtime['slots'], 'concurrency' | 'running'>
  values: Iterable<LiveBatch>
  /** Whether a tenant is this engine's: several engines over one store hear of the same tenants. */
  owns(tenantId: string): boolean
}

interface Queued {
  queued: Float64Array
  waiting: Map<WaitingOn, number>
  shortage: Shortage
}

function countRunning(live: LiveBatch, to: { running: Float64Array; cancelling: Float64Array }): void {
  for (const index of live.attempts.keys()) {
    const state = live.core.states[index]
    if (state === Job.running) to.running[live.kinds.get(index)]++
    else if (state === Job.cancelling) to.cancelling[live.kinds.get(index)]++
  }
}

function countQueued(live: LiveBatch, fair: FairQueue, { queued, waiting, shortage }: Queued): void {
  const { core, queue, kinds } = live
  let left = core.counts[Job.queued]
  // Where hosts have no cap, all that is not held back waits for the same.
  let shared: WaitingOn | null = null
  let short = 0
  for (let index = 0; left > 0; index++) {
    if (core.states[index] !== Job.queued) continue
    left--
    queued[kinds.get(index)]++
    const isHeld = (core.flags[index] & (Flag.delayed | Flag.hedged)) !== 0
    const isOne = !isHeld && queue.hosts.length === 0
    const reason: WaitingOn = (isOne ? shared : null) ?? fair.waitingOn(queue, index)
    if (isOne) shared = reason
    waiting.set(reason, (waiting.get(reason) ?? 0) + 1)
    if (reason !== 'server-cap') continue
    if (isOne) short++
    else shortage.wait(queue, queue.hosts[index] ?? null, 1)
  }
  if (short > 0) shortage.wait(queue, null, short)
}

function countTenants(tenants: CensusParts['tenants'], owns: CensusParts['owns']): Census['tenants'] {
  const sum = { known: 0, atCap: 0, paused: 0, slots: 0, used: 0, keptBytes: 0 }
  for (const tenant of tenants.values()) {
    if (!owns(tenant.id)) continue
    const { cap, running } = tenant.queue
    sum.known++
    sum.slots += cap
    sum.used += running
    sum.keptBytes += tenants.kept(tenant)
    if (running >= cap) sum.atCap++
    if (tenant.settings.paused) sum.paused++
  }
  return sum
}
