import type { DatabaseSync, SQLOutputValue, StatementSync } from 'node:sqlite'
import { stopError } from '../../core/batch.ts'
import type { IndexedError, LogEntry } from '../../core/events.ts'
import type { BatchFacts } from '../../core/facts.ts'
import { JOB_STATE_NAMES, type JobStateName } from '../../core/states.ts'
import type { JsonText, StreamEvent } from '../../engine/engine.ts'
import { unpackEntries } from '../entries.ts'
import { eventText, isCompletion, type JobFacts, jobText } from '../render.ts'
import {
  type BatchHistory,
  type BatchNo,
  type BatchRow,
  JOBS_PER_BATCH,
  type JobPage,
  type KeyRow,
  type LogPage,
  type TenantRow,
} from '../store.ts'
import { lastDead } from './graves.ts'
import { JobRows, readJobs } from './history.ts'
import { RESULT } from './parts.ts'
import { allStored, type StoredBytes } from './stored.ts'

/** About how many characters a page may hold; the entry that goes past it is the page's last. */
const PAGE_CHARS = 1_048_576

/** The same for specs, which are held in memory until their jobs start. */
const SPEC_CHARS = 262_144

type Row = Record<string, SQLOutputValue>

/** What rendering needs of a batch. */
interface Origin {
  no: BatchNo
  id: string
  accepted: BatchFacts['accepted']
}

/** Answers reads, rendered to JSON texts here so that the event loop need not. Synchronous: it runs on the reader's thread. */
export class SqliteReader {
  readonly #database: DatabaseSync
  readonly #prepared = new Map<string, StatementSync>()
  readonly #jobRows: JobRows

  constructor(database: DatabaseSync) {
    this.#database = database
    this.#jobRows = new JobRows(database)
  }

