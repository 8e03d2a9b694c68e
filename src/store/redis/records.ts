import { NO_RECORD } from '../store.ts'
import { foreign, textOrNull, textsOf } from './replies.ts'
import { type StoredRecord, unpackRecord } from './values.ts'

interface Run {
  from: number
  to: number
  text: string
}

/** The records of a batch's jobs: each job's own, or that of the newest run of jobs that it was in since. */
export class Records {
  readonly #runs: Run[]

  /** @param reply - The list of runs as Redis has it. */
  constructor(reply: unknown) {
    this.#runs = textsOf(reply, 'the runs of a batch').map(unpackRun)
  }

  /** The record of a job; `own` is its own as Redis has it. Null: it has none. */
  of(index: number, own: unknown): StoredRecord | null {
    const text = textOrNull(own, 'a record')
    // How many runs there were when it was written stands before it.
    const start = text === null ? 0 : text.indexOf('[')
    const runs = text === null ? 0 : Number(text.slice(0, start))
    for (let nth = this.#runs.length - 1; nth >= runs; nth--) {
      const run = this.#runs[nth]
      if (index >= run.from && index < run.to) return unpackRecord(run.text)
    }
    return text === null ? null : unpackRecord(text.slice(start))
  }

  /** As `of`, with the record that a job has before it has one. */
  orNone(index: number, own: unknown): StoredRecord {
    return this.of(index, own) ?? NO_RECORD
  }
}

function unpackRun(text: string): Run {
  const match = /^(\d+) (\d+) ([\s\S]*)$/.exec(text)
  if (match === null) throw foreign('a run of records')
  return { from: Number(match[1]), to: Number(match[2]), text: match[3] }
}
