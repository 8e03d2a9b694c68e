import { stamp } from '../clock.ts'
import type { Batch } from '../core/batch.ts'
import { type BatchFacts, factsOf, stateName } from '../core/facts.ts'
import { JOB_STATE_NAMES, type Policy } from '../core/states.ts'
import { batchError, decider } from '../store/render.ts'
import type { BatchRow } from '../store/store.ts'
import type { BatchSubmission, BatchView } from './engine.ts'

/** What never changes of a batch; kept as JSON in its row. */
export interface BatchHeader {
  policy: Policy
  n: number | null
  hedgeDelayMs: number | null
  name: string | null
  labels: Record<string, string>
  timeoutMs: number | null
  maxConcurrency: number | null
  context: Record<string, string>
  traceparent?: string
}

/** The header of a submission: all of it but its jobs and `open`. */
export function headerOf(submission: BatchSubmission): BatchHeader {
  const { jobs: _jobs, open: _open, ...header } = submission
  return header
}

interface Instants {
  id: string
  seq: number
  acceptedAt: number
  settledAt: number | null
  drainedAt: number | null
}

/** The view of a batch in memory, as it is now. */
export function liveView(id: string, header: BatchHeader, batch: Batch): BatchView {
  const { seq, settledAt, drainedAt } = batch
  return view({ id, seq, settledAt, drainedAt, acceptedAt: batch.accepted[0].at }, header, factsOf(batch))
}

/** The view of a batch as kept. */
export function rowView(row: BatchRow): BatchView {
  // Both are written by the engine, from these types.
  return view(row, JSON.parse(row.header) as BatchHeader, JSON.parse(row.facts) as BatchFacts)
}

function view(at: Instants, header: BatchHeader, facts: BatchFacts): BatchView {
  const { traceparent: _traceparent, ...shown } = header
  const self = `/v1/batches/${at.id}`
  return {
    id: at.id,
    state: stateName(facts),
    ...shown,
    open: facts.open,
    counts: countsView(facts.counts),
    acceptedAt: stamp(at.acceptedAt),
    settledAt: at.settledAt === null ? null : stamp(at.settledAt),
    drainedAt: at.drainedAt === null ? null : stamp(at.drainedAt),
    seq: at.seq,
    winner: decider(at.id, facts.winner),
    error: batchError(at.id, facts.error),
    cancel: facts.cancel === null ? null : { reason: facts.cancel.reason, at: stamp(facts.cancel.at) },
    links: { self, jobs: `${self}/jobs`, events: `${self}/events`, cancel: `${self}/cancel` },
  }
}

function countsView(counts: number[]): BatchView['counts'] {
  const total = counts.reduce((sum, count) => sum + count, 0)
  // One number for each name.
  return { total, ...Object.fromEntries(JOB_STATE_NAMES.map((name, i) => [name, counts[i]])) } as BatchView['counts']
}

/** What is left of a batch's events by the row: null when nothing is there, or will come. */
export function restOf<Q extends { after: number }>({ drainedAt, seq }: BatchRow, query: Q): Q | null {
  if (drainedAt !== null && query.after >= seq) return null
  // A number that no event has yet is no reason to wait for it: the stream would outlive its batch.
  return { ...query, after: Math.min(query.after, seq) }
}
