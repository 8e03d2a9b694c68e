import { stamp } from '../clock.ts'
import { stopError } from '../core/batch.ts'
import type { LogEntry, OutcomeError } from '../core/events.ts'
import { type Cause, JOB_STATE_NAMES, Job } from '../core/states.ts'
import type { BatchError, JsonText } from '../engine/engine.ts'
import { jobIdOf } from '../ids.ts'
import type { JobRecord } from './store.ts'

/** What a job's view is made of: its record, and what its spec and its batch add. */
export interface JobFacts extends Omit<JobRecord, 'no' | 'count' | 'result'> {
  result: JsonText | null
  batchId: string
  name: string | null
  kind: string
  acceptedAt: number
}

/** The view of a job as JSON text; its result is spliced in as it was stored, never parsed. */
export function jobText(job: JobFacts): JsonText {
  const head = JSON.stringify({
    id: jobIdOf(job.batchId, job.index),
    batchId: job.batchId,
    index: job.index,
    name: job.name ?? `job-${job.index}`,
    kind: job.kind,
    state: JOB_STATE_NAMES[job.state],
    attempts: job.attempts,
    acceptedAt: stamp(job.acceptedAt),
    startedAt: job.startedAt === null ? null : stamp(job.startedAt),
    finishedAt: job.finishedAt === null ? null : stamp(job.finishedAt),
    cause: job.cause,
    reason: job.reason,
    cancelRequests: job.cancelRequests,
  })
  return `${head.slice(0, -1)},"result":${job.result ?? 'null'},"error":${errorText(job)}}`
}

/** The error of a job that was stopped follows from its cause, so only failures have theirs stored. */
function errorText(job: JobFacts): string {
  if (job.error !== null) return job.error
  if (job.state !== Job.cancelled && job.state !== Job.timedOut) return 'null'
  // Written by the core, which knows no other causes.
  return JSON.stringify(stopError(job.cause as Cause | null, job.reason))
}

/** The `offset`-th event that a log entry stands for, as JSON text; `job` is the view that a terminal job event carries. */
export function eventText(batchId: string, entry: LogEntry, offset: number, job: JsonText | null): JsonText {
  const event: Record<string, unknown> = {
    seq: entry.seq + offset,
    type: entry.type,
    at: stamp(entry.at),
    batchId,
  }
  if (entry.index >= 0) {
    event.jobId = jobIdOf(batchId, entry.index + offset)
    event.index = entry.index + offset
  }
  if (entry.attempt !== undefined) event.attempt = entry.attempt
  if (entry.cause !== undefined) event.cause = entry.cause
  if (entry.reason !== undefined) event.reason = entry.reason
  if (entry.type === 'batch.aborting') event.decidedBy = decider(batchId, entry.decidedBy)
  if (entry.state !== undefined) event.state = entry.state
  if (entry.error !== undefined) event.error = batchError(batchId, entry.error)
  const text = JSON.stringify(event)
  return job === null ? text : `${text.slice(0, -1)},"job":${job}}`
}

/** A job of a batch as `winner` and `decidedBy` name it. */
export function decider(batchId: string, index: number | null | undefined): { jobId: string; index: number } | null {
  return index == null ? null : { jobId: jobIdOf(batchId, index), index }
}

/** The error of a batch with the ids of the jobs it names. */
export function batchError(batchId: string, error: OutcomeError | null): BatchError | null {
  if (error === null) return null
  const { type, code, message, index, errors } = error
  const view: BatchError = { type, code, message }
  if (index !== undefined) Object.assign(view, { jobId: jobIdOf(batchId, index), index })
  if (errors !== undefined) view.errors = errors.map((each) => ({ jobId: jobIdOf(batchId, each.index), ...each }))
  return view
}

/** True for the events that end a job. */
export function isCompletion(type: string): boolean {
  return type === 'job.succeeded' || type === 'job.failed' || type === 'job.timed_out' || type === 'job.cancelled'
}
