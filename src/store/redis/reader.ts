import { isTerminal, JOB_STATE_NAMES, type JobStateName } from '../../core/states.ts'
import type { JsonText } from '../../engine/engine.ts'
import { type BatchNo, type BatchRow, JOBS_PER_BATCH, type JobPage, type Store } from '../store.ts'
import type { Connection } from './connection.ts'
import { Histories } from './history.ts'
import { batchKey, KEYS, tenantKey } from './keys.ts'
import { Logs } from './log.ts'
import { READ_SPECS } from './read-scripts.ts'
import { countOf, foreign, listOf, objectOf, textOrNull, textsOf } from './replies.ts'
import type { TenantMap } from './tenant-map.ts'
import { ROW_FIELDS, specOf, unpackJob, unpackRow } from './values.ts'
import { Views } from './views.ts'

/** About how many characters a page may hold; the job that goes past it is the page's last. */
const PAGE_CHARS = 1_048_576

/** The same for specs, which are held in memory until their jobs start. */
const SPEC_CHARS = 262_144

/** Specs that one script reads. */
const SPECS = 1_000

/** Batches that are read at once. */
const ROWS = 100

/** States that are read at once. */
const STATES = 65_536

/** Answers the reads of the store. */
export class Reader {
  readonly logs: Logs
  readonly histories: Histories
  readonly #connection: Connection
  readonly #tenants: TenantMap
  readonly #views: Views

