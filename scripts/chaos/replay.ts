import { countsOf, LIVE, mayMove, stateAfter } from '../../test/support/log-rules.ts'

/** An event as it comes over the wire. */
export interface WireEvent {
  seq: number
  type: string
  at: string
  index?: number
  attempt?: number
  cause?: string
  reason?: string | null
  state?: string
  // biome-ignore lint/suspicious/noExplicitAny: a job view.
  job?: any
}

/** What the log says of a job. */
export interface ReplayedJob {
  state: string
  attempts: number
  /** When its first and its newest attempt began. */
  firstStart: string | null
  lastStart: string | null
  finishedAt: string | null
  cause: string | null
}

/** The read model that a whole log gives, and everything in the log that must not be; written without the service's code. */
export class Replay {
  readonly jobs: ReplayedJob[] = []
  readonly problems: string[] = []
  /** The most jobs that held a slot at once. */
  mostAtOnce = 0
  settled: WireEvent | null = null
  drained = false
  #aborting = false
  #seq = 0
  #at = ''
  readonly #isShielded: (index: number) => boolean

  constructor(events: readonly WireEvent[], isShielded: (index: number) => boolean) {
    this.#isShielded = isShielded
    for (const event of events) this.#apply(event)
    if (!this.drained) this.problems.push('the log does not end with batch.drained')
  }

  get counts(): Record<string, number> {
    return countsOf(this.jobs.map(({ state }) => state))
  }

  #apply(event: WireEvent): void {
    const { seq, type, at, index } = event
    const refuse = (why: string) => this.problems.push(`${type} ${index ?? ''} (seq ${seq}): ${why}`)
    if (seq !== this.#seq + 1) refuse(`follows ${this.#seq}`)
    if (at < this.#at) refuse(`its stamp ${at} is before ${this.#at}`)
    if (this.drained) refuse('follows batch.drained')
    this.#seq = seq
    this.#at = at
    if (index === undefined) this.#applyToBatch(event, refuse)
    else if (type === 'job.queued') this.#queue(event, index, refuse)
    else this.#move(event, index, refuse)
    const held = this.jobs.filter(({ state }) => state === 'running' || state === 'cancelling').length
    this.mostAtOnce = Math.max(this.mostAtOnce, held)
  }

  #applyToBatch(event: WireEvent, refuse: (why: string) => void): void {
    const live = this.jobs.filter(({ state }) => LIVE.has(state)).length
    if (event.type === 'batch.aborting') {
      if (this.#aborting || this.settled !== null) refuse('comes twice or too late')
      this.#aborting = true
    }
    if (event.type === 'batch.settled') {
      if (this.settled !== null) refuse('comes twice')
      this.settled = event
    }
    if (event.type === 'batch.drained') {
      if (this.settled === null || live > 0) refuse(`${live} jobs are live`)
      this.drained = true
    }
  }

  /** For the first time, or again after a crash cut its attempt off. */
  #queue(event: WireEvent, index: number, refuse: (why: string) => void): void {
    const job = this.jobs[index]
    if (job === undefined) {
      if (index !== this.jobs.length) refuse(`follows job ${this.jobs.length - 1}`)
      if (event.attempt !== undefined) refuse('is no first attempt')
      this.jobs.push({
        state: 'queued',
        attempts: 0,
        firstStart: null,
        lastStart: null,
        finishedAt: null,
        cause: null,
      })
      return
    }
    if (job.state !== 'running') refuse(`the job was ${job.state}`)
    if (event.attempt !== job.attempts + 1) refuse(`attempt ${event.attempt} follows ${job.attempts}`)
    job.state = 'queued'
  }

  #move({ type, at, attempt, cause }: WireEvent, index: number, refuse: (why: string) => void): void {
    const job = this.jobs[index]
    const to = stateAfter(type)
    if (job === undefined) {
      refuse('there is no such job')
      return
    }
    if (!mayMove(job.state, to)) refuse(`the job was ${job.state}`)
    job.state = to
    if (to === 'running') {
      if (attempt !== ++job.attempts) refuse(`attempt ${attempt} is number ${job.attempts}`)
      if (this.#aborting && !this.#isShielded(index)) refuse('starts after batch.aborting')
      job.firstStart ??= at
      job.lastStart = at
    }
    job.cause = cause ?? null
    if (!LIVE.has(to)) job.finishedAt = at
  }
}
