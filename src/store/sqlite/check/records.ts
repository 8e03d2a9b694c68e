import type { SQLOutputValue } from 'node:sqlite'
import {
  CANCEL_CAUSES,
  type CancelCause,
  isTerminal,
  JOB_STATE_NAMES,
  Job,
  TIMEOUT_CAUSES,
  type TimeoutCause,
} from '../../../core/states.ts'
import { RESULT } from '../parts.ts'
import { isCount } from './facts.ts'
import { type Findings, type Place, shown } from './findings.ts'
import type { Replay } from './replay.ts'

type Row = Record<string, SQLOutputValue>

/** What is read of each job for {@link checkJob}: texts are judged by SQLite, so that no result is copied to do it. */
export const JOB_SQL = `SELECT s.id, s.kind, CASE WHEN json_valid(s.spec) THEN json_extract(s.spec, '$.kind') END AS spec_kind,
    r.id AS record, r.state, r.attempts, r.started_at, r.finished_at, r.cause, r.reason, r.cancel_requests,
    r.parts, (SELECT coalesce(sum(octet_length(p.bytes)), 0) FROM parts p WHERE p.id = s.id) AS part_bytes,
    coalesce(json_valid(${RESULT}), 1) AS result_valid, r.result IS NOT NULL AND r.parts IS NOT NULL AS twice, coalesce(json_valid(r.error), 1) AS error_valid,
    r.error IS NOT NULL AS has_error
  FROM specs s LEFT JOIN records r ON r.id = s.id WHERE s.id >= ? AND s.id < ? ORDER BY s.id`

/** The spec and the record of a job against each other and the log; returns its state, null when that is none. */
export function checkJob(row: Row, index: number, replay: Replay, findings: Findings, place: Place): number | null {
  if (row.spec_kind === null || row.spec_kind !== row.kind)
    findings.add(`its spec is not a JSON object of kind ${shown(row.kind)}: the job could not be started`, place)
  const state = row.record === null ? Job.queued : Number(row.state)
  if (JOB_STATE_NAMES[state] === undefined) {
    findings.add(`the state of its record is ${shown(row.state)}, should be 0 to ${JOB_STATE_NAMES.length - 1}`, place)
    return null
  }
  if (row.record !== null) checkRecord(row, state, findings, place)
  if (replay.whole && index < replay.states.length) compare(row, state, index, replay, findings, place)
  return state
}

/** What a record says must fit its state. */
function checkRecord(row: Row, state: number, findings: Findings, place: Place): void {
  const name = JOB_STATE_NAMES[state]
  const add = (message: string) => findings.add(`its record is ${name} ${message}`, place)
  if (!isCount(row.attempts) || !isCount(row.cancel_requests)) add('with counts that are none')
  if ((row.finished_at !== null) !== isTerminal(state))
    add(row.finished_at === null ? 'without finished_at' : 'with a finished_at')
  if ((row.started_at !== null) !== Number(row.attempts) > 0)
    add(row.started_at === null ? 'without started_at after an attempt' : 'with a started_at before any attempt')
  if (MUST_HAVE_RUN.includes(state) && row.attempts === 0) add('without an attempt')
  if (!CAUSES[state].includes(row.cause)) add(`with the cause ${shown(row.cause)}`)
  if ((row.has_error === 1) !== (state === Job.failed)) add(row.has_error === 1 ? 'with an error' : 'without an error')
  if (row.parts !== null && row.parts !== row.part_bytes)
    add(`with ${shown(row.parts)} bytes in parts, should be the ${shown(row.part_bytes)} that are there`)
  if (row.twice === 1) add('with a result of its own beside its parts')
  if (row.result_valid !== 1 || row.error_valid !== 1) add('with a result or error that is no JSON')
}

const MUST_HAVE_RUN: readonly number[] = [Job.running, Job.cancelling, Job.succeeded, Job.failed]

const NO_CAUSE: readonly SQLOutputValue[] = [null]
const CANCELS: readonly (CancelCause | TimeoutCause)[] = CANCEL_CAUSES

/** By state: the causes that its record can have. */
const CAUSES: readonly (readonly SQLOutputValue[])[] = [
  NO_CAUSE,
  NO_CAUSE,
  [...CANCELS, ...TIMEOUT_CAUSES],
  NO_CAUSE,
  NO_CAUSE,
  TIMEOUT_CAUSES,
  CANCEL_CAUSES,
]

/** The log is what callers were shown: the record says the same. */
function compare(row: Row, state: number, index: number, replay: Replay, findings: Findings, place: Place): void {
  const logged = replay.states[index]
  if (logged !== state) {
    const said =
      row.record === null ? 'it has no record, which means queued' : `its record is ${JOB_STATE_NAMES[state]}`
    return findings.add(`${said}, should be ${JOB_STATE_NAMES[logged]} by the log`, place)
  }
  findings.expect('attempts of its record', Number(row.attempts ?? 0), replay.attempts[index], place)
  const end = replay.ends[index]
  if (end === undefined) return
  findings.expect('finished_at of its record', Math.floor(Number(row.finished_at)), end.at, place)
  findings.expect('cause of its record', row.cause, end.cause ?? null, place)
  // Callers' own words: not for this output.
  if (row.reason !== (end.reason ?? null)) findings.add('reason of its record is not the one in the log', place)
}
