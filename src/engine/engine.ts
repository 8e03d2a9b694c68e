import type { JobStateName, Policy } from '../core/states.ts'
import type { CommonSpec } from '../jobs/kind.ts'

export { CANCEL_CAUSES, JOB_STATE_NAMES, TIMEOUT_CAUSES } from '../core/states.ts'

/** Text that is valid JSON already, so that nobody parses it to write it again. */
export type JsonText = string & { readonly json?: unique symbol }

export type { JobStateName, Policy }

/** What a queued job waits for. */
export type WaitingOn = 'delay' | 'paused' | 'tenant-cap' | 'rate' | 'batch-limit' | 'host-cap' | 'server-cap'

/** A validated batch, its `defaults` already merged into its jobs. */
export interface BatchSubmission {
  policy: Policy
  name: string | null
  labels: Record<string, string>
  /** Milliseconds from acceptance; null: none. */
  timeoutMs: number | null
  /** Jobs of this batch that may run at once; null: no limit of its own. */
  maxConcurrency: number | null
  open: boolean
  context: Record<string, string>
  /** `quorum` only. */
  n: number | null
  /** `hedge` only, milliseconds. */
  hedgeDelayMs: number | null
  jobs: CommonSpec[]
  traceparent?: string
}

/** One error inside an ExceptionGroup. */
export interface GroupedError {
  jobId: string
  index: number
  type: string
  code: string
  message: string
}

/** The error of a batch: of one job (with its id and index), of the batch itself, or an ExceptionGroup with `errors`. */
export interface BatchError {
  type: string
  code: string
  message: string
  jobId?: string
  index?: number
  errors?: GroupedError[]
}

/** A batch as read. Instants are ISO 8601 UTC with milliseconds. */
export interface BatchView {
  id: string
  policy: Policy
  state: 'running' | 'aborting' | 'succeeded' | 'failed' | 'timed_out' | 'cancelled'
  name: string | null
  labels: Record<string, string>
  open: boolean
  /** `quorum`'s n, else null. */
  n: number | null
  hedgeDelayMs: number | null
  timeoutMs: number | null
  maxConcurrency: number | null
  context: Record<string, string>
  counts: {
    total: number
    queued: number
    running: number
    cancelling: number
    succeeded: number
    failed: number
    timed_out: number
    cancelled: number
  }
  acceptedAt: string
  settledAt: string | null
  drainedAt: string | null
  /** The number of the batch's newest event. */
  seq: number
  winner: { jobId: string; index: number } | null
  error: BatchError | null
  cancel: { reason: string | null; at: string } | null
  links: { self: string; jobs: string; events: string; cancel: string }
}

/** One page of a list. `nextCursor` is null on the last. */
export interface Page<T> {
  data: T[]
  nextCursor: string | null
}

/** The three constants of asyncio.wait. */
export type ReturnWhen = 'ALL_COMPLETED' | 'FIRST_COMPLETED' | 'FIRST_EXCEPTION'

/** One event of a stream, ready to be framed. */
export interface StreamEvent {
  /** Null for a line that is not in the log (`stream.timeout`, `stream.shutdown`). */
  seq: number | null
  type: string
  json: JsonText
}

/** Where the pages of one answer are read, one after the other: each in its turn, and when there is room for it. */
export interface Pages {
  /** @param bytesOf - How large a page is, about. @throws what `read` throws, and when there is nobody to answer any more. */
  page<T>(read: () => Promise<T>, bytesOf: (page: T) => number): Promise<T>
}

/** Pages that nobody has to wait for. */
export const AT_ONCE: Pages = { page: (read) => read() }

/** Characters of texts. */
export function charsOf(texts: readonly JsonText[]): number {
  return texts.reduce((sum, text) => sum + text.length, 0)
}

/** How fast a tenant may go; null: as fast as it can. */
export interface RateLimits {
  /** Starts of jobs; may be a fraction. */
  jobsPerSecond: number | null
  /** Requests to the API. */
  requestsPerMinute: number | null
}

/** What a tenant may use. Null in a stored setting means the service's default; here it is resolved. */
export interface TenantLimits {
  maxConcurrency: number
  maxQueuedJobs: number
  maxBatchJobs: number
  /** Batches that have not drained. */
  maxLiveBatches: number
  /** Bytes on disk past which nothing more is accepted; null: none. */
  maxStoredBytes: number | null
  weight: number
  rate: RateLimits
}

