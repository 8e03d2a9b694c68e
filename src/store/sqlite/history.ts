import type { DatabaseSync } from 'node:sqlite'
import { type Cause, isTerminal, Job } from '../../core/states.ts'
import { noKinds, noPlans, noteKind, notePlan } from '../plans.ts'
import type { BatchHistory } from '../store.ts'

/** The columns of {@link JobRows}, in this order; those of a job without a record are null. */
type Row = [
  id: number,
  spec: string,
  state: number | null,
  attempts: number | null,
  startedAt: number | null,
  cause: string | null,
  reason: string | null,
  cancelRequests: number | null,
  kind: string,
]

/** How many rows are read at once. */
const PAGE = 1_000

/** `specs` with `records`, as arrays and by the page: as objects and one by one, each row costs five times as much. */
export class JobRows {
  readonly #page

  constructor(database: DatabaseSync) {
    this.#page = database.prepare(`SELECT s.id, s.spec, r.state, r.attempts, r.started_at, r.cause, r.reason,
      r.cancel_requests, s.kind FROM specs s LEFT JOIN records r ON r.id = s.id WHERE s.id >= ? AND s.id < ?
      ORDER BY s.id LIMIT ${PAGE}`)
    this.#page.setReturnArrays(true)
  }

  /** The rows with these ids, in order. */
  *between(from: number, to: number): Generator<Row> {
    let next = from
    while (next < to) {
      // The columns named above; node's types do not know of arrays.
      const rows = this.#page.all(next, to) as unknown as Row[]
      yield* rows
      next = rows.length < PAGE ? to : rows[PAGE - 1][0] + 1
    }
  }
}

/** The jobs of a batch out of their rows, in order; `base` is the id of the first. */
export function readJobs(rows: Iterable<Row>, base: number, count: number): Omit<BatchHistory, 'failures'> {
  const states = new Uint8Array(count)
  const plans = noPlans()
  const kinds = noKinds(count)
  const unended: BatchHistory['unended'] = []
  for (const row of rows) {
    const [id, spec, state] = row
    const index = id - base
    states[index] = state ?? Job.queued
    // Of an ended job nothing is scheduled any more but its shield, which says whether its batch waited for it.
    notePlan(plans, count, index, spec)
    noteKind(kinds, index, row[8])
    if (state !== null && !isTerminal(state)) unended.push(unendedJob(row, index, state))
  }
  return { states, plans, kinds, unended }
}

function unendedJob(row: Row, index: number, state: number): BatchHistory['unended'][number] {
  const [, spec, , attempts, startedAt, cause, reason, cancelRequests] = row
  return {
    index,
    state,
    attempts: attempts ?? 0,
    startedAt,
    // Written by the core, which knows no other causes.
    cause: cause as Cause | null,
    reason,
    cancelRequests: cancelRequests ?? 0,
    spec,
  }
}