  constructor(connection: Connection, tenants: TenantMap) {
    this.#connection = connection
    this.#tenants = tenants
    this.#views = new Views(connection)
    this.logs = new Logs(connection, this.#views)
    this.histories = new Histories(connection, this.logs)
  }

  /** See `Store.idempotent`. */
  async idempotent(tenantId: string, key: string): Promise<{ hash: string; answer: string } | null> {
    const where = tenantKey(tenantId, 'ik')
    const text = textOrNull(await this.#connection.call('HGET', where, key), where)
    if (text === null) return null
    const match = /^\d+\n[^\n]*\n([^\n]*)\n([\s\S]*)$/.exec(text)
    if (match === null) throw foreign(where)
    return { hash: match[1], answer: match[2] }
  }

  /** See `Store.batch`. */
  async batch(tenantId: string, id: string): Promise<BatchRow | null> {
    const where = tenantKey(tenantId, 'ids')
    const no = await this.#connection.call('HGET', where, id)
    if (no === null) return null
    const [row] = await this.#rows(tenantId, [countOf(no, where)])
    return row ?? null
  }

  /** See `Store.batches`. */
  async batches(query: Parameters<Store['batches']>[0]): Promise<BatchRow[]> {
    const { tenantId, state, labels, limit } = query
    const filtered = state !== undefined || Object.keys(labels).length > 0
    const found: BatchRow[] = []
    for (let before = query.before; found.length < limit; ) {
      const page = await this.#numbers(tenantId, before, filtered ? ROWS : Math.min(ROWS, limit - found.length))
      if (page.length === 0) break
      before = page[page.length - 1]
      const wanted = filtered ? await this.#matching(tenantId, page, state, labels) : page
      found.push(...(await this.#rows(tenantId, wanted.slice(0, limit - found.length))))
    }
    return found
  }

  /** See `Store.unfinished`, of one tenant. */
  async unfinished(tenantId: string): Promise<BatchRow[]> {
    const key = tenantKey(tenantId, 'live')
    const numbers = textsOf(await this.#connection.call('ZRANGE', key, 0, -1), key).map((no) => countOf(no, key))
    const rows: BatchRow[] = []
    for (let from = 0; from < numbers.length; from += ROWS)
      rows.push(...(await this.#rows(tenantId, numbers.slice(from, from + ROWS))))
    return rows
  }

  /** Every tenant that has a batch, or something left of one. */
  async known(): Promise<string[]> {
    return textsOf(await this.#connection.call('SMEMBERS', KEYS.known), KEYS.known)
  }

  /** See `Store.job`. */
  async job(no: BatchNo, index: number): Promise<JsonText | null> {
    const tenantId = await this.#tenants.of(no)
    if (tenantId === null) return null
    for await (const [, text] of this.#views.of(tenantId, no, [index])) return text
    return null
  }

  /** See `Store.jobs`. */
  async jobs(no: BatchNo, query: { from: number; limit: number; states?: JobStateName[] }): Promise<JobPage> {
    const page: JobPage = { data: [], next: null }
    const tenantId = await this.#tenants.of(no)
    if (tenantId === null) return page
    const indexes = await this.#indexes(batchKey(tenantId, no), query)
    let chars = 0
    for await (const [index, text] of this.#views.of(tenantId, no, indexes)) {
      if (page.data.length === query.limit || chars >= PAGE_CHARS) {
        page.next = index
        break
      }
      if (text === null) continue
      chars += text.length
      page.data.push(text)
    }
    return page
  }

  /** See `Store.pending`. */
  async pending(no: BatchNo): Promise<number[]> {
    const tenantId = await this.#tenants.of(no)
    if (tenantId === null) return []
    const states = await this.histories.states(tenantId, no)
    return Array.from(states.keys()).filter((index) => !isTerminal(states[index]))
  }

  /** See `Store.specs`. */
  async specs(no: BatchNo, { from, limit }: { from: number; limit: number }): Promise<string[]> {
    const tenantId = await this.#tenants.of(no)
    if (tenantId === null) return []
    const key = batchKey(tenantId, no)
    const jobs = await this.#connection.run(READ_SPECS, [key], [from, Math.min(limit, SPECS), SPEC_CHARS])
    return textsOf(jobs, key).map(specOf)
  }

  /** See `Store.namesTaken`. */
  async namesTaken(no: BatchNo, names: string[]): Promise<string[]> {
    const tenantId = await this.#tenants.of(no)
    if (tenantId === null || names.length === 0) return []
    const key = batchKey(tenantId, no)
    const holders = listOf(await this.#connection.call('HMGET', `${key}:n`, ...names), key)
    const unnamed = await this.#unnamed(key, names.flatMap(defaultIndex))
    const isTaken = (name: string, i: number) =>
      holders[i] !== null || defaultIndex(name).some((index) => unnamed.has(index))
    return names.filter(isTaken)
  }

  /** See `Store.wasDeleted`. */
  async wasDeleted(tenantId: string, id: string): Promise<boolean> {
    return (await this.#connection.call('ZSCORE', tenantKey(tenantId, 'tombs'), id)) !== null
  }

  /** Which of these jobs are there and have no name. */
  async #unnamed(key: string, indexes: readonly number[]): Promise<Set<number>> {
    if (indexes.length === 0) return new Set()
    const count = countOf(await this.#connection.call('STRLEN', `${key}:s`), key)
    const jobs = listOf(await this.#connection.call('HMGET', `${key}:j`, ...indexes), key)
    const isUnnamed = (text: string | null) => text !== null && unpackJob(text).name === null
    return new Set(indexes.filter((index, i) => index < count && isUnnamed(textOrNull(jobs[i], key))))
  }

  /** The numbers of a tenant's batches below `before`, highest first. */
  async #numbers(tenantId: string, before: BatchNo, limit: number): Promise<BatchNo[]> {
    const key = tenantKey(tenantId, 'batches')
    const range = await this.#connection.call('ZREVRANGEBYSCORE', key, `(${before}`, '-inf', 'LIMIT', 0, limit)
    return textsOf(range, key).map((no) => countOf(no, key))
  }

  async #matching(
    tenantId: string,
    numbers: readonly BatchNo[],
    state: string | undefined,
    labels: Record<string, string>,
  ): Promise<BatchNo[]> {
    const facts = await Promise.all(
      numbers.map((no) => this.#connection.call('HMGET', batchKey(tenantId, no), 'm', 'l')),
    )
    return numbers.filter((no, i) => {
      const key = batchKey(tenantId, no)
      const [line, labelled] = listOf(facts[i], key).map((field) => textOrNull(field, key))
      if (state !== undefined && !line?.startsWith(`${state} `)) return false
      const own = labelled === null ? {} : objectOf(labelled, key)
      return Object.entries(labels).every(([name, value]) => Object.hasOwn(own, name) && own[name] === value)
    })
  }

  /** The batches with these numbers that are there. */
  async #rows(tenantId: string, numbers: readonly BatchNo[]): Promise<BatchRow[]> {
    const replies = await Promise.all(
      numbers.map((no) => this.#connection.call('HMGET', batchKey(tenantId, no), ...ROW_FIELDS)),
    )
    const rows = replies.flatMap((reply, i) => unpackRow(numbers[i], tenantId, reply) ?? [])
    for (const { no } of rows) this.#tenants.see(no, tenantId)
    return rows
  }

  /** The indexes of a page, and of the job after it. */
  async #indexes(key: string, query: { from: number; limit: number; states?: JobStateName[] }): Promise<number[]> {
    const { from, limit, states } = query
    if (states === undefined) {
      const end = Math.min(countOf(await this.#connection.call('STRLEN', `${key}:s`), key), from + limit + 1)
      return Array.from({ length: Math.max(0, end - from) }, (_, i) => from + i)
    }
    const wanted = new Set(states.map((state) => JOB_STATE_NAMES.indexOf(state)))
    const indexes: number[] = []
    for (let start = from; start < JOBS_PER_BATCH && indexes.length <= limit; start += STATES) {
      const bytes = textOrNull(await this.#connection.call('GETRANGE', `${key}:s`, start, start + STATES - 1), key)
      for (let i = 0; i < (bytes ?? '').length && indexes.length <= limit; i++)
        if (wanted.has(bytes?.charCodeAt(i) ?? -1)) indexes.push(start + i)
      if ((bytes ?? '').length < STATES) break
    }
    return indexes
  }
}

/** `job-7` is the name of job 7 unless that has another. */
function defaultIndex(name: string): number[] {
  const match = /^job-(0|[1-9]\d{0,6})$/.exec(name)
  return match === null || Number(match[1]) >= JOBS_PER_BATCH ? [] : [Number(match[1])]
}