  lastBatchNo(): number {
    return Number(
      this.#get(
        'SELECT max(no) AS no FROM (SELECT no FROM batches UNION ALL SELECT no FROM tombstones UNION ALL SELECT last_no FROM graves)',
      )?.no ?? 0,
    )
  }

  stored(): StoredBytes {
    return allStored(this.#database)
  }

  tenants(): TenantRow[] {
    return this.#all('SELECT id, settings, created_at FROM tenants ORDER BY id').map((row) => ({
      id: String(row.id),
      settings: JSON.parse(String(row.settings)),
      createdAt: Number(row.created_at),
    }))
  }

  keys(): KeyRow[] {
    return this.#all('SELECT * FROM keys ORDER BY created_at, id').map((row) => ({
      id: String(row.id),
      tenantId: String(row.tenant_id),
      name: text(row.name),
      hash: String(row.hash),
      scopes: JSON.parse(String(row.scopes)),
      createdAt: Number(row.created_at),
      expiresAt: number(row.expires_at),
      revokedAt: number(row.revoked_at),
    }))
  }

  hadKeys(): boolean {
    return this.#get(`SELECT 1 FROM meta WHERE key = 'keyed'`) !== undefined
  }

  idempotent(tenantId: string, key: string): { hash: string; answer: string } | null {
    const sql = `SELECT request_hash, answer FROM idempotency WHERE tenant_id = ?1 AND key = ?2 AND no > ${lastDead('?1')}`
    const row = this.#get(sql, tenantId, key)
    return row === undefined ? null : { hash: String(row.request_hash), answer: String(row.answer) }
  }

  batch(tenantId: string, id: string): BatchRow | null {
    const sql = `SELECT * FROM batches WHERE id = ?1 AND tenant_id = ?2 AND no > ${lastDead('?2')}`
    const row = this.#get(sql, id, tenantId)
    return row === undefined ? null : batchRow(row)
  }

  batches(query: {
    tenantId: string
    state?: string
    labels: Record<string, string>
    before: BatchNo
    limit: number
  }): BatchRow[] {
    const labels = Object.entries(query.labels)
    const alive = `no > ${lastDead('?1')}`
    const conditions = ['tenant_id = ?1', 'no < ?2', alive, ...(query.state === undefined ? [] : ['state = ?3'])]
    const values: (string | number)[] = [
      query.tenantId,
      query.before,
      ...(query.state === undefined ? [] : [query.state]),
    ]
    for (const [key, value] of labels) {
      values.push(key, value)
      const at = values.length
      conditions.push(`no IN (SELECT no FROM labels WHERE tenant_id = ?1 AND key = ?${at - 1} AND value = ?${at})`)
    }
    const sql = `SELECT * FROM batches WHERE ${conditions.join(' AND ')} ORDER BY no DESC LIMIT ${query.limit}`
    return this.#database
      .prepare(sql)
      .all(...values)
      .map(batchRow)
  }

  job(no: BatchNo, index: number): JsonText | null {
    // Beyond its range lie the next batch's jobs.
    const origin = index < JOBS_PER_BATCH ? this.#origin(no) : null
    return origin === null ? null : this.#jobText(origin, index)
  }

  jobs(no: BatchNo, query: { from: number; limit: number; states?: JobStateName[] }): JobPage {
    const origin = this.#origin(no)
    const base = no * JOBS_PER_BATCH
    const where =
      query.states === undefined ? '' : `AND coalesce(r.state, 0) IN (${query.states.map(stateByte).join()})`
    const rows = this.#statement(`${JOB_COLUMNS} WHERE s.id >= ? AND s.id < ? ${where} ORDER BY s.id`)
    const page: JobPage = { data: [], next: null }
    if (origin === null) return page
    let chars = 0
    for (const row of rows.iterate(base + query.from, base + JOBS_PER_BATCH)) {
      if (page.data.length === query.limit || chars >= PAGE_CHARS) {
        page.next = Number(row.id) - base
        break
      }
      const view = jobText(jobFacts(origin, row))
      chars += view.length
      page.data.push(view)
    }
    return page
  }

  completions(no: BatchNo, query: { from: number; limit: number; state?: JobStateName }): JobPage {
    const page: JobPage = { data: [], next: null }
    const origin = this.#origin(no)
    if (origin === null) return page
    const wanted = query.state === undefined ? isCompletion : (type: string) => type === `job.${query.state}`
    let chars = 0
    let after = query.from
    for (const { entry, offset } of this.#events(no, query.from)) {
      if (!wanted(entry.type)) continue
      if (page.data.length === query.limit || chars >= PAGE_CHARS) {
        page.next = after
        break
      }
      const view = this.#jobText(origin, entry.index + offset) ?? 'null'
      after = entry.seq + offset
      chars += view.length
      page.data.push(view)
    }
    return page
  }

  pending(no: BatchNo): number[] {
    const base = no * JOBS_PER_BATCH
    const sql = `SELECT s.id FROM specs s LEFT JOIN records r ON r.id = s.id
      WHERE s.id >= ? AND s.id < ? AND coalesce(r.state, 0) < 3 ORDER BY s.id`
    return this.#statement(sql)
      .all(base, base + JOBS_PER_BATCH)
      .map((row) => Number(row.id) - base)
  }

  log(no: BatchNo, query: { after: number; limit: number; completionsOnly: boolean }): LogPage {
    const page: LogPage = { events: [], after: query.after }
    const origin = this.#origin(no)
    if (origin === null) return page
    let chars = 0
    for (const { entry, offset } of this.#events(no, query.after)) {
      if (page.events.length === query.limit || chars >= PAGE_CHARS) break
      page.after = entry.seq + offset
      if (query.completionsOnly && !isCompletion(entry.type) && entry.type !== 'batch.drained') continue
      const event = this.#event(origin, entry, offset)
      chars += event.json.length
      page.events.push(event)
    }
    return page
  }

  specs(no: BatchNo, query: { from: number; limit: number }): string[] {
    const base = no * JOBS_PER_BATCH
    const rows = this.#statement('SELECT spec FROM specs WHERE id >= ? AND id < ? ORDER BY id')
    const specs: string[] = []
    let chars = 0
    for (const row of rows.iterate(
      base + query.from,
      Math.min(base + query.from + query.limit, base + JOBS_PER_BATCH),
    )) {
      const spec = String(row.spec)
      specs.push(spec)
      chars += spec.length
      if (chars >= SPEC_CHARS) break
    }
    return specs
  }

  wasDeleted(tenantId: string, id: string): boolean {
    const sql = `SELECT 1 FROM tombstones WHERE id = ?1 AND tenant_id = ?2 AND no > ${lastDead('?2')}`
    return this.#get(sql, id, tenantId) !== undefined
  }

  unfinished(tenantId?: string): BatchRow[] {
    const alive = `no > ${lastDead('batches.tenant_id')}`
    const [whose, ids] = tenantId === undefined ? ['', []] : ['AND tenant_id = ?', [tenantId]]
    const sql = `SELECT * FROM batches WHERE drained_at IS NULL AND ${alive} ${whose} ORDER BY no`
    return this.#all(sql, ...ids).map(batchRow)
  }

  history(no: BatchNo): BatchHistory {
    const [first, end] = [no * JOBS_PER_BATCH, (no + 1) * JOBS_PER_BATCH]
    const count = Number(this.#get('SELECT count(*) AS count FROM specs WHERE id >= ? AND id < ?', first, end)?.count)
    return { ...readJobs(this.#jobRows.between(first, end), first, count), failures: this.#failures(no) }
  }

  /** Entry by entry: the events of a batch whose jobs all wait are as many as its jobs, and a single entry. */
  #failures(no: BatchNo): IndexedError[] {
    const failures: IndexedError[] = []
    for (const entry of this.#entries(no, 0)) {
      if (entry.type !== 'job.failed' && entry.type !== 'job.timed_out') continue
      for (let offset = 0; offset < entry.count; offset++) failures.push(this.#failure(no, entry, entry.index + offset))
    }
    return failures
  }

  #failure(no: BatchNo, entry: LogEntry, index: number): IndexedError {
    const error = this.#get('SELECT error FROM records WHERE id = ?', no * JOBS_PER_BATCH + index)?.error
    // Records of failed jobs have an error; a timeout's follows from its cause.
    const { type, code, message } = error == null ? stopError(entry.cause ?? null, null) : JSON.parse(String(error))
    return { index, type, code, message }
  }

  namesTaken(no: BatchNo, names: string[]): string[] {
    const explicit = this.#all(
      'SELECT name FROM specs WHERE name IN (SELECT value FROM json_each(?)) AND id >> 20 = ?',
      JSON.stringify(names),
      no,
    )
    const taken = new Set(explicit.map((row) => String(row.name)))
    for (const name of names) if (this.#isDefaultName(no, name)) taken.add(name)
    return names.filter((name) => taken.has(name))
  }

  /** `job-7` is the name of job 7 unless that has another. */
  #isDefaultName(no: BatchNo, name: string): boolean {
    const match = /^job-(0|[1-9]\d{0,6})$/.exec(name)
    if (match === null || Number(match[1]) >= JOBS_PER_BATCH) return false
    const row = this.#get('SELECT name FROM specs WHERE id = ?', no * JOBS_PER_BATCH + Number(match[1]))
    return row !== undefined && row.name === null
  }

  #origin(no: BatchNo): Origin | null {
    const row = this.#get('SELECT id, facts FROM batches WHERE no = ?', no)
    if (row === undefined) return null
    return { no, id: String(row.id), accepted: JSON.parse(String(row.facts)).accepted }
  }

  /** The events after number `after`, one by one. */
  *#events(no: BatchNo, after: number): Generator<{ entry: LogEntry; offset: number }> {
    for (const entry of this.#entries(no, after))
      for (let offset = Math.max(0, after + 1 - entry.seq); offset < entry.count; offset++) yield { entry, offset }
  }

  /** The entries from the row on that has the event after number `after`. */
  *#entries(no: BatchNo, after: number): Generator<LogEntry> {
    const first = this.#get('SELECT max(seq) AS seq FROM log WHERE no = ? AND seq <= ?', no, after + 1)?.seq ?? 0
    const rows = this.#statement('SELECT seq, entries FROM log WHERE no = ? AND seq >= ? ORDER BY seq')
    for (const row of rows.iterate(no, first)) yield* unpackEntries(String(row.entries), Number(row.seq))
  }

  #event(origin: Origin, entry: LogEntry, offset: number): StreamEvent {
    const job = isCompletion(entry.type) ? this.#jobText(origin, entry.index + offset) : null
    return { seq: entry.seq + offset, type: entry.type, json: eventText(origin.id, entry, offset, job) }
  }

  #jobText(origin: Origin, index: number): JsonText | null {
    const row = this.#get(`${JOB_COLUMNS} WHERE s.id = ?`, origin.no * JOBS_PER_BATCH + index)
    return row === undefined ? null : jobText(jobFacts(origin, row))
  }

  #statement(sql: string): StatementSync {
    let statement = this.#prepared.get(sql)
    if (statement === undefined) {
      statement = this.#database.prepare(sql)
      this.#prepared.set(sql, statement)
    }
    return statement
  }

  #get(sql: string, ...values: (string | number)[]): Row | undefined {
    return this.#statement(sql).get(...values)
  }

  #all(sql: string, ...values: (string | number)[]): Row[] {
    return this.#statement(sql).all(...values)
  }
}

