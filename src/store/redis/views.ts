import type { BatchFacts } from '../../core/facts.ts'
import type { JsonText } from '../../engine/engine.ts'
import { jobText } from '../render.ts'
import type { BatchNo } from '../store.ts'
import type { Connection } from './connection.ts'
import { batchKey } from './keys.ts'
import { READ_JOBS } from './read-scripts.ts'
import { Records } from './records.ts'
import { foreign, listOf, objectOf, textOf, textOrNull } from './replies.ts'
import { unpackJob } from './values.ts'

/** Jobs that one script reads. */
const SLICE = 250

/** Bytes of records that one script reads, about. */
const BYTES = 1_048_576

/** The view of a job; null where there is no such job. */
export type View = [index: number, text: JsonText | null]

/** Reads jobs and renders them. */
export class Views {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** The views of the jobs with these indexes in their order, read in slices as they are taken. */
  async *of(tenantId: string, no: BatchNo, indexes: readonly number[]): AsyncGenerator<View> {
    for (let next = 0; next < indexes.length; ) {
      const slice = await this.#slice(tenantId, no, indexes.slice(next, next + SLICE))
      if (slice === null) return
      yield* slice
      next += slice.length
    }
  }

  async #slice(tenantId: string, no: BatchNo, indexes: readonly number[]): Promise<View[] | null> {
    const key = batchKey(tenantId, no)
    const reply = await this.#connection.run(READ_JOBS, [key], [BYTES, ...indexes])
    if (reply === null) return null
    const [id, facts, runs, ...jobs] = listOf(reply, key)
    if (jobs.length < 2) throw foreign(key)
    const batchId = textOf(id, key)
    const accepted = acceptedOf(facts, key)
    const records = new Records(runs)
    return Array.from({ length: jobs.length / 2 }, (_, i) => {
      const index = indexes[i]
      const job = textOrNull(jobs[2 * i], key)
      if (job === null) return [index, null]
      const acceptedAt = accepted.findLast(({ from }) => from <= index)?.at ?? 0
      const record = records.orNone(index, jobs[2 * i + 1])
      return [index, jobText({ batchId, index, ...unpackJob(job), acceptedAt, ...record })]
    })
  }
}

function acceptedOf(facts: unknown, key: string): BatchFacts['accepted'] {
  // A batch without a head yet has none.
  if (facts === '') return []
  // Written by the engine, from BatchFacts.
  return listOf(objectOf(facts, key).accepted, key) as BatchFacts['accepted']
}
