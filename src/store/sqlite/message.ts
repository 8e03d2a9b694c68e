import type { LogEntry } from '../../core/events.ts'
import { EVENT_TYPES } from '../entries.ts'
import type { CommitGroup, JobRecord, LogRows, NewJobs } from '../store.ts'

/** The numbers of a record, in this order; NaN: null. */
const RECORD_NUMBERS = [
  'no',
  'index',
  'count',
  'state',
  'attempts',
  'startedAt',
  'finishedAt',
  'cancelRequests',
] as const
const RECORD = RECORD_NUMBERS.length

/** The numbers of a log entry: its type's, `at`, `index`, `count` and `attempt`; NaN: it has none. */
const ENTRY = 5

/** What a record seldom has, by its place among the records. */
type RareTexts = [nth: number, cause: string | null, reason: string | null, error: string | null]

/** What a log entry seldom has, by its place among the entries of its batch. */
type RareFacts = [nth: number, facts: Partial<LogEntry>]

/**
 * A commit as it goes to the writer's thread: numbers as numbers and texts as texts. Objects would be copied name by name, which costs
 * the event loop more than all else about a commit.
 */
export interface PackedGroup {
  batches: CommitGroup['batches']
  heads: CommitGroup['heads']
  jobs: (Omit<NewJobs, 'kinds' | 'names'> & {
    /** One for all jobs, as it mostly is. */
    kinds: string | string[]
    /** Null: all are unnamed. */
    names: NewJobs['names'] | null
  })[]
  numbers: Float64Array
  results: JobRecord['result'][]
  texts: RareTexts[]
  logs: { no: number; seq: number; numbers: Float64Array; facts: RareFacts[] }[]
}

/** A commit for `postMessage`. */
export function packGroup({ batches, jobs, heads, records, logs }: CommitGroup): PackedGroup {
  const numbers = new Float64Array(records.length * RECORD)
  const results: PackedGroup['results'] = []
  const texts: RareTexts[] = []
  for (let i = 0; i < records.length; i++) {
    const record = records[i]
    packNumbers(record, numbers, i * RECORD)
    results.push(record.result)
    const { cause, reason, error } = record
    if (cause !== null || reason !== null || error !== null) texts.push([i, cause, reason, error])
  }
  return { batches, heads, jobs: jobs.map(packJobs), numbers, results, texts, logs: logs.map(packLog) }
}

/** The commit that was packed. */
export function unpackGroup({ batches, heads, jobs, numbers, results, texts, logs }: PackedGroup): CommitGroup {
  const records = results.map((result, i) => unpackRecord(numbers, i * RECORD, result))
  for (const [nth, cause, reason, error] of texts) Object.assign(records[nth], { cause, reason, error })
  return { batches, heads, jobs: jobs.map(unpackJobs), records, logs: logs.map(unpackLog) }
}

function packJobs({ no, from, kinds, names, specs }: NewJobs): PackedGroup['jobs'][number] {
  const [kind] = kinds
  const isOne = kinds.length > 0 && kinds.every((each) => each === kind)
  return { no, from, specs, kinds: isOne ? kind : kinds, names: names.every((name) => name === null) ? null : names }
}

function unpackJobs({ no, from, kinds, names, specs }: PackedGroup['jobs'][number]): NewJobs {
  return {
    no,
    from,
    specs,
    kinds: typeof kinds === 'string' ? specs.map(() => kinds) : kinds,
    names: names ?? specs.map(() => null),
  }
}

function packNumbers(record: JobRecord, numbers: Float64Array, at: number): void {
  numbers[at] = record.no
  numbers[at + 1] = record.index
  numbers[at + 2] = record.count
  numbers[at + 3] = record.state
  numbers[at + 4] = record.attempts
  numbers[at + 5] = record.startedAt ?? Number.NaN
  numbers[at + 6] = record.finishedAt ?? Number.NaN
  numbers[at + 7] = record.cancelRequests
}

function unpackRecord(numbers: Float64Array, at: number, result: JobRecord['result']): JobRecord {
  return {
    no: numbers[at],
    index: numbers[at + 1],
    count: numbers[at + 2],
    state: numbers[at + 3],
    attempts: numbers[at + 4],
    startedAt: orNull(numbers[at + 5]),
    finishedAt: orNull(numbers[at + 6]),
    cancelRequests: numbers[at + 7],
    cause: null,
    reason: null,
    result,
    error: null,
  }
}

function orNull(number: number): number | null {
  return Number.isNaN(number) ? null : number
}

function packLog({ no, entries }: LogRows): PackedGroup['logs'][number] {
  const numbers = new Float64Array(entries.length * ENTRY)
  const facts: RareFacts[] = []
  for (let i = 0; i < entries.length; i++) {
    const { seq: _seq, count, type, at, index, attempt, ...rare } = entries[i]
    numbers[i * ENTRY] = EVENT_TYPES.indexOf(type)
    numbers[i * ENTRY + 1] = at
    numbers[i * ENTRY + 2] = index
    numbers[i * ENTRY + 3] = count
    numbers[i * ENTRY + 4] = attempt ?? Number.NaN
    for (const _name in rare) {
      facts.push([i, rare])
      break
    }
  }
  return { no, seq: entries[0]?.seq ?? 0, numbers, facts }
}

function unpackLog({ no, seq, numbers, facts }: PackedGroup['logs'][number]): LogRows {
  const entries: LogEntry[] = []
  let next = seq
  for (let at = 0; at < numbers.length; at += ENTRY) {
    const [type, count, attempt] = [EVENT_TYPES[numbers[at]], numbers[at + 3], numbers[at + 4]]
    const entry: LogEntry = { seq: next, count, type, at: numbers[at + 1], index: numbers[at + 2] }
    if (!Number.isNaN(attempt)) entry.attempt = attempt
    entries.push(entry)
    next += count
  }
  for (const [nth, rare] of facts) Object.assign(entries[nth], rare)
  return { no, entries }
}
