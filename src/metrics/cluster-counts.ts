import type { Reading } from './metrics.ts'
import { Buckets } from './tally.ts'

const CALL_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]

interface MethodCounts {
  /** Seconds. */
  readonly duration: Buckets
  failures: number
}

/** Calls to other replicas, by method. */
export class CallCounts {
  readonly #methods = new Map<string, MethodCounts>()

  /** A call has ended. @param isLost - Without an answer: too late, or with the connection. */
  ended(method: string, ms: number, isLost: boolean): void {
    let counts = this.#methods.get(method)
    if (counts === undefined) {
      counts = { duration: new Buckets(CALL_S), failures: 0 }
      this.#methods.set(method, counts)
    }
    counts.duration.observe(ms / 1_000)
    if (isLost) counts.failures++
  }

  *readings(): Generator<Reading> {
    for (const [method, { duration, failures }] of this.#methods) {
      yield ['gatherd_cluster_request_duration_seconds', { method }, duration]
      yield ['gatherd_cluster_request_failures_total', { method }, failures]
    }
  }
}

/** What of a replica is read at a scrape. */
export interface ReplicaGauges {
  /** How many tenants it owns. */
  tenants: number
  leaseLeftMs: number
  leasesLost: number
  tenantsStale: number
  connected: boolean
  calls: CallCounts
  /** Null: every attempt runs where its tenant is. */
  spread: {
    lent: { size: number }
    borrowed: { size: number }
    counts: { sent: number; interrupted: number; taken: number; orphaned: number }
  } | null
}

/** The series of a replica. */
export function* replicaReadings(replica: ReplicaGauges): Generator<Reading> {
  yield ['gatherd_cluster_tenants_owned', {}, replica.tenants]
  yield ['gatherd_cluster_lease_seconds', {}, replica.leaseLeftMs / 1_000]
  yield ['gatherd_cluster_leases_lost_total', {}, replica.leasesLost]
  yield ['gatherd_cluster_tenants_stale_total', {}, replica.tenantsStale]
  yield ['gatherd_cluster_connected', {}, replica.connected ? 1 : 0]
  yield* replica.calls.readings()
  if (replica.spread === null) return
  const { lent, borrowed, counts } = replica.spread
  yield ['gatherd_cluster_slots_lent', {}, lent.size]
  yield ['gatherd_cluster_slots_borrowed', {}, borrowed.size]
  yield ['gatherd_cluster_attempts_sent_total', {}, counts.sent]
  yield ['gatherd_cluster_attempts_interrupted_total', {}, counts.interrupted]
  yield ['gatherd_cluster_attempts_taken_total', {}, counts.taken]
  yield ['gatherd_cluster_attempts_orphaned_total', {}, counts.orphaned]
}
