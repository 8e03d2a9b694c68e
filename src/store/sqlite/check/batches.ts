import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { BatchFacts } from '../../../core/facts.ts'
import { isTerminal, JOB_STATE_NAMES } from '../../../core/states.ts'
import { JOBS_PER_BATCH } from '../../store.ts'
import type { Findings, Place } from './findings.ts'
import { checkHead } from './head.ts'
import { sqliteError } from './reading.ts'
import { checkJob, JOB_SQL } from './records.ts'
import { Replay } from './replay.ts'

/** The highest number of a batch whose jobs still have numbers of their own. */
const MAX_NO = 2 ** 32

/** Checks the batches one after the other: what it holds in memory is a few bytes for each job of one of them. */
export class BatchCheck {
  batches = 0
  jobs = 0
  events = 0
  readonly #findings: Findings
  readonly #database: DatabaseSync
  readonly #row: StatementSync
  readonly #log: StatementSync
  readonly #jobs: StatementSync
  readonly #strays: StatementSync

  constructor(database: DatabaseSync, findings: Findings) {
    this.#findings = findings
    this.#database = database
    this.#row = database.prepare('SELECT * FROM batches WHERE no = ?')
    this.#log = database.prepare('SELECT seq, entries FROM log WHERE no = ? ORDER BY seq')
    this.#jobs = database.prepare(JOB_SQL)
    this.#strays = database.prepare(
      `SELECT r.id FROM records r LEFT JOIN specs s ON s.id = r.id WHERE r.id >= ? AND r.id < ? AND s.id IS NULL ORDER BY r.id`,
    )
  }

  all(): void {
    const numbers = this.#database.prepare('SELECT no FROM batches WHERE no BETWEEN 1 AND ? ORDER BY no')
    for (const { no } of numbers.iterate(MAX_NO)) this.#one(Number(no))
    const others = this.#database.prepare('SELECT id, CAST(no AS TEXT) AS no FROM batches WHERE no NOT BETWEEN 1 AND ?')
    for (const { id, no } of others.iterate(MAX_NO))
      this.#findings.add(`its number is ${no}, should be 1 to ${MAX_NO}`, { batch: String(id) })
  }

  #one(no: number): void {
    this.batches++
    try {
      this.#check(no)
    } catch (error) {
      if (sqliteError(error) !== null || !(error instanceof RangeError)) throw error
      // A number that JavaScript cannot hold: nothing of ours writes one.
      this.#findings.add(`it cannot be read: ${error.message}`, { batch: `#${no}` })
    }
  }

  #check(no: number): void {
    const row = this.#row.get(no)
    if (row === undefined) return
    const place = { batch: String(row.id) }
    const replay = new Replay(this.#findings, place)
    for (const { seq, entries } of this.#log.iterate(no)) replay.row(seq, entries)
    replay.end()
    const facts = checkHead(row, replay, this.#findings, place)
    const counts = this.#checkJobs(no, replay, place)
    if (facts !== null) this.#compareCounts(facts, counts, replay, place)
    this.events += replay.seq
  }

  /** The jobs one by one; returns how many there are by state. */
  #checkJobs(no: number, replay: Replay, place: Place): number[] {
    const range = [no * JOBS_PER_BATCH, (no + 1) * JOBS_PER_BATCH] as const
    const counts = JOB_STATE_NAMES.map(() => 0)
    let next = 0
    for (const row of this.#jobs.iterate(...range)) {
      const index = Number(row.id) - range[0]
      if (index > next) this.#missing(next, index - 1, place)
      next = index + 1
      this.jobs++
      const state = checkJob(row, index, replay, this.#findings, { ...place, index })
      if (state !== null) counts[state]++
    }
    if (replay.whole && replay.states.length > next) this.#missing(next, replay.states.length - 1, place)
    if (replay.whole && replay.states.length < next)
      this.#findings.add(`it has ${next} jobs, should have ${replay.states.length} by the log`, place)
    for (const { id } of this.#strays.iterate(...range))
      this.#findings.add('it has a record but no spec', { ...place, index: Number(id) - range[0] })
    return counts
  }

  #missing(from: number, to: number, place: Place): void {
    const message = from === to ? 'it has no spec, should have one' : `it and the jobs up to ${to} have no spec`
    this.#findings.add(message, { ...place, index: from })
  }

  #compareCounts(facts: BatchFacts, counts: readonly number[], replay: Replay, place: Place): void {
    JOB_STATE_NAMES.forEach((name, state) => {
      this.#findings.expect(`facts.counts of ${name}`, facts.counts[state], counts[state], place)
    })
    const total = counts.reduce((sum, count) => sum + count, 0)
    const unended = counts.reduce((sum, count, state) => (isTerminal(state) ? sum : sum + count), 0)
    if (facts.phase === 'drained' && unended > 0)
      this.#findings.add(`it has drained with ${unended} jobs that have not ended`, place)
    if (replay.whole && facts.winner !== null && facts.winner >= total)
      this.#findings.add(`facts.winner is ${facts.winner}, should be below ${total}`, place)
  }
}
