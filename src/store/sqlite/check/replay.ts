import type { EventType, LogEntry } from '../../../core/events.ts'
import { isTerminal, Job, type Phase } from '../../../core/states.ts'
import { unpackEntries } from '../../entries.ts'
import { JOBS_PER_BATCH } from '../../store.ts'
import type { Findings, Place } from './findings.ts'

type JobEvent = Exclude<EventType, `batch.${string}` | 'job.queued'>

/** The state that a job's event puts it into, and those it can be in before. */
const TRANSITIONS: Record<JobEvent, { to: number; from: readonly number[] }> = {
  'job.started': { to: Job.running, from: [Job.queued] },
  'job.cancelling': { to: Job.cancelling, from: [Job.running] },
  'job.succeeded': { to: Job.succeeded, from: [Job.running, Job.cancelling] },
  'job.failed': { to: Job.failed, from: [Job.running, Job.cancelling] },
  'job.timed_out': { to: Job.timedOut, from: [Job.queued, Job.cancelling] },
  'job.cancelled': { to: Job.cancelled, from: [Job.queued, Job.cancelling] },
}

const PHASES: Partial<Record<EventType, { to: Phase; from: readonly (Phase | null)[] }>> = {
  'batch.accepted': { to: 'running', from: [null] },
  'batch.aborting': { to: 'aborting', from: ['running'] },
  'batch.settled': { to: 'settled', from: ['running', 'aborting'] },
  'batch.drained': { to: 'drained', from: ['settled'] },
}

/** A batch and its jobs as its log tells them: what the rows and records must say as well. */
export class Replay {
  readonly states: number[] = []
  readonly attempts: number[] = []
  /** The event that ended a job; one for all jobs of a run. */
  readonly ends: (LogEntry | undefined)[] = []
  /** From which job on, and when, jobs were accepted. */
  readonly accepted: { from: number; at: number }[] = []
  /** Of each event of the batch the first. */
  readonly events: Partial<Record<EventType, LogEntry>> = {}
  phase: Phase | null = null
  /** The newest event. */
  seq = 0
  /** False from the first row on that is missing or cannot be read: what follows from the log is not known then. */
  whole = true
  readonly #findings: Findings
  readonly #place: Place

  constructor(findings: Findings, place: Place) {
    this.#findings = findings
    this.#place = place
  }

  /** The next row of the log. */
  row(seq: unknown, text: unknown): void {
    if (!this.whole) return
    const entries = seq === this.seq + 1 ? readEntries(text, seq) : null
    if (entries !== null) for (const entry of entries) this.#entry(entry)
    else {
      this.whole = false
      if (seq === this.seq + 1) this.#add(`the row of the log that begins with event ${seq} cannot be read`)
      else this.#findings.expect('the next event of the log', seq, this.seq + 1, this.#place)
    }
  }

  /** There are no more rows. */
  end(): void {
    if (this.seq > 0 || !this.whole) return
    this.whole = false
    this.#add('it has no log')
  }

  #entry(entry: LogEntry): void {
    if (this.phase === 'drained') this.#add(`event ${entry.seq} comes after batch.drained, which should be the last`)
    if (this.seq === 0 && entry.type !== 'batch.accepted')
      this.#add(`event 1 is ${entry.type}, should be batch.accepted`)
    this.seq += entry.count
    if (entry.type in PHASES) this.#batchEvent(entry)
    else for (let offset = 0; offset < entry.count; offset++) this.#jobEvent(entry, entry.index + offset, offset)
  }

  #batchEvent(entry: LogEntry): void {
    const phase = PHASES[entry.type]
    if (phase === undefined) return
    if (!phase.from.includes(this.phase))
      this.#add(`event ${entry.seq} is ${entry.type} when the batch is ${this.phase ?? 'not accepted yet'}`)
    this.phase = phase.to
    this.events[entry.type] ??= entry
  }

  #jobEvent(entry: LogEntry, index: number, offset: number): void {
    if (entry.type === 'job.queued' && entry.attempt === undefined) return this.#queued(entry, index, offset)
    const state = this.states[index]
    // The other types are the batch's.
    const { to, from } =
      entry.type === 'job.queued' ? { to: Job.queued, from: [Job.running] } : TRANSITIONS[entry.type as JobEvent]
    if (state === undefined || !from.includes(state)) return this.#impossible(entry, index, offset)
    if (entry.type === 'job.started') this.#started(entry, index)
    this.states[index] = to
    if (isTerminal(to)) this.ends[index] = entry
  }

  #queued(entry: LogEntry, index: number, offset: number): void {
    if (index !== this.states.length) return this.#impossible(entry, index, offset)
    this.states.push(Job.queued)
    this.attempts.push(0)
    if (offset === 0) this.accepted.push({ from: index, at: entry.at })
  }

  #started(entry: LogEntry, index: number): void {
    this.attempts[index]++
    const place = { ...this.#place, index }
    this.#findings.expect(`the attempt of event ${entry.seq}`, entry.attempt, this.attempts[index], place)
  }

  #impossible(entry: LogEntry, index: number, offset: number): void {
    const state = this.states[index]
    const why =
      state === undefined
        ? 'of a job that was not queued'
        : isTerminal(state)
          ? 'of a job that had ended'
          : 'out of order'
    this.#findings.add(`event ${entry.seq + offset} is ${entry.type} ${why}`, { ...this.#place, index })
  }

  #add(message: string): void {
    this.#findings.add(message, this.#place)
  }
}

/** The entries of a row; null when they are not what the writer writes. */
function readEntries(text: unknown, seq: number): LogEntry[] | null {
  try {
    const entries = unpackEntries(String(text), seq)
    return entries.length > 0 && entries.every(isEntry) ? entries : null
  } catch {
    // It is the finding.
    return null
  }
}

function isEntry({ type, at, index, count }: LogEntry): boolean {
  const isOfBatch = type?.startsWith('batch.') ?? false
  const inRange = isOfBatch ? index === -1 && count === 1 : index >= 0 && count >= 1 && index + count <= JOBS_PER_BATCH
  return type !== undefined && Number.isInteger(at) && Number.isInteger(index) && Number.isInteger(count) && inRange
}
