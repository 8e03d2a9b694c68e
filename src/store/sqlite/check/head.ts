import type { SQLOutputValue } from 'node:sqlite'
import type { LogEntry } from '../../../core/events.ts'
import { type BatchFacts, stateName } from '../../../core/facts.ts'
import { parsedObject, readFacts } from './facts.ts'
import type { Findings, Place } from './findings.ts'
import type { Replay } from './replay.ts'

type Row = Record<string, SQLOutputValue>

/** The row of a batch against itself and against what its log says; returns its facts, null when they cannot be read. */
export function checkHead(row: Row, replay: Replay, findings: Findings, place: Place): BatchFacts | null {
  if (parsedObject(row.header) === null) findings.add('its header cannot be read, should be a JSON object', place)
  const facts = readFacts(row.facts)
  if (typeof facts === 'string') {
    findings.add(`its ${facts} is not what the engine writes: a restart could not take it up`, place)
    return null
  }
  checkState(row, facts, findings, place)
  if (!replay.whole) return facts
  findings.expect('seq', row.seq, replay.seq, place)
  checkPhase(facts, replay, findings, place)
  checkInstants(row, facts, replay, findings, place)
  return facts
}

/** The columns of the row that repeat what the facts say. */
function checkState(row: Row, facts: BatchFacts, findings: Findings, place: Place): void {
  const isSettled = facts.phase === 'settled' || facts.phase === 'drained'
  findings.expect('state', row.state, stateName(facts), place)
  if ((facts.outcome !== null) !== isSettled)
    findings.add(`facts.outcome is ${facts.outcome} in phase ${facts.phase}`, place)
  if ((facts.outcome === 'failed') !== (facts.error?.errors !== undefined || facts.error?.index !== undefined))
    findings.add(`facts.error does not fit the outcome ${facts.outcome}`, place)
  if (facts.open && facts.phase !== 'running') findings.add(`facts.open is true in phase ${facts.phase}`, place)
  expectSet('settled_at', row.settled_at, isSettled, findings, place)
  expectSet('drained_at', row.drained_at, facts.phase === 'drained', findings, place)
  findings.expect('accepted_at', row.accepted_at, facts.accepted[0].at, place)
}

function expectSet(what: string, value: SQLOutputValue, isSet: boolean, findings: Findings, place: Place): void {
  if (value === null && isSet) findings.add(`${what} is missing, should be set`, place)
  if (value !== null && !isSet) findings.add(`${what} is set, should not be yet`, place)
}

function checkPhase(facts: BatchFacts, replay: Replay, findings: Findings, place: Place): void {
  const settled = replay.events['batch.settled']
  findings.expect('facts.phase', facts.phase, replay.phase, place)
  if (settled === undefined) return
  findings.expect('facts.outcome', facts.outcome, settled.state, place)
  if (JSON.stringify(facts.error) !== JSON.stringify(settled.error ?? null))
    findings.add('facts.error is not the error of batch.settled', place)
}

/** The log has whole milliseconds. */
function checkInstants(row: Row, facts: BatchFacts, replay: Replay, findings: Findings, place: Place): void {
  const compare = (what: string, value: SQLOutputValue, event: LogEntry | undefined) => {
    if (value !== null && event !== undefined) findings.expect(what, Math.floor(Number(value)), event.at, place)
  }
  compare('accepted_at', row.accepted_at, replay.events['batch.accepted'])
  compare('settled_at', row.settled_at, replay.events['batch.settled'])
  compare('drained_at', row.drained_at, replay.events['batch.drained'])
  const total = replay.states.length
  const withJobs = facts.accepted.filter(({ from }, i) => (facts.accepted[i + 1]?.from ?? total) > from)
  const segments = withJobs.map(({ from, at }) => ({ from, at: Math.floor(at) }))
  if (JSON.stringify(segments) !== JSON.stringify(replay.accepted))
    findings.add('facts.accepted is not when the log has its jobs queued', place)
}