/** `public`: public addresses, and what is allowed; `allow-list`: only what is allowed. */
export type EgressMode = 'public' | 'allow-list'

/** The lists of entries that an {@link EgressRules} has. */
export type EgressList = 'allow' | 'allowHosts' | 'deny' | 'denyHosts'

/** Where a tenant's fetches may go, of what the operator's rules let go: entries as in `GATHERD_EGRESS_ALLOW` and its like. */
export type EgressRules = { mode?: EgressMode } & { [K in EgressList]?: readonly string[] }

/** A tenant's own settings: what is absent follows the service's defaults. */
export interface TenantSettings {
  maxConcurrency?: number
  maxQueuedJobs?: number
  maxBatchJobs?: number
  maxLiveBatches?: number
  /** 0: no bound, whatever the service's default is. */
  maxStoredBytes?: number
  weight?: number
  rate?: { [K in keyof RateLimits]?: RateLimits[K] | undefined }
  /** Narrows the operator's rules; without `allow` and `allowHosts` it opens what those open. Absent: they alone hold. */
  egress?: EgressRules
  paused?: boolean
}

/** A tenant as it sees itself. `running` includes cancelling, `batches` have not drained, `storedBytes` is what it keeps on disk. */
export interface TenantView {
  id: string
  limits: TenantLimits
  paused: boolean
  usage: { queued: number; running: number; cancelling: number; stuck: number; batches: number; storedBytes: number }
}

/** A change to a job that has not ended. Absent: as it was; null: none any more. */
export interface Reschedule {
  /** Milliseconds from the job's acceptance. */
  deadlineMs?: number | null
  /** Milliseconds from the start of the attempt. */
  timeoutMs?: number | null
  priority?: number
}

/** An Idempotency-Key with a digest of the body it came with. */
export interface Idempotency {
  key: string
  hash: string
}

/** The wish to wait, when the tenant's queue is full, until there is room. */
export interface Hold {
  timeoutMs: number
  /** The size of the request, which is kept in memory meanwhile. */
  bytes: number
  /** Aborts when the caller gives up: then nothing is accepted. */
  signal?: AbortSignal
}

/** What would come of a submission that came now. */
export interface Forecast {
  /** What would hold back each job, in input order; null: it would start at once, or end without a start. */
  waitingOn: (WaitingOn | null)[]
  /** Seconds until there is likely to be room for all of its jobs, in the queue and on disk; null: there is. */
  retryAfterS: number | null
}

/** What a submission may come with. */
export interface SubmitOptions {
  /** The batch's id, of `newBatchId`; absent: a new one. */
  id?: string
  idempotency?: Idempotency
  /** Absent: a full queue is refused at once. */
  hold?: Hold
}

/** Which batches are asked for: at most `limit`, of those that have all of `labels`. */
export interface BatchesQuery {
  state?: BatchView['state']
  labels: Record<string, string>
  limit: number
  cursor?: string
}

/** What of the log of a batch is asked for: what follows `after`, all of it or ends of jobs alone, until `timeoutMs` is over. */
export interface EventsQuery {
  after: number
  only?: 'completions'
  timeoutMs?: number
  signal?: AbortSignal
}

/** Which jobs of a batch are asked for, at most `limit`, and in which order. */
export interface JobsQuery {
  order: 'input' | 'completion'
  state?: JobStateName
  limit: number
  cursor?: string
}

/**
 * All that the routes see of the machinery. What can be long takes the `pages` that its parts are read through; absent: at once. Every method takes the tenant of the caller's key; what belongs to another
 * tenant, does not exist or is no id at all rejects with the same `NotFoundError`.
 */
