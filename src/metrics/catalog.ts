/** What a metric is, as Prometheus has it. Of a histogram there are `…_bucket`, `…_sum` and `…_count`. */
export type MetricType = 'counter' | 'gauge' | 'histogram'

/** A metric as declared: its labels, and one sentence for `# HELP`. */
export interface Declaration {
  type: MetricType
  labels: readonly string[]
  help: string
}

const metric =
  (type: MetricType) =>
  (help: string, ...labels: string[]): Declaration => ({ type, labels, help })
const counter = metric('counter')
const gauge = metric('gauge')
const histogram = metric('histogram')

const ENGINE = {
  gatherd_jobs_queued: gauge('Jobs that have not started.', 'kind'),
  gatherd_jobs_running: gauge('Jobs that have a slot and were not told to stop.', 'kind'),
  gatherd_jobs_cancelling: gauge('Jobs that were told to stop and have not yet.', 'kind'),
  gatherd_jobs_waiting: gauge('Queued jobs by what keeps them from starting.', 'reason'),
  gatherd_jobs_short_of_slots: gauge('Jobs that would start at once if the server had more slots.'),
  gatherd_jobs_accepted_total: counter('Jobs accepted, with their batch or appended.', 'kind'),
  gatherd_jobs_ended_total: counter(
    'Jobs that have ended; code is that of the error, or the cause of a cancellation.',
    ...['kind', 'state', 'code'],
  ),
  gatherd_job_wait_seconds: histogram('From the acceptance of a job to its first start, its delay included.', 'kind'),
  gatherd_attempt_duration_seconds: histogram('From the start of an attempt to the end of its job.', 'kind'),
  gatherd_attempts_total: counter('Attempts started.', 'kind'),
  gatherd_attempts_repeated_total: counter('Attempts started because the one before was cut off.', 'kind'),
  gatherd_jobs_stuck: gauge('Jobs that ignore their abort and keep their slots.'),
  gatherd_jobs_stuck_total: counter('Jobs that had ignored their abort for five seconds.'),
  gatherd_slots: gauge('Slots: of this server, and the sum of what its tenants may have.', 'cap'),
  gatherd_slots_used: gauge('Slots taken: of this server, and by jobs of its tenants.', 'cap'),
  gatherd_tenants: gauge('Tenants with work or settings; of a replica, those that it owns.'),
  gatherd_tenants_at_cap: gauge('Tenants that have all the slots that they may have.'),
  gatherd_tenants_paused: gauge('Tenants that are paused.'),
  gatherd_batches_open: gauge('Batches that have not drained.', 'policy'),
  gatherd_batches_accepted_total: counter('Batches accepted.', 'policy'),
  gatherd_batches_settled_total: counter('Batches that have their outcome.', 'policy', 'state'),
  gatherd_batch_duration_seconds: histogram('From the acceptance of a batch to its outcome.', 'policy'),
  gatherd_batches_recovered_total: counter('Batches taken up where another process or replica had left them.'),
  gatherd_jobs_recovered_total: counter('Jobs that had not ended, of batches that were taken up.'),
  gatherd_submissions_held: gauge('Submissions that wait for room in the queue of their tenant.'),
  gatherd_submissions_held_bytes: gauge('Bytes of the bodies of submissions that wait for room.'),
}

const STORE = {
  gatherd_store_commit_duration_seconds: histogram('How long a commit took, of those that succeeded.'),
  gatherd_store_commit_rows: histogram('Rows written by one commit.'),
  gatherd_store_commit_failures_total: counter('Commits that the store refused.'),
  gatherd_store_writable: gauge('1 while the store writes, 0 after a commit that it refused.'),
  gatherd_store_kept_bytes: gauge('Bytes that these tenants keep, as their limits count them.'),
  gatherd_retention_rows_deleted_total: counter('Rows deleted because they were too old, or of a deleted tenant.'),
  gatherd_retention_failures_total: counter('Sweeps of the retention that the store refused.'),
}

const EGRESS = {
  gatherd_egress_refusals_total: counter('Destinations refused.', 'stage', 'kind'),
  gatherd_response_body_bytes: gauge('Bytes that response bodies of running fetches have claimed.'),
  gatherd_response_body_limit_bytes: gauge('Bytes that they may claim.'),
  gatherd_response_bodies_waiting: gauge('Response bodies that wait for room before they are read.'),
}

const HTTP = {
  gatherd_http_requests_total: counter('Requests answered.', 'route', 'method', 'status'),
  gatherd_http_request_duration_seconds: histogram(
    'From the head of a request to the end of its answer, of streams and waits as well.',
    ...['route', 'method'],
  ),
  gatherd_http_problems_total: counter('Answers that were problem documents, by their code.', 'code'),
  gatherd_connections_dropped_total: counter(
    'Connections closed at once, for there were too many, in all or of one address.',
  ),
  gatherd_submissions_refused_total: counter('Submissions and appends refused, by the code of the problem.', 'code'),
  gatherd_http_under_pressure: gauge('1 while new work is refused because the process has too much to do.'),
  gatherd_observers: gauge('Answers held open for a wait, and streams.'),
  gatherd_streams_open: gauge('Streams of events that are open.'),
  gatherd_request_body_bytes: gauge('Bytes of request bodies under way or held.'),
  gatherd_request_body_limit_bytes: gauge('Bytes of large request bodies that may be.'),
  gatherd_unread_bytes: gauge('Bytes of answers read from the store that callers have not taken.'),
  gatherd_unread_limit_bytes: gauge('Bytes of answers that may be.'),
  gatherd_unread_pages_waiting: gauge('Pages of answers that wait for room before they are read.'),
  gatherd_build_info: gauge('Always 1; the version that runs, and where it keeps its data.', 'version', 'store'),
}

const CLUSTER = {
  gatherd_cluster_tenants_owned: gauge('Tenants whose work runs on this replica.'),
  gatherd_cluster_lease_seconds: gauge('How long the lease of this replica still holds; 0: it has none.'),
  gatherd_cluster_leases_lost_total: counter('Times that this replica lost its lease.'),
  gatherd_cluster_tenants_stale_total: counter('Tenants that turned out to be owned elsewhere while they ran here.'),
  gatherd_cluster_connected: gauge('1 while Redis answers and the lease is good.'),
  gatherd_cluster_request_duration_seconds: histogram('How long calls to other replicas took, by method.', 'method'),
  gatherd_cluster_request_failures_total: counter(
    'Calls to other replicas that had no answer in time, or a lost one.',
    'method',
  ),
  gatherd_cluster_slots_lent: gauge('Slots of this replica in which jobs of others run.'),
  gatherd_cluster_slots_borrowed: gauge('Slots of other replicas in which jobs of this one run.'),
  gatherd_cluster_attempts_sent_total: counter('Attempts sent to other replicas.'),
  gatherd_cluster_attempts_interrupted_total: counter('Of those: cut off with their replica, or given back.'),
  gatherd_cluster_attempts_taken_total: counter('Attempts of other replicas run here.'),
  gatherd_cluster_attempts_orphaned_total: counter('Of those: stopped because their owner is another by now, or none.'),
}

/**
 * Every metric of the service, by its name: base units, and no label that is an id, a URL or the name of a tenant. `docs/metrics.md` says
 * what to do when one moves.
 */
export const CATALOG = { ...ENGINE, ...STORE, ...EGRESS, ...HTTP, ...CLUSTER } satisfies Record<string, Declaration>
export type MetricName = keyof typeof CATALOG
