import type { IndexedError, LogEntry } from '../core/events.ts'
import type { SavedJob } from '../core/restart.ts'
import { Job, type JobStateName } from '../core/states.ts'
import type { JsonText, StreamEvent, TenantSettings } from '../engine/engine.ts'
import type { JsonAhead, JsonPieces } from '../json/raw.ts'

/** A tenant as kept. `createdAt` in milliseconds since the epoch. */
export interface TenantRow {
  id: string
  settings: TenantSettings
  createdAt: number
}

/** An API key as kept: never the secret, only its SHA-256 in hex. Instants in milliseconds since the epoch. */
export interface KeyRow {
  id: string
  tenantId: string
  name: string | null
  hash: string
  scopes: string[]
  createdAt: number
  expiresAt: number | null
  revokedAt: number | null
}

/** Tenants and keys: few, read once at the start and written rarely. Every write is on disk when its promise resolves. */
export interface DirectoryStore {
  tenants(): Promise<TenantRow[]>
  keys(): Promise<KeyRow[]>
  /** Whether there ever was a key, deleted since or not. */
  hadKeys(): Promise<boolean>
  /** Insert or replace by `id`. */
  putTenant(row: TenantRow): Promise<void>
  /** Insert or replace by `id`. */
  putKey(row: KeyRow): Promise<void>
  /** Insert a key, unless there is or ever was one; false: nothing was done. Of several processes one has true. */
  putFirstKey(row: KeyRow): Promise<boolean>
}

/** The store's own number for a batch, from 1, in order of acceptance. A job's is `no * JOBS_PER_BATCH + index`. */
export type BatchNo = number

/** The most jobs that one batch can ever hold. */
export const JOBS_PER_BATCH = 2 ** 20

/** A batch that enters. */
export interface NewBatch {
  no: BatchNo
  id: string
  tenantId: string
  labels: Record<string, string>
  /** What never changes, as JSON (`BatchHeader`). */
  header: string
  acceptedAt: number
  /** The Idempotency-Key it came with, kept with the answer that was given. */
  idempotency?: { key: string; hash: string; answer: string }
}

/** Jobs that enter, `specs[0]` at index `from`. `specs` are JSON texts. */
export interface NewJobs {
  no: BatchNo
  from: number
  kinds: string[]
  /** Null: unnamed, `job-<index>`. */
  names: (string | null)[]
  specs: string[]
}

/** The state of a batch after the newest of its events in the same commit. */
export interface BatchHead {
  no: BatchNo
  state: string
  seq: number
  settledAt: number | null
  drainedAt: number | null
  /** The rest, as JSON (`BatchFacts`). */
  facts: string
}

/** The state of a job, replaced whole. Jobs without a record are queued. `result` and `error` are JSON texts, a long result is in pieces or was {@link Store.putAhead}. */
export interface JobRecord {
  no: BatchNo
  index: number
  /** How many jobs in a row, from `index` on, get this same record. */
  count: number
  /** The byte of core's `Job`. */
  state: number
  attempts: number
  startedAt: number | null
  finishedAt: number | null
  cause: string | null
  reason: string | null
  cancelRequests: number
  result: string | JsonPieces | JsonAhead | null
  error: string | null
}

/** A job's record without its place. */
export type PlacelessRecord = Omit<JobRecord, 'no' | 'index' | 'count'>

/** The record of a job that has none: it is queued, and never started. */
export const NO_RECORD: PlacelessRecord & { result: null } = {
  state: Job.queued,
  attempts: 0,
  startedAt: null,
  finishedAt: null,
  cause: null,
  reason: null,
  cancelRequests: 0,
  result: null,
  error: null,
}

/** Entries of one batch's log, in order, without a gap from its last. */
export interface LogRows {
  no: BatchNo
  entries: LogEntry[]
}

/** Everything of one transaction: it is on disk whole, or not at all. */
export interface CommitGroup {
  batches: NewBatch[]
  jobs: NewJobs[]
  heads: BatchHead[]
  records: JobRecord[]
  logs: LogRows[]
}

/** A batch as kept. */
export interface BatchRow {
  no: BatchNo
  id: string
  tenantId: string
  state: string
  seq: number
  acceptedAt: number
  settledAt: number | null
  drainedAt: number | null
  header: string
  facts: string
}

/** What scheduling needs of the specs of a batch, by index; null: no job has it. Milliseconds, -1: none. */
export interface PlanColumns {
  timeoutMs: Float64Array | null
  deadlineMs: Float64Array | null
  queueTimeoutMs: Float64Array | null
  delayMs: Float64Array | null
  priority: Float64Array | null
  /** 1: shielded. */
  shield: Float64Array | null
}

/** The kind of each job of a batch: `names[of[index]]`. */
export interface KindColumn {
  names: string[]
  of: Uint16Array
}

