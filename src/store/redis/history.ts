import { stopError } from '../../core/batch.ts'
import type { IndexedError } from '../../core/events.ts'
import { type Cause, isTerminal } from '../../core/states.ts'
import { noKinds, noPlans, noteKind, notePlan } from '../plans.ts'
import type { BatchHistory, BatchNo } from '../store.ts'
import type { Connection } from './connection.ts'
import { batchKey } from './keys.ts'
import type { Logs } from './log.ts'
import { READ_RECORDS, READ_SPECS } from './read-scripts.ts'
import { Records } from './records.ts'
import { listOf, objectOf, textOf, textsOf } from './replies.ts'
import { type StoredRecord, specOf, unpackJob } from './values.ts'

/** Jobs that are read, and looked at, before others get their turn. */
const SLICE = 1_000

/** Bytes that one script reads, about. */
const BYTES = 1_048_576

/** Reads what a restart needs of a batch, slice by slice: a large batch stops nobody. */
export class Histories {
  readonly #connection: Connection
  readonly #logs: Logs

  constructor(connection: Connection, logs: Logs) {
    this.#connection = connection
    this.#logs = logs
  }

  /** The states of a batch's jobs, a byte each. */
  async states(tenantId: string, no: BatchNo): Promise<Uint8Array> {
    const key = `${batchKey(tenantId, no)}:s`
    const bytes = await this.#connection.call('GET', key)
    return Uint8Array.from(bytes === null ? '' : textOf(bytes, key), (char) => char.charCodeAt(0))
  }

  /** See `Store.history`. */
  async read(tenantId: string, no: BatchNo): Promise<BatchHistory> {
    const states = await this.states(tenantId, no)
    const plans = noPlans()
    const kinds = noKinds(states.length)
    const key = batchKey(tenantId, no)
    const records = new Records(await this.#connection.call('LRANGE', `${key}:u`, 0, -1))
    const unended: BatchHistory['unended'] = []
    for (let from = 0; from < states.length; ) {
      const jobs = textsOf(await this.#connection.run(READ_SPECS, [key], [from, SLICE, BYTES]), key)
      if (jobs.length === 0) break
      const specs = jobs.map(specOf)
      specs.forEach((spec, i) => {
        notePlan(plans, states.length, from + i, spec)
        noteKind(kinds, from + i, unpackJob(jobs[i]).kind)
      })
      const live = specs.flatMap((_, i) => (isTerminal(states[from + i]) ? [] : [from + i]))
      for (const [index, record] of await this.#records(key, records, live))
        unended.push({ index, ...savedOf(record), spec: specs[index - from] })
      from += jobs.length
      await new Promise((resolve) => setImmediate(resolve))
    }
    return { states, plans, kinds, unended, failures: await this.#failures(tenantId, no, records) }
  }

  /** The jobs among these that have records, in order. */
  async #records(key: string, records: Records, indexes: readonly number[]): Promise<[number, StoredRecord][]> {
    const found: [number, StoredRecord][] = []
    for (let next = 0; next < indexes.length; ) {
      const slice = indexes.slice(next, next + SLICE)
      const own = listOf(await this.#connection.run(READ_RECORDS, [key], [BYTES, ...slice]), key)
      own.forEach((text, i) => {
        const record = records.of(slice[i], text)
        if (record !== null) found.push([slice[i], record])
      })
      if (own.length === 0) break
      next += own.length
    }
    return found
  }

  async #failures(tenantId: string, no: BatchNo, records: Records): Promise<IndexedError[]> {
    const failures: IndexedError[] = []
    const key = batchKey(tenantId, no)
    for await (const entries of this.#logs.entries(tenantId, no, 0)) {
      const failed = entries.filter(({ type }) => type === 'job.failed' || type === 'job.timed_out')
      const indexes = failed.flatMap(({ index, count }) => Array.from({ length: count }, (_, i) => index + i))
      const causes = failed.flatMap(({ cause, count }) => Array<Cause | null>(count).fill(cause ?? null))
      const errors = new Map(await this.#records(key, records, indexes))
      indexes.forEach((index, i) => {
        failures.push({ index, ...errorOf(errors.get(index)?.error ?? null, causes[i]) })
      })
    }
    return failures
  }
}

/** Records of failed jobs have an error; a timeout's follows from its cause. */
function errorOf(error: string | null, cause: Cause | null): Omit<IndexedError, 'index'> {
  if (error === null) return stopError(cause, null)
  const { type, code, message } = objectOf(error, 'the error of a job')
  return { type: String(type), code: String(code), message: String(message) }
}

function savedOf(record: StoredRecord): Omit<BatchHistory['unended'][number], 'index' | 'spec'> {
  const { state, attempts, startedAt, cause, reason, cancelRequests } = record
  // Written by the core, which knows no other causes.
  return { state, attempts, startedAt, cause: cause as Cause | null, reason, cancelRequests }
}
