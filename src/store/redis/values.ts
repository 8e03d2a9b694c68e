import { isAhead, textOf as textOfPieces } from '../../json/raw.ts'
import type { BatchHead, BatchNo, BatchRow, PlacelessRecord } from '../store.ts'
import { countOf, foreign, listOf, parsed, textOf, textOrNull } from './replies.ts'

/** What a job was submitted as. */
export interface StoredJob {
  kind: string
  name: string | null
}

/** A job's record as it is read: without its place, and its result is one text. */
export type StoredRecord = Omit<PlacelessRecord, 'result'> & { result: string | null }

/** A job as kept: `kind`, its name as JSON or nothing, and its spec, a line each. */
export function packJob(kind: string, name: string | null, spec: string): string {
  return `${kind}\n${name === null ? '' : JSON.stringify(name)}\n${spec}`
}

/** The first two lines of {@link packJob}. @throws {StoreError} */
export function unpackJob(text: string): StoredJob {
  const [kind, name] = text.split('\n', 2)
  if (name === undefined) throw foreign('a job')
  return { kind, name: name === '' ? null : textOf(parsed(name, 'the name of a job'), 'the name of a job') }
}

/** The third line of {@link packJob}, whatever it holds. */
export function specOf(text: string): string {
  return text.slice(text.indexOf('\n', text.indexOf('\n') + 1) + 1)
}

/** A record as kept: its small facts as JSON, a newline, the result, the error. Neither of these is ever parsed. */
export function packRecord(record: PlacelessRecord): string {
  const { state, attempts, startedAt, finishedAt, cause, reason, cancelRequests, error } = record
  const result = textOfResult(record.result)
  const length = result === null ? -1 : result.length
  const facts = [state, attempts, startedAt, finishedAt, cause, reason, cancelRequests, length, error === null ? 0 : 1]
  return `${JSON.stringify(facts)}\n${result ?? ''}${error ?? ''}`
}

function textOfResult(result: PlacelessRecord['result']): string | null {
  if (result === null || typeof result === 'string') return result
  if (isAhead(result)) throw new Error('This store writes no result before its record.')
  return textOfPieces(result)
}

/** @throws {StoreError} */
export function unpackRecord(text: string): StoredRecord {
  const end = text.indexOf('\n')
  const facts = listOf(parsed(end < 0 ? '' : text.slice(0, end), 'a record'), 'a record')
  // Written by `packRecord`: what is an array of nine in this place is ours.
  if (facts.length !== 9) throw foreign('a record')
  const [state, attempts, startedAt, finishedAt, cause, reason, cancelRequests, length, failed] = facts
  const split = end + 1 + Math.max(0, countOf(length, 'a record'))
  return {
    state: countOf(state, 'a record'),
    attempts: countOf(attempts, 'a record'),
    startedAt: instantOf(startedAt),
    finishedAt: instantOf(finishedAt),
    cause: textOrNull(cause, 'a record'),
    reason: textOrNull(reason, 'a record'),
    cancelRequests: countOf(cancelRequests, 'a record'),
    result: length === -1 ? null : text.slice(end + 1, split),
    error: failed === 1 ? text.slice(split) : null,
  }
}

/** What of a head fits on a line; `-`: null. */
export function packState({ state, seq, settledAt, drainedAt }: BatchHead): string {
  return `${state} ${seq} ${settledAt ?? '-'} ${drainedAt ?? '-'}`
}

/** The fields of a head that {@link unpackRow} takes, in this order. */
export const ROW_FIELDS = ['i', 'a', 'h', 'f', 'm'] as const

/** A batch from its {@link ROW_FIELDS}; null when there is none. @throws {StoreError} */
export function unpackRow(no: BatchNo, tenantId: string, reply: unknown): BatchRow | null {
  const fields = listOf(reply, 'a batch')
  if (fields[0] === null) return null
  const [id, acceptedAt, header, facts, line] = fields.map((field) => textOf(field, 'a batch'))
  const [state, seq, settledAt, drainedAt] = line.split(' ')
  return {
    no,
    id,
    tenantId,
    state,
    seq: countOf(seq, 'the state of a batch'),
    acceptedAt: Number(acceptedAt),
    settledAt: settledAt === '-' ? null : Number(settledAt),
    drainedAt: drainedAt === '-' ? null : Number(drainedAt),
    header,
    facts,
  }
}

function instantOf(value: unknown): number | null {
  if (value === null || typeof value === 'number') return value
  throw foreign('an instant of a record')
}