/** A batch that has not drained, as a restart finds it. */
export interface BatchHistory {
  /** By index, see core's `Job`. */
  states: Uint8Array
  plans: PlanColumns
  kinds: KindColumn
  /** Jobs that have not ended and have a record, with their specs as JSON. */
  unended: (SavedJob & { startedAt: number | null; spec: string })[]
  /** Jobs that failed or timed out, in completion order. */
  failures: IndexedError[]
}

/** One page of job views in order; `next` is where the next page begins, null when there is none. */
export interface JobPage {
  data: JsonText[]
  next: number | null
}

/** Part of a log, rendered. */
export interface LogPage {
  events: StreamEvent[]
  /** The `seq` to read on after: the last one looked at, shown or not. */
  after: number
}

/**
 * Where batches live. Asynchronous throughout: SQLite runs on threads of its own, so that no fsync stops the event loop.
 * Reads see committed data only. Every read takes the batch's number, found by `batch` with its tenant.
 */
export interface Store extends DirectoryStore {
  /** The highest number that a batch has or was given, 0 for none: of the tenants that this process writes for, if others write, too. */
  readonly lastBatchNo: BatchNo
  /**
   * A number for a new batch, above `lastBatchNo` and never given before.
   * @throws {OverloadedError} when the store has none at hand.
   */
  nextBatchNo(): BatchNo
  /** A secret of this store, kept in it: signs cursors. */
  readonly secret: Uint8Array
  /** On disk, whole, when it resolves. @throws when nothing of it was written (the disk is full, say). */
  commit(group: CommitGroup): Promise<void>
  /**
   * Write the long result of a job before the record that has it, a part at a time, so that no commit waits for more than one part. It is
   * the job's as soon as a record says so; what no record has by then is deleted by the next result of the job, with its batch or at
   * the next start. Absent: results are written with their records.
   *
   * @throws `signal.reason` once it aborts; when the store cannot write. Nothing is left of it then.
   */
  putAhead?(no: BatchNo, index: number, pieces: JsonPieces, signal: AbortSignal): Promise<JsonAhead>
  /**
   * Bytes that a tenant keeps, as of the last commit or step of `expire` that has resolved: its texts (specs, results, errors,
   * events, Idempotency-Keys with their answers) and 64 for each row, until the row is deleted. A deleted tenant keeps none.
   */
  storedBytes(tenantId: string): number

  /** What an Idempotency-Key of the tenant was used for; null when it was not. `answer` as given in `NewBatch`. */
  idempotent(tenantId: string, key: string): Promise<{ hash: string; answer: string } | null>

  /** By id and tenant; null when there is none. */
  batch(tenantId: string, id: string): Promise<BatchRow | null>
  /** Newest first, those with a number below `before`. */
  batches(query: {
    tenantId: string
    state?: string
    labels: Record<string, string>
    before: BatchNo
    limit: number
  }): Promise<BatchRow[]>
  job(no: BatchNo, index: number): Promise<JsonText | null>
  /** In input order from index `from` on. A page ends after `limit` jobs or about 1 MiB. */
  jobs(no: BatchNo, query: { from: number; limit: number; states?: JobStateName[] }): Promise<JobPage>
  /** In completion order, those that ended after event `from`; `next` is an event's number. */
  completions(no: BatchNo, query: { from: number; limit: number; state?: JobStateName }): Promise<JobPage>
  /** The indexes of jobs that have not ended. */
  pending(no: BatchNo): Promise<number[]>
  log(no: BatchNo, query: { after: number; limit: number; completionsOnly: boolean }): Promise<LogPage>
  /** The specs of the jobs from index `from` on, JSON texts; at least one if there is one, at most `limit` or about 256 KiB. */
  specs(no: BatchNo, query: { from: number; limit: number }): Promise<string[]>
  /** Which of `names` jobs of the batch have already. */
  namesTaken(no: BatchNo, names: string[]): Promise<string[]>

  /** Whether the tenant had a batch of this id that was deleted not long ago. */
  wasDeleted(tenantId: string, id: string): Promise<boolean>
  /**
   * Delete a tenant with its keys, and put its batches up to number `lastNo` out of everybody's sight: on disk when it
   * resolves. A tenant made anew under the same id finds nothing of them. Their rows go step by step in `expire`; nothing
   * may be committed for them from the first of these steps on.
   */
  deleteTenant(tenantId: string, lastNo: BatchNo): Promise<void>
  /**
   * One small step of deleting what is too old, or was a deleted tenant's; resolves with how many rows it deleted, 0 when nothing is left to do.
   * Instants in milliseconds since the epoch: what drained, was used or was deleted before them goes.
   */
  expire(step: { now: number; drainedBefore: number; keysBefore: number; tombstonesBefore: number }): Promise<number>

  /**
   * Batches that have not drained, first accepted first: those of one tenant, or of all. Once it has resolved,
   * `nextBatchNo` is above every number that the tenant's batches have had.
   */
  unfinished(tenantId?: string): Promise<BatchRow[]>
  /** The jobs of a batch as the record has them, for a restart. */
  history(no: BatchNo): Promise<BatchHistory>

  /** Finish what was asked for and give the files back. May be called twice. */
  close(): Promise<void>
}