export interface Engine {
  /**
   * Accept all jobs of a batch or none; resolves when it is on disk. With an Idempotency-Key that was used before, the first
   * answer again, and nothing new, also while shutting down. With a `hold`, a full queue is waited for.
   * @throws {IdempotencyConflictError} {IdempotencyMismatchError} {BatchTooLargeError} {QueueFullError} {BatchesFullError} {StorageFullError}
   * {ShuttingDownError} {OverloadedError}
   */
  submit(tenantId: string, batch: BatchSubmission, options?: SubmitOptions): Promise<BatchView>
  /**
   * What would come of a submission, as far as that can be said now. Accepts, stores and counts nothing.
   * @throws {BatchTooLargeError} {ShuttingDownError} {OverloadedError} as `submit`, but for a queue or a store that is full.
   */
  forecast(tenantId: string, batch: BatchSubmission): Promise<Forecast>
  /**
   * The first answer under an Idempotency-Key, to be given before the submission is looked at: limits, kinds and rules may have changed
   * since. Null: the key was not used, or its first request is still being answered. @throws {IdempotencyMismatchError}
   */
  replay(tenantId: string, idempotency: Idempotency): Promise<BatchView | null>
  /** Append jobs to a running batch; resolves with their views. @throws {BatchShuttingDownError} {BatchFinishedError} and as `submit`. */
  append(tenantId: string, batchId: string, jobs: CommonSpec[]): Promise<JsonText[]>
  /** No more jobs will come; the batch ends when its jobs have. Idempotent. */
  close(tenantId: string, batchId: string): Promise<BatchView>
  /** End early, without an error; `cancelled` is false when the batch had its outcome already. */
  stop(tenantId: string, batchId: string): Promise<{ cancelled: boolean; batch: BatchView }>
  cancel(tenantId: string, batchId: string, reason: string | null): Promise<{ cancelled: boolean; batch: BatchView }>
  cancelJob(tenantId: string, jobId: string, reason: string | null): Promise<{ cancelled: boolean; job: JsonText }>
  /** @throws {JobFinishedError} */
  reschedule(tenantId: string, jobId: string, change: Reschedule): Promise<JsonText>

  batch(tenantId: string, batchId: string): Promise<BatchView>
  /** Newest first. @throws {InvalidArgumentError} for a forged cursor. */
  batches(tenantId: string, query: BatchesQuery): Promise<Page<BatchView>>
  job(tenantId: string, jobId: string): Promise<JsonText>
  jobs(tenantId: string, batchId: string, query: JobsQuery, pages?: Pages): Promise<Page<JsonText>>
  /** Every job of the batch in input order, a page at a time, however large. */
  allJobs(tenantId: string, batchId: string, pages?: Pages): Promise<AsyncIterable<JsonText[]>>

  /** Resolves with the batch as soon as it is settled, or as it is when `timeoutMs` is over or `signal` aborts. */
  untilSettled(tenantId: string, batchId: string, timeoutMs: number, signal?: AbortSignal): Promise<BatchView>
  /**
   * asyncio.wait over the jobs the batch has now. `done` in input order.
   * @throws {EmptyWaitSetError} when it has none.
   */
  wait(
    tenantId: string,
    batchId: string,
    query: { returnWhen: ReturnWhen; timeoutMs: number; signal?: AbortSignal },
    pages?: Pages,
  ): Promise<{ done: AsyncIterable<JsonText[]>; pending: string[] }>
  /**
   * The batch's log after `after`, then live, until `batch.drained` or the timeout's `stream.timeout`. Yields arrays of
   * events; the next array is fetched when the consumer asks. Null: drained and nothing after `after` (a reconnect past the end).
   * Ends quietly when `signal` aborts.
   */
  events(
    tenantId: string,
    batchId: string,
    query: EventsQuery,
    pages?: Pages,
  ): Promise<AsyncIterable<StreamEvent[]> | null>

  /** A tenant's limits, and its use as far as it is known here. Of a tenant that is not there: those of one that has nothing. */
  tenant(tenantId: string): TenantView
  /** As `tenant`, with its use wherever its work runs. */
  inspect(tenantId: string): Promise<TenantView>
  /** Take over a tenant's settings; caps act at once. */
  applyTenant(tenantId: string, settings: TenantSettings): void
  /**
   * Delete a tenant with its keys and all its work; on disk when it resolves. Running attempts are told to stop, queued jobs
   * never start, waits and streams end without a last line, and nothing of it can be read any more. Its rows go in small
   * steps, after a restart too. A new tenant of the same name can begin at once, and finds nothing of the old one: an
   * attempt that ignores its abort keeps its slot of the server and of its host, not one of the new tenant's.
   * @throws {OverloadedError} nothing was deleted.
   */
  deleteTenant(tenantId: string): Promise<void>

  /** True while new work is accepted. */
  readonly accepting: boolean
  /** False while the store refuses to write; reads go on. */
  readonly healthy: boolean
  /** Take no new batches (`ShuttingDownError`), let running jobs end for `graceMs`, then abort them. Later calls return the same promise. */
  drain(graceMs: number): Promise<void>
  /** Give back every resource. May be called twice. */
  shutdown(): Promise<void>
}
