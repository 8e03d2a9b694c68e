import type { LogEntry } from '../../core/events.ts'
import { INTERRUPTED } from '../../core/interrupt.ts'
import { isTerminal, Job } from '../../core/states.ts'
import { type JobRecord, NO_RECORD } from '../../store/store.ts'
import type { EndOnRecord } from './ahead.ts'
import type { LiveBatch } from './live-batch.ts'

/** What a log entry of a job says of its record. */
export function recordOf(live: LiveBatch, entry: LogEntry, end: EndOnRecord | undefined): JobRecord {
  const { index, count } = entry
  const record = count > 1 ? { ...NO_RECORD, no: live.no, index, count } : startedRecord(live, index)
  record.state = stateOf(entry, live.core.states[index])
  record.cause = entry.cause ?? null
  record.reason = entry.reason ?? null
  if (isTerminal(record.state)) record.finishedAt = entry.at
  if (count > 1) return record
  // A job fails by its attempt's end, or because a restart found its attempt cut off.
  if (record.state === Job.failed && end === undefined) record.error = JSON.stringify(INTERRUPTED)
  if (isTerminal(record.state) && end !== undefined && end.type !== 'unwound') {
    record.result = end.result
    if (end.type === 'threw') record.error = end.error
  }
  return record
}

/** What the record of a job has whatever happens to it: its attempts, its start and how often it was cancelled. */
export function startedRecord({ no, core, attempts, startedBefore }: LiveBatch, index: number): JobRecord {
  return {
    ...NO_RECORD,
    no,
    index,
    count: 1,
    attempts: core.attempts.get(index),
    startedAt: attempts.get(index)?.startedAt ?? startedBefore.get(index)?.at ?? null,
    cancelRequests: core.cancelRequests.get(index) ?? 0,
  }
}

/** The state after the entry, which need not be the newest. */
function stateOf(entry: LogEntry, newest: number): number {
  if (entry.type === 'job.started') return Job.running
  return entry.type === 'job.cancelling' ? Job.cancelling : newest
}
