import type { Reading } from './metrics.ts'
import { Buckets, Tally } from './tally.ts'

const WAIT_S = [0.001, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3_600]
const RUN_S = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600]
const COMMIT_S = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]
const ROWS = [1, 10, 100, 1_000, 10_000, 100_000]

/** The kind of jobs that were accepted while a kind was loaded that is not now. */
export const UNLOADED = 'unloaded'

/** What has happened to the jobs of one kind. */
export class KindCounts {
  accepted = 0
  started = 0
  repeated = 0
  /** Seconds. */
  readonly wait = new Buckets(WAIT_S)
  /** Seconds. */
  readonly duration = new Buckets(RUN_S)
  /** By state and code. */
  readonly ends = { succeeded: new Tally(), failed: new Tally(), timed_out: new Tally(), cancelled: new Tally() }
}

/** What has happened to the batches of one policy. */
export class PolicyCounts {
  accepted = 0
  /** Seconds. */
  readonly duration = new Buckets(RUN_S)
  /** By the state that they settled in. */
  readonly settled = new Tally()
}

/** What an engine has done since it was made. One of them is written by an engine's own turns, so it is numbers and nothing else. */
export class EngineCounts {
  /** Names of the kinds, by their numbers here; the last one is {@link UNLOADED}. */
  readonly kindNames: readonly string[]
  readonly kinds: readonly KindCounts[]
  readonly policies = new Map<string, PolicyCounts>()
  /** Now, also of tenants that are deleted or went elsewhere. */
  stuck = 0
  stuckEver = 0
  recoveredBatches = 0
  recoveredJobs = 0
  /** Seconds. */
  readonly commits = new Buckets(COMMIT_S)
  readonly commitRows = new Buckets(ROWS)
  commitFailures = 0
  rowsDeleted = 0
  retentionFailures = 0
  readonly #numbers: ReadonlyMap<string, number>

  constructor(kindNames: Iterable<string>) {
    this.kindNames = [...kindNames, UNLOADED]
    this.kinds = this.kindNames.map(() => new KindCounts())
    this.#numbers = new Map(this.kindNames.map((name, no) => [name, no]))
  }

  /** The number of a kind here. */
  kindNo(name: string): number {
    return this.#numbers.get(name) ?? this.kinds.length - 1
  }

  /** A job ignores its abort from now on. */
  becameStuck(): void {
    this.stuck++
    this.stuckEver++
  }

  policy(name: string): PolicyCounts {
    let policy = this.policies.get(name)
    if (policy === undefined) {
      policy = new PolicyCounts()
      this.policies.set(name, policy)
    }
    return policy
  }
}

/** What there is in an engine at one moment. */
export interface Census {
  /** By the number of the kind. */
  queued: ArrayLike<number>
  running: ArrayLike<number>
  cancelling: ArrayLike<number>
  waiting: Iterable<[reason: string, count: number]>
  /** Jobs that would start at once if the server had more slots. */
  shortOfSlots: number
  /** By policy. */
  batches: ReadonlyMap<string, number>
  stuck: number
  slots: { total: number; used: number }
  tenants: { known: number; atCap: number; paused: number; slots: number; used: number; keptBytes: number }
  held: { submissions: number; bytes: number }
  writable: boolean
}

/** The series of an engine. */
export function* engineReadings(counts: EngineCounts, census: Census): Generator<Reading> {
  for (const [no, kind] of counts.kindNames.entries()) {
    // A kind that was never there need not be shown; those that are loaded are, at zero.
    if (kind === UNLOADED && counts.kinds[no].accepted + census.queued[no] + counts.kinds[no].started === 0) continue
    yield* kindReadings(kind, counts.kinds[no])
    yield ['gatherd_jobs_queued', { kind }, census.queued[no]]
    yield ['gatherd_jobs_running', { kind }, census.running[no]]
    yield ['gatherd_jobs_cancelling', { kind }, census.cancelling[no]]
  }
  for (const [name, policy] of counts.policies) {
    yield* policyReadings(name, policy)
    yield ['gatherd_batches_open', { policy: name }, census.batches.get(name) ?? 0]
  }
  yield* censusReadings(census)
  yield ['gatherd_jobs_stuck_total', {}, counts.stuckEver]
  yield ['gatherd_batches_recovered_total', {}, counts.recoveredBatches]
  yield ['gatherd_jobs_recovered_total', {}, counts.recoveredJobs]
  yield ['gatherd_store_commit_duration_seconds', {}, counts.commits]
  yield ['gatherd_store_commit_rows', {}, counts.commitRows]
  yield ['gatherd_store_commit_failures_total', {}, counts.commitFailures]
  yield ['gatherd_retention_rows_deleted_total', {}, counts.rowsDeleted]
  yield ['gatherd_retention_failures_total', {}, counts.retentionFailures]
}

function* kindReadings(kind: string, { accepted, started, repeated, wait, duration, ends }: KindCounts) {
  yield ['gatherd_jobs_accepted_total', { kind }, accepted] as const
  yield ['gatherd_attempts_total', { kind }, started] as const
  yield ['gatherd_attempts_repeated_total', { kind }, repeated] as const
  yield ['gatherd_job_wait_seconds', { kind }, wait] as const
  yield ['gatherd_attempt_duration_seconds', { kind }, duration] as const
  for (const [state, codes] of Object.entries(ends))
    for (const [code, count] of codes.entries())
      yield ['gatherd_jobs_ended_total', { kind, state, code }, count] as const
}

function* policyReadings(policy: string, { accepted, duration, settled }: PolicyCounts) {
  yield ['gatherd_batches_accepted_total', { policy }, accepted] as const
  yield ['gatherd_batch_duration_seconds', { policy }, duration] as const
  for (const [state, count] of settled.entries())
    yield ['gatherd_batches_settled_total', { policy, state }, count] as const
}

function* censusReadings(census: Census): Generator<Reading> {
  const { waiting, shortOfSlots, stuck, slots, tenants, held, writable } = census
  for (const [reason, count] of waiting) yield ['gatherd_jobs_waiting', { reason }, count]
  yield ['gatherd_jobs_short_of_slots', {}, shortOfSlots]
  yield ['gatherd_jobs_stuck', {}, stuck]
  yield ['gatherd_slots', { cap: 'server' }, slots.total]
  yield ['gatherd_slots', { cap: 'tenants' }, tenants.slots]
  yield ['gatherd_slots_used', { cap: 'server' }, slots.used]
  yield ['gatherd_slots_used', { cap: 'tenants' }, tenants.used]
  yield ['gatherd_tenants', {}, tenants.known]
  yield ['gatherd_tenants_at_cap', {}, tenants.atCap]
  yield ['gatherd_tenants_paused', {}, tenants.paused]
  yield ['gatherd_store_kept_bytes', {}, tenants.keptBytes]
  yield ['gatherd_store_writable', {}, writable ? 1 : 0]
  yield ['gatherd_submissions_held', {}, held.submissions]
  yield ['gatherd_submissions_held_bytes', {}, held.bytes]
}
