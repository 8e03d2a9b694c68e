import type { SQLOutputValue } from 'node:sqlite'
import { type Cause, isTerminal, Job } from '../../core/states.ts'
import type { CommonSpec } from '../../jobs/kind.ts'
import type { BatchHistory, PlanColumns } from '../store.ts'

type Row = Record<string, SQLOutputValue>

const NUMBERS = ['timeoutMs', 'deadlineMs', 'queueTimeoutMs', 'delayMs', 'priority'] as const

/** The jobs of a batch out of their rows, `specs` with `records`, in order; `base` is the id of the first. */
export function readJobs(rows: Iterable<Row>, base: number, count: number): Omit<BatchHistory, 'failures'> {
  const states = new Uint8Array(count)
  const plans: PlanColumns = {
    timeoutMs: null,
    deadlineMs: null,
    queueTimeoutMs: null,
    delayMs: null,
    priority: null,
    shield: null,
  }
  const unended: BatchHistory['unended'] = []
  for (const row of rows) {
    const index = Number(row.id) - base
    states[index] = Number(row.state ?? Job.queued)
    // Of an ended job nothing is scheduled any more but its shield, which says whether its batch waited for it.
    const spec = JSON.parse(String(row.spec)) as CommonSpec
    notePlan(plans, count, index, spec)
    if (row.state !== null && !isTerminal(states[index])) unended.push(unendedJob(row, index, states[index]))
  }
  return { states, plans, unended }
}

function notePlan(plans: PlanColumns, count: number, index: number, spec: CommonSpec): void {
  for (const name of NUMBERS) {
    const value = spec[name]
    if (value != null) column(plans, name, count)[index] = value
  }
  if (spec.shield) column(plans, 'shield', count)[index] = 1
}

function column(plans: PlanColumns, name: keyof PlanColumns, count: number): Float64Array {
  const none = name === 'priority' || name === 'shield' || name === 'delayMs' ? 0 : -1
  plans[name] ??= new Float64Array(count).fill(none)
  return plans[name]
}

function unendedJob(row: Row, index: number, state: number): BatchHistory['unended'][number] {
  return {
    index,
    state,
    attempts: Number(row.attempts),
    startedAt: row.started_at === null ? null : Number(row.started_at),
    // Written by the core, which knows no other causes.
    cause: row.cause as Cause | null,
    reason: row.reason === null ? null : String(row.reason),
    cancelRequests: Number(row.cancel_requests),
    spec: String(row.spec),
  }
}
