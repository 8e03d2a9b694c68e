import { newBatch } from '../../src/core/batch.ts'
import type { LogEntry } from '../../src/core/events.ts'
import { factsOf } from '../../src/core/facts.ts'
import { Job } from '../../src/core/states.ts'
import { newBatchId } from '../../src/ids.ts'
import type { BatchHead, CommitGroup, JobRecord, NewBatch, NewJobs } from '../../src/store/store.ts'

/** 2026-01-02T03:04:05.678Z, and a fraction that no stamp shows. */
export const ACCEPTED_AT = Date.UTC(2026, 0, 2, 3, 4, 5, 678) + 0.5

/** A commit group with nothing but what is given. */
export function group(own: Partial<CommitGroup>): CommitGroup {
  return { batches: [], jobs: [], heads: [], records: [], logs: [], ...own }
}

export function batchRow(no: number, own: Partial<NewBatch> = {}): NewBatch {
  return { no, id: newBatchId(), tenantId: 'acme', labels: {}, header: '{}', acceptedAt: ACCEPTED_AT, ...own }
}

/** Jobs of kind `sleep`; `names` by place, absent: unnamed. */
export function jobRows(no: number, from: number, count: number, names: (string | null)[] = []): NewJobs {
  const indexes = Array.from({ length: count }, (_, i) => from + i)
  return {
    no,
    from,
    kinds: indexes.map(() => 'sleep'),
    names: indexes.map((_, i) => names[i] ?? null),
    specs: indexes.map((index) => specText(index)),
  }
}

export function specText(index: number): string {
  return JSON.stringify({ kind: 'sleep', durationMs: index })
}

/** The head of a running batch; `accepted` as in the core. */
export function headRow(
  no: number,
  own: Partial<BatchHead> = {},
  accepted: { from: number; at: number }[] = [{ from: 0, at: ACCEPTED_AT }],
): BatchHead {
  const facts = { ...factsOf(newBatch({ policy: 'all_settled' })), accepted }
  return {
    no,
    state: 'running',
    seq: 0,
    settledAt: null,
    drainedAt: null,
    facts: JSON.stringify(facts),
    ...own,
  }
}

export function recordRow(no: number, index: number, own: Partial<JobRecord> = {}): JobRecord {
  return {
    no,
    index,
    count: 1,
    state: Job.succeeded,
    attempts: 1,
    startedAt: ACCEPTED_AT + 10,
    finishedAt: ACCEPTED_AT + 20,
    cause: null,
    reason: null,
    cancelRequests: 0,
    result: null,
    error: null,
    ...own,
  }
}

/** Everything that a batch of `count` jobs enters with. */
export function submission(no: number, count: number, own: Partial<NewBatch> = {}): CommitGroup {
  return group({
    batches: [batchRow(no, own)],
    jobs: count === 0 ? [] : [jobRows(no, 0, count)],
    heads: [headRow(no, { seq: 2 })],
    logs: [
      {
        no,
        entries: numbered(1, [
          { type: 'batch.accepted', index: -1 },
          { type: 'job.queued', index: 0, count: Math.max(1, count) },
        ]),
      },
    ],
  })
}

/** Entries with their numbers filled in, from `seq` on. */
export function numbered(seq: number, entries: (Pick<LogEntry, 'type' | 'index'> & Partial<LogEntry>)[]): LogEntry[] {
  let next = seq
  return entries.map((own) => {
    const entry: LogEntry = { count: 1, at: ACCEPTED_AT + next, ...own, seq: next }
    next += entry.count
    return entry
  })
}

/** One entry for each event that `entries` stand for. */
export function flattened(entries: LogEntry[]): LogEntry[] {
  return entries.flatMap((entry) =>
    Array.from({ length: entry.count }, (_, i) => ({
      ...entry,
      seq: entry.seq + i,
      index: entry.index < 0 ? -1 : entry.index + i,
      count: 1,
    })),
  )
}
