import type { BatchBody, JobBody } from './submissions.ts'

/** A job's end as somebody saw it. */
export interface SeenEnd {
  view: string
  at: number
  life: number
}

/** A batch that was acknowledged, with all that was ever seen of it. */
export interface Acknowledged {
  id: string
  tenant: string
  key: string
  body: BatchBody
  /** The answer to the first submission that was answered. */
  answer: string
  /** Jobs by name, appended ones included; `sure` is whether the append was acknowledged. */
  jobs: Map<string, { body: JobBody; sure: boolean }>
  cancelled: boolean
  /** Names of jobs that somebody tried to reschedule. */
  changed: Set<string>
  /** The texts of events by number. */
  events: Map<number, string>
  ends: Map<number, SeenEnd>
}

/** A stall is told of once it is over, perhaps in the next life. */
const STALL_MS = 2_000

/** What all clients saw; what contradicts what was seen before is noted at once. */
export class Ledger {
  readonly batches: Acknowledged[] = []
  readonly violations: string[] = []
  lost = 0
  /** Jobs that a crash cut off: those made again, and those that ended so. */
  repeated = 0
  interrupted = 0
  /** Jobs with more requests than attempts: a crash came before the record of a start. */
  unrecorded = 0
  doubled = 0
  /** Whether work may move while no process ends. */
  moves = false
  /** Which process runs: the first is 1. */
  life = 1
  /** When each of the lives began, by `Date.now()`. */
  readonly begun = [Date.now()]
  /** When replicas lost their leases though nothing was done to them: the machine was too slow for them. */
  readonly stalls: number[] = []

  /** Whether a replica may have stood still in a life: what it had sent may have gone on beside what the next owner made of it. */
  hasStalled(life: number): boolean {
    const [from, to] = [this.begun[life - 1], this.begun[life] ?? Number.POSITIVE_INFINITY]
    return this.stalls.some((at) => at >= from && at <= to + STALL_MS)
  }

  accept(batch: Pick<Acknowledged, 'id' | 'tenant' | 'key' | 'body' | 'answer'>): Acknowledged {
    const jobs = new Map(batch.body.jobs.map((job) => [job.name, { body: job, sure: true }]))
    const accepted = {
      ...batch,
      jobs,
      cancelled: false,
      changed: new Set<string>(),
      events: new Map(),
      ends: new Map(),
    }
    if (this.batches.some(({ id }) => id === batch.id)) this.fail(`${batch.id} answers two keys`, 'doubled')
    this.batches.push(accepted)
    return accepted
  }

  fail(what: string, sort?: 'lost' | 'doubled'): void {
    if (sort !== undefined) this[sort]++
    this.violations.push(what)
  }

  /** An event of a stream; the same number must always be the same text. */
  event(batch: Acknowledged, seq: number, text: string): void {
    const before = batch.events.get(seq)
    if (before !== undefined && before !== text) this.fail(`${batch.id}: event ${seq} was ${before} and is ${text}`)
    batch.events.set(seq, text)
    const job = JSON.parse(text).job
    if (job !== undefined) this.end(batch, job)
  }

  /** The view of an ended job; it must always be the same. */
  end(batch: Acknowledged, job: { index: number }): void {
    const view = JSON.stringify(job)
    const before = batch.ends.get(job.index)
    if (before === undefined) batch.ends.set(job.index, { view, at: performance.now(), life: this.life })
    else if (before.view !== view)
      this.fail(`${batch.id}: job ${job.index} ended as ${before.view} and then as ${view}`)
  }
}
