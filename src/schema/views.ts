import { z } from 'zod'
import { CANCEL_CAUSES, JOB_STATE_NAMES, TIMEOUT_CAUSES } from '../engine/engine.ts'
import { Instant } from './fields.ts'
import { Policy } from './submission.ts'

/** The states of a batch. */
export const BatchState = z.enum(['running', 'aborting', 'succeeded', 'failed', 'timed_out', 'cancelled'])

/** The states of a job. */
export const JobState = z.enum(JOB_STATE_NAMES)

/** Why a job was told to stop. */
const Cause = z.enum([...CANCEL_CAUSES, ...TIMEOUT_CAUSES])

const Count = z.int().min(0)

const GroupedError = z
  .strictObject({ jobId: z.string(), index: Count, type: z.string(), code: z.string(), message: z.string() })
  .meta({ id: 'GroupedError', description: 'The error of one job inside an ExceptionGroup.' })

/** The error of a batch. */
export const BatchError = z
  .strictObject({
    type: z.string().meta({ examples: ['HTTPStatusError', 'ExceptionGroup', 'CancelledError', 'TimeoutError'] }),
    code: z.string().meta({ examples: ['http_status', 'exception_group', 'cancelled', 'timeout'] }),
    message: z.string(),
    jobId: z.string().optional(),
    index: Count.optional(),
    errors: z.array(GroupedError).optional(),
  })
  .meta({
    id: 'BatchError',
    description: 'Of one job (with its id and index), of the batch itself, or an ExceptionGroup with `errors`.',
  })

/** A batch as read. */
export const BatchView = z
  .strictObject({
    id: z.string(),
    policy: Policy,
    state: BatchState,
    name: z.string().nullable(),
    labels: z.record(z.string(), z.string()),
    open: z.boolean(),
    n: Count.nullable().meta({ description: "`quorum`'s n, else null." }),
    hedgeDelayMs: z.number().min(0).nullable(),
    timeoutMs: z.number().min(0).nullable(),
    maxConcurrency: Count.nullable(),
    context: z.record(z.string(), z.string()),
    counts: z.strictObject({
      total: Count,
      queued: Count,
      running: Count,
      cancelling: Count,
      succeeded: Count,
      failed: Count,
      timed_out: Count,
      cancelled: Count,
    }),
    acceptedAt: Instant,
    settledAt: Instant.nullable().meta({ description: 'The outcome is known since then.' }),
    drainedAt: Instant.nullable().meta({ description: 'The last job ended then.' }),
    seq: Count.meta({ description: "The number of the batch's newest event." }),
    winner: z.strictObject({ jobId: z.string(), index: Count }).nullable(),
    error: BatchError.nullable(),
    cancel: z.strictObject({ reason: z.string().nullable(), at: Instant }).nullable(),
    links: z.strictObject({ self: z.string(), jobs: z.string(), events: z.string(), cancel: z.string() }),
  })
  .meta({ id: 'Batch', description: 'A batch as read.' })

/** What a queued job waits for. */
export const WaitingOn = z.enum(['tenant-cap', 'batch-limit', 'host-cap', 'server-cap', 'rate', 'delay', 'paused'])

/** The error of a job: facts beside the three fields depend on the code. */
export const JobError = z.looseObject({ type: z.string(), code: z.string(), message: z.string() }).meta({
  id: 'JobError',
  description: 'Why the job failed, timed out or was cancelled; `code` never changes, facts depend on it.',
})

/** A job as read. */
export const JobView = z
  .strictObject({
    id: z.string(),
    batchId: z.string(),
    index: Count.meta({ description: 'The place in the input.' }),
    name: z.string(),
    kind: z.string(),
    state: JobState,
    attempts: Count,
    cancelRequests: Count,
    acceptedAt: Instant,
    startedAt: Instant.nullable().meta({ description: 'Null exactly when the job never left `queued`.' }),
    finishedAt: Instant.nullable(),
    cause: Cause.nullable(),
    reason: z.string().nullable(),
    waitingOn: WaitingOn.nullable().optional().meta({ description: 'While queued: what holds the job back.' }),
    result: z.unknown(),
    error: JobError.nullable(),
  })
  .meta({ id: 'Job', description: 'A job as read.' })

/** A batch, and its jobs in input order where they were asked for. */
export const BatchWithJobs = z
  .strictObject({ ...BatchView.shape, jobs: z.array(JobView).optional() })
  .meta({ id: 'BatchWithJobs', description: 'A batch, with its jobs in input order where they were asked for.' })