const JOB_COLUMNS = `SELECT s.id, s.kind, s.name, r.state, r.attempts, r.started_at, r.finished_at, r.cause, r.reason,
  r.cancel_requests, ${RESULT} AS result, r.error FROM specs s LEFT JOIN records r ON r.id = s.id`

function jobFacts(origin: Origin, row: Row): JobFacts {
  const index = Number(row.id) - origin.no * JOBS_PER_BATCH
  return {
    batchId: origin.id,
    index,
    name: text(row.name),
    kind: String(row.kind),
    acceptedAt: origin.accepted.findLast(({ from }) => from <= index)?.at ?? 0,
    state: Number(row.state ?? 0),
    attempts: Number(row.attempts ?? 0),
    startedAt: number(row.started_at),
    finishedAt: number(row.finished_at),
    cause: text(row.cause),
    reason: text(row.reason),
    cancelRequests: Number(row.cancel_requests ?? 0),
    result: text(row.result),
    error: text(row.error),
  }
}

function batchRow(row: Row): BatchRow {
  return {
    no: Number(row.no),
    id: String(row.id),
    tenantId: String(row.tenant_id),
    state: String(row.state),
    seq: Number(row.seq),
    acceptedAt: Number(row.accepted_at),
    settledAt: number(row.settled_at),
    drainedAt: number(row.drained_at),
    header: String(row.header),
    facts: String(row.facts),
  }
}

function stateByte(state: JobStateName): number {
  return JOB_STATE_NAMES.indexOf(state)
}

function text(value: SQLOutputValue): string | null {
  return value === null || value === undefined ? null : String(value)
}

function number(value: SQLOutputValue): number | null {
  return value === null || value === undefined ? null : Number(value)
}
