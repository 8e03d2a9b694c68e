import type { EventType, LogEntry, OutcomeError } from '../../src/core/events.ts'
import type { JobStateName, Outcome, Policy } from '../../src/core/states.ts'

const DECIDED_BY_JOB: readonly Policy[] = ['any', 'race', 'quorum', 'hedge']

/** From which states an event may lead, semantics.md 2. */
const MOVES: Partial<Record<EventType, { from: readonly JobStateName[]; to: JobStateName }>> = {
  'job.started': { from: ['queued'], to: 'running' },
  'job.cancelling': { from: ['running'], to: 'cancelling' },
  'job.succeeded': { from: ['running', 'cancelling'], to: 'succeeded' },
  'job.failed': { from: ['running', 'cancelling'], to: 'failed' },
  'job.timed_out': { from: ['queued', 'cancelling'], to: 'timed_out' },
  'job.cancelled': { from: ['queued', 'cancelling'], to: 'cancelled' },
}

const LIVE: readonly JobStateName[] = ['queued', 'running', 'cancelling']

/**
 * What somebody knows of a batch who has read its log and nothing else: the read model of invariant 3, written without
 * the core. An entry that may not follow is refused.
 */
export class Replay {
  seq = 0
  states: JobStateName[] = []
  attempts: number[] = []
  aborting: LogEntry | null = null
  settled: LogEntry | null = null
  drained: LogEntry | null = null
  /** The jobs in the order in which they ended. */
  readonly ended: number[] = []
  /** Only in the turn after a restart may a running job be queued again. */
  isRestarting = false
  readonly #isShielded: (index: number) => boolean

  constructor(isShielded: (index: number) => boolean) {
    this.#isShielded = isShielded
  }

  apply(entry: LogEntry): void {
    if (entry.seq !== this.seq + 1) refuse(entry, `follows seq ${this.seq}`)
    if (entry.count < 1) refuse(entry, 'stands for nothing')
    this.seq += entry.count
    if (this.drained !== null) refuse(entry, 'follows batch.drained')
    if (entry.index < 0) this.#batchEvent(entry)
    else for (let i = 0; i < entry.count; i++) this.#jobEvent(entry, entry.index + i)
  }

  isLive(index: number): boolean {
    return LIVE.includes(this.states[index])
  }

  live(): number[] {
    return this.states.flatMap((_, index) => (this.isLive(index) ? [index] : []))
  }

  count(state: JobStateName): number {
    return this.states.filter((other) => other === state).length
  }

  get outcome(): Outcome | null {
    return this.settled?.state ?? null
  }

  get error(): OutcomeError | null {
    return this.settled?.error ?? null
  }

  /** The job that decided the batch's outcome, for the policies that have one. */
  winner(policy: Policy): number | null {
    if (!DECIDED_BY_JOB.includes(policy)) return null
    if (this.aborting !== null) {
      const { cause, decidedBy } = this.aborting
      if (cause !== 'decided' || decidedBy === undefined) return null
      return policy === 'race' || this.states[decidedBy] === 'succeeded' ? decidedBy : null
    }
    if (this.settled === null) return null
    return policy === 'race' || this.outcome === 'succeeded' ? (this.ended.at(-1) ?? null) : null
  }

  #batchEvent(entry: LogEntry): void {
    if (entry.count !== 1) refuse(entry, 'is an event of the batch')
    if ((entry.type === 'batch.accepted') !== (entry.seq === 1)) refuse(entry, 'is not where it belongs')
    if (entry.type === 'batch.aborting') {
      if (this.aborting !== null || this.settled !== null) refuse(entry, 'comes too late')
      this.aborting = entry
    } else if (entry.type === 'batch.settled') {
      if (this.settled !== null) refuse(entry, 'comes twice')
      this.settled = entry
    } else if (entry.type === 'batch.drained') {
      if (this.settled === null || this.live().length > 0) refuse(entry, 'comes too early')
      this.drained = entry
    }
  }

  #jobEvent(entry: LogEntry, index: number): void {
    if (entry.type === 'job.queued' && this.isRestarting) return this.#requeued(entry, index)
    if (entry.type === 'job.queued') {
      if (index !== this.states.length) refuse(entry, 'leaves jobs out')
      this.states.push('queued')
      this.attempts.push(0)
      return
    }
    const move = MOVES[entry.type]
    const state = this.states[index]
    if (move === undefined || !move.from.includes(state)) return refuse(entry, `finds job ${index} ${state}`)
    if (entry.type === 'job.started') this.#started(entry, index)
    this.states[index] = move.to
    if (!this.isLive(index)) this.ended.push(index)
  }

  #requeued(entry: LogEntry, index: number): void {
    if (this.states[index] !== 'running') refuse(entry, `finds job ${index} ${this.states[index]}`)
    if (entry.attempt !== this.attempts[index] + 1) refuse(entry, 'is not for the next attempt')
    this.states[index] = 'queued'
  }

  #started(entry: LogEntry, index: number): void {
    if (this.aborting !== null && !this.#isShielded(index)) refuse(entry, 'follows batch.aborting')
    if (entry.attempt !== this.attempts[index] + 1) refuse(entry, 'is not the next attempt')
    this.attempts[index]++
  }
}

function refuse(entry: LogEntry, why: string): never {
  throw new Error(`${JSON.stringify(entry)} ${why}`)
}