const nextCursor = z
  .string()
  .nullable()
  .meta({ description: 'Send it as `cursor` for the next page; null on the last.' })

/** A page of batches. */
export const BatchPage = z.strictObject({ data: z.array(BatchView), nextCursor }).meta({ id: 'BatchPage' })
/** A page of jobs. */
export const JobPage = z.strictObject({ data: z.array(JobView), nextCursor }).meta({ id: 'JobPage' })
/** Appended jobs. */
export const JobList = z.strictObject({ data: z.array(JobView) }).meta({ id: 'JobList' })
/** The two sets of asyncio.wait. */
export const WaitResult = z
  .strictObject({ done: z.array(JobView), pending: z.array(z.string()).meta({ description: 'Ids of jobs.' }) })
  .meta({ id: 'WaitResult' })
/** The answer to `close`. */
export const ClosedBatch = z.strictObject({ batch: BatchView }).meta({ id: 'ClosedBatch' })
/** The answer to `stop` and `cancel`. */
export const CancelledBatch = z
  .strictObject({ cancelled: z.boolean(), batch: BatchView })
  .meta({ id: 'CancelledBatch' })
/** The answer to the cancel of a job. */
export const CancelledJob = z.strictObject({ cancelled: z.boolean(), job: JobView }).meta({ id: 'CancelledJob' })

/** One event of a batch's log. */
export const Event = z
  .looseObject({
    seq: z
      .int()
      .min(1)
      .optional()
      .meta({ description: 'From 1, without gaps. Absent on `stream.timeout` and `stream.shutdown`.' }),
    type: z
      .string()
      .meta({ examples: ['batch.accepted', 'job.started', 'job.succeeded', 'batch.drained', 'stream.timeout'] }),
    at: Instant.optional(),
    batchId: z.string().optional(),
    jobId: z.string().optional(),
    index: Count.optional(),
    job: JobView.optional().meta({ description: 'On the event that ends a job: the job as read.' }),
    pending: z
      .array(z.string())
      .optional()
      .meta({ description: 'On `stream.timeout`: the ids of the jobs that had not ended.' }),
  })
  .meta({ id: 'Event', description: 'One event of a batch.' })

/** How fast a tenant may go. */
export const RateLimits = z.strictObject({
  jobsPerSecond: z.number().min(0).nullable(),
  requestsPerMinute: Count.nullable(),
})
/** What a tenant may use. */
export const TenantLimits = z
  .strictObject({
    maxConcurrency: Count,
    maxQueuedJobs: Count,
    maxBatchJobs: Count,
    maxLiveBatches: Count,
    maxStoredBytes: Count.nullable().meta({
      description: 'Bytes on disk past which nothing more is accepted (`429 queue_full`). Null: no limit.',
    }),
    weight: z.number().min(0),
    rate: RateLimits.meta({ description: 'Starts of jobs, and requests to this API. Null: no limit.' }),
  })
  .meta({ id: 'TenantLimits' })
/** What a tenant uses. */
export const TenantUsage = z
  .strictObject({
    queued: Count,
    running: Count.meta({ description: 'Cancelling jobs included.' }),
    cancelling: Count,
    stuck: Count,
    batches: Count.meta({ description: 'Batches that have not drained.' }),
    storedBytes: Count.meta({
      description:
        'Bytes on disk: specs, results, errors, events and answers, and 64 for each row, until they are deleted.',
    }),
  })
  .meta({ id: 'TenantUsage' })
/** A tenant as it sees itself. */
export const TenantView = z
  .strictObject({ id: z.string(), limits: TenantLimits, paused: z.boolean(), usage: TenantUsage })
  .meta({ id: 'Tenant' })

/** The answer of `/livez` and `/readyz`. */
export const HealthView = z.strictObject({ status: z.literal('ok') }).meta({ id: 'Health' })

/** A field that is wrong. */
export const FieldErrorView = z.strictObject({ pointer: z.string(), detail: z.string(), code: z.string().optional() })

/** A problem document of RFC 9457. */
export const ProblemView = z
  .strictObject({
    type: z.string().meta({ description: '`/problems/<code>`, a heading of docs/problems.md.' }),
    title: z.string(),
    status: z.int(),
    detail: z.string().optional(),
    instance: z.string().meta({ description: 'The id of the request; the log has more under it.' }),
    code: z.string().meta({ description: 'Never changes: match on this.' }),
    errors: z
      .array(FieldErrorView)
      .optional()
      .meta({ description: 'Every wrong field, by JSON Pointer into the body, or `/query/<name>`.' }),
  })
  .meta({ id: 'Problem', description: 'An error (RFC 9457).' })
