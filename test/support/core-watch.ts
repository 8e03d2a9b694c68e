import { expect } from 'vitest'
import { type Batch, type BatchPlan, type JobPlan, newBatch, reasonOf } from '../../src/core/batch.ts'
import type { Effect, LogEntry, TimerKind } from '../../src/core/events.ts'
import { factsOf } from '../../src/core/facts.ts'
import { restart, restoreBatch, type SavedJobs } from '../../src/core/restart.ts'
import { type Cause, JOB_STATE_NAMES } from '../../src/core/states.ts'
import { type Input, step } from '../../src/core/step.ts'
import { type Happening, Oracle } from './core-oracle.ts'
import { Replay } from './core-replay.ts'

/** What the watch knows of a job by itself. */
interface Watched {
  acceptedAt: number
  startedAt: number | null
  timeoutMs: number | null
  deadlineMs: number | null
  queueTimeoutMs: number | null
  delayMs: number
  shield: boolean
  /** The first of its own clocks that ran out, and the first cause of any other sort. */
  own: string | null
  other: string | null
  reason: string | null
  requests: number
  aborted: boolean
  /** It ended before a restart: its record is in the store only. */
  forgotten: boolean
}

/** When every watched batch is accepted. */
const START = 1_000

interface Armed {
  timer: TimerKind
  index: number
  at: number
}

/**
 * A batch under watch: every input goes to the core and, beside it, to the replay and the oracle; after every turn all
 * that semantics.md promises of it is checked. It keeps the engine's side of the bargain: what is enqueued and armed.
 */
export class Watch {
  batch: Batch
  readonly replay: Replay
  readonly jobs: Watched[] = []
  readonly enqueued = new Set<number>()
  readonly armed = new Map<string, Armed>()
  now = START
  readonly #plan: BatchPlan
  readonly #oracle: Oracle
  /** `hedge`: how many jobs may have been let go so far. */
  #mayStart = 1
  #batchFired = false
  #settledAs: unknown = null

  constructor(plan: BatchPlan, jobs: JobPlan[]) {
    this.#plan = plan
    this.batch = newBatch(plan)
    const isShielded = (index: number) => this.jobs[index].shield
    this.replay = new Replay(isShielded)
    this.#oracle = new Oracle(plan, this.replay, isShielded)
    this.input({ type: 'accepted', jobs })
  }

  get open(): boolean {
    return this.#oracle.open
  }

  /** One turn, checked. */
  input(input: Input): void {
    this.#note(input)
    this.#oracle.asked(input)
    const effects = step(this.batch, input, this.now)
    this.#checkOrder(effects)
    const began = effects.flatMap((effect) => (effect.type === 'log' ? this.#logged(effect.entry, input) : []))
    for (const effect of effects) this.#perform(effect)
    this.#checkReleases(effects, began)
    this.#checkAborts(effects)
    this.#checkEnded(input)
    this.#oracle.check()
    this.#checkReadModel()
    this.#checkClocks()
    this.#checkQueue()
  }

  /** An input that comes too late: it changes nothing at all. */
  stray(input: Input): void {
    const before = snapshot(this.batch)
    expect(step(this.batch, input, this.now), JSON.stringify(input)).toEqual([])
    expect(snapshot(this.batch), JSON.stringify(input)).toEqual(before)
  }

  /** A timer of the engine runs out: it is not armed any more. */
  fire(key: string): void {
    const timer = this.armed.get(key)
    if (timer === undefined) return
    this.armed.delete(key)
    this.input({ type: 'due', timer: timer.timer, index: timer.index })
  }

  /** The process ends between two turns, and the next goes on from the record; `repeats` says which attempts it repeats. */
  restart(repeats: (index: number) => boolean): void {
    const saved = this.#saved()
    // As it is read back from the store.
    const facts = JSON.parse(JSON.stringify(factsOf(this.batch)))
    const { seq, settledAt } = this.batch
    this.batch = restoreBatch(this.#plan, facts, seq, { settledAt }, saved)
    this.armed.clear()
    this.enqueued.clear()
    this.#mayStart = Number.POSITIVE_INFINITY
    this.#noteRestart(repeats)
    this.replay.isRestarting = true
    this.#restarted(restart(this.batch, saved, repeats, this.now))
    this.replay.isRestarting = false
  }

  #saved(): SavedJobs {
    const { batch, replay } = this
    const plans = this.jobs.map((job): JobPlan => ({ ...job }))
    const unended = replay.live().flatMap((index) => {
      const state = batch.states[index]
      const attempts = replay.attempts[index]
      if (attempts === 0) return []
      const { own, other, reason, requests } = this.jobs[index]
      // Both are causes that the core logged.
      const cause = (other ?? own) as Cause | null
      return [{ index, state, attempts, cause, reason, cancelRequests: requests }]
    })
    const failures = structuredClone(batch.failures)
    return { states: batch.states.slice(0, batch.total), plan: (index) => plans[index], unended, failures }
  }

  /** Which clocks ran out meanwhile; a job that has started once waits for no first start. */
  #noteRestart(repeats: (index: number) => boolean): void {
    for (const [index, job] of this.jobs.entries()) {
      const state = this.replay.states[index]
      job.forgotten ||= !this.replay.isLive(index)
      if (this.replay.attempts[index] > 0) Object.assign(job, { queueTimeoutMs: null, delayMs: 0 })
      if (state !== 'queued' && (state !== 'running' || !repeats(index))) continue
      job.startedAt = null
      const isPast = (ms: number | null) => ms !== null && job.acceptedAt + ms <= this.now
      if (isPast(job.deadlineMs)) job.own ??= 'deadline'
      else if (isPast(job.queueTimeoutMs)) job.own ??= 'queue_timeout'
    }
  }

  #restarted(effects: Effect[]): void {
    const { timeoutMs } = this.#plan
    let isDue = this.replay.settled === null && timeoutMs != null && START + timeoutMs <= this.now
    this.#batchFired = isDue
    const due = () => {
      if (isDue) this.#oracle.asked({ type: 'due', timer: 'batch', index: -1 })
      isDue = false
    }
    for (const effect of effects) {
      if (effect.type !== 'log') continue
      const { entry } = effect
      // The interrupted attempts end first.
      const isOver = this.replay.aborting !== null || this.replay.live().length === 0
      if (entry.cause === 'batch_timeout' || (entry.type === 'batch.settled' && isOver)) due()
      this.#logged(entry, { type: 'restart' })
    }
    due()
    expect(effects.filter(({ type }) => type === 'release')).toEqual([])
    for (const effect of effects) this.#perform(effect)
    this.#oracle.check()
    this.#checkReadModel()
    this.#checkClocks()
    this.#checkQueue()
  }

  /** What the input says of causes and clocks, by semantics.md 2 and 4. */
  #note(input: Input): void {
    if (input.type === 'accepted') for (const plan of input.jobs) this.jobs.push(watched(plan, this.now))
    if (input.type === 'cancelJob') this.#noteCancel(input.index, input.reason)
    if (input.type === 'shutDown') for (const index of this.replay.live()) this.jobs[index].other ??= 'shutdown'
    if (input.type === 'due') this.#noteDue(input.timer, input.index)
    if (input.type === 'reschedule') this.#noteReschedule(input)
  }

  #noteCancel(index: number, reason: string | null): void {
    const job = this.jobs[index]
    job.requests++
    if (job.other === null) job.reason = reason
    job.other ??= 'user'
  }

  #noteDue(timer: TimerKind, index: number): void {
    if (timer === 'hedge') this.#mayStart++
    if (timer === 'batch') this.#batchFired = true
    if (index >= 0 && timer !== 'delay') this.jobs[index].own ??= timer
  }

  #noteReschedule({ index, deadlineMs, timeoutMs }: Extract<Input, { type: 'reschedule' }>): void {
    const job = this.jobs[index]
    if (deadlineMs !== undefined) {
      job.deadlineMs = deadlineMs
      if (deadlineMs !== null && job.acceptedAt + deadlineMs <= this.now) job.own ??= 'deadline'
    }
    if (timeoutMs === undefined || job.own !== null) return
    job.timeoutMs = timeoutMs
    if (timeoutMs === 0) job.own = 'timeout'
    else if (timeoutMs !== null && job.startedAt !== null && job.startedAt + timeoutMs <= this.now) job.own = 'timeout'
  }

  /** Returns the jobs that ended by this entry after they had started. */
  #logged(entry: LogEntry, input: Happening): number[] {
    expect(entry.at).toBe(this.now)
    const ended = this.replay.ended.length
    this.replay.apply(entry)
    const indexes = this.replay.ended.slice(ended)
    if (entry.type === 'batch.aborting')
      for (const index of this.replay.live()) {
        const job = this.jobs[index]
        // `batch.aborting` has a cause.
        if (!job.shield) job.other ??= entry.cause as string
      }
    if (entry.type === 'job.started') this.jobs[entry.index].startedAt = this.now
    if (entry.type === 'job.cancelling') this.#checkCancelling(entry)
    for (const index of indexes) this.#checkEnd(entry, index, input)
    this.#oracle.logged(
      entry,
      indexes.map((index) => ({ index, state: this.replay.states[index], type: errorType(entry, input) })),
    )
    return indexes.filter((index) => this.jobs[index].startedAt !== null)
  }

  #checkCancelling({ index, cause }: LogEntry): void {
    const { own, other, aborted } = this.jobs[index]
    // A clock that ran out while the service was down is due only after the attempts that it cut off have ended.
    const noted = this.replay.isRestarting ? [other] : [own, other].filter((each) => each !== null)
    expect(noted).toEqual([cause])
    expect(aborted).toBe(false)
  }

  /** "Error of its own, else a delivered value, else any cause but its own timeout makes it cancelled, else timed_out." */
  #checkEnd(entry: LogEntry, index: number, input: Happening): void {
    const { own, other } = this.jobs[index]
    const isOwn = 'index' in input && input.index === index
    if (this.#plan.policy === 'hedge' && this.enqueued.has(index)) this.#mayStart++
    if (isOwn && input.type === 'threw') return expect(entry.type).toBe('job.failed')
    if (isOwn && input.type === 'returned') return expect(entry.type).toBe('job.succeeded')
    if (input.type === 'restart' && own === null && other === null) return expect(entry.type).toBe('job.failed')
    expect({ type: entry.type, cause: entry.cause }).toEqual(
      other === null ? { type: 'job.timed_out', cause: own } : { type: 'job.cancelled', cause: other },
    )
    if (other !== null) expect(entry.reason ?? null).toBe(this.#reason(index))
  }

  #reason(index: number): string | null {
    const { other, reason } = this.jobs[index]
    if (other === 'user') return reason
    return other === 'batch_cancel' ? (this.#oracle.cancelled?.reason ?? null) : null
  }

  /** Releases come last; whatever stands before them is done before a slot is handed on. */
  #checkOrder(effects: Effect[]): void {
    const types = effects.map(({ type }) => type)
    const first = types.indexOf('release')
    if (first >= 0) expect(new Set(types.slice(first))).toEqual(new Set(['release']))
  }

  #perform(effect: Effect): void {
    if (effect.type === 'arm') this.#arm(effect)
    if (effect.type === 'disarm')
      for (const [key, { timer, index }] of this.armed)
        if (index === effect.index && (effect.timer ?? timer) === timer) this.armed.delete(key)
    if (effect.type === 'enqueue') for (let i = effect.from; i < effect.to; i++) this.#enqueue(i)
  }

  #arm({ timer, index, at }: Armed): void {
    // The hedge counts from a start: the job let go last has had its.
    if (timer === 'hedge') expect(this.replay.states[Math.max(...this.enqueued)]).not.toBe('queued')
    else expect(at).toBeGreaterThan(this.now)
    expect(at).toBe(this.#dueAt(timer, index))
    this.armed.set(`${timer} ${index}`, { timer, index, at })
  }

  #dueAt(timer: TimerKind, index: number): number {
    const job = this.jobs[index]
    switch (timer) {
      case 'batch':
        return START + (this.#plan.timeoutMs ?? Number.NaN)
      case 'hedge':
        return this.now + (this.#plan.hedgeDelayMs ?? 0)
      case 'timeout':
        return (job.startedAt ?? Number.NaN) + (job.timeoutMs ?? Number.NaN)
      case 'deadline':
        return job.acceptedAt + (job.deadlineMs ?? Number.NaN)
      case 'queue_timeout':
        return job.acceptedAt + (job.queueTimeoutMs ?? Number.NaN)
      default:
        return job.acceptedAt + job.delayMs
    }
  }

  #enqueue(index: number): void {
    expect(this.enqueued.has(index), `job ${index} is enqueued twice`).toBe(false)
    expect(this.replay.states[index]).toBe('queued')
    expect(this.now).toBeGreaterThanOrEqual(this.jobs[index].acceptedAt + this.jobs[index].delayMs)
    this.enqueued.add(index)
  }

  #checkReleases(effects: Effect[], began: number[]): void {
    expect(effects.flatMap((effect) => (effect.type === 'release' ? [effect.index] : []))).toEqual(began)
  }

  /** An abort for each job that began to be cancelled, after that was logged; never a second one. */
  #checkAborts(effects: Effect[]): void {
    const told: number[] = []
    const cancelling: number[] = []
    for (const effect of effects) {
      if (effect.type === 'log' && effect.entry.type === 'job.cancelling') cancelling.push(effect.entry.index)
      if (effect.type !== 'abort') continue
      told.push(effect.index)
      expect(cancelling).toContain(effect.index)
      expect(effect.cause).toBe(this.jobs[effect.index].own ?? this.jobs[effect.index].other)
      this.jobs[effect.index].aborted = true
    }
    expect(told).toEqual(cancelling)
  }

  /** What must be over after this input is over. */
  #checkEnded(input: Input): void {
    if (!('index' in input) || input.index < 0) return
    const { own, other } = this.jobs[input.index]
    const state = this.replay.states[input.index]
    if (['returned', 'threw', 'unwound'].includes(input.type)) expect(this.replay.isLive(input.index)).toBe(false)
    if (own !== null || other !== null) expect(['queued', 'running']).not.toContain(state)
  }

  /** Invariants 1 and 3: the log says what the batch says. */
  #checkReadModel(): void {
    const { batch, replay } = this
    const states = [...batch.states.subarray(0, batch.total)].map((state) => JOB_STATE_NAMES[state])
    expect(states).toEqual(replay.states)
    expect([...batch.counts]).toEqual(JOB_STATE_NAMES.map((state) => replay.count(state)))
    expect(batch).toMatchObject({
      seq: replay.seq,
      open: this.#oracle.open,
      outcome: replay.outcome,
      error: replay.error,
      winner: replay.winner(this.#plan.policy),
      settledAt: replay.settled?.at ?? null,
      drainedAt: replay.drained?.at ?? null,
      phase: phaseOf(replay),
    })
    expect(batch.liveUnshielded).toBe(replay.live().filter((index) => !this.jobs[index].shield).length)
    expect(batch.cancel?.reason).toBe(this.#oracle.cancelled?.reason)
    for (const [index, { requests, other, forgotten }] of this.jobs.entries()) {
      if (forgotten) continue
      expect(batch.attempts.get(index)).toBe(replay.attempts[index])
      expect(batch.cancelRequests.get(index) ?? 0).toBe(requests)
      if (other !== null) expect(reasonOf(batch, index)).toBe(this.#reason(index))
    }
    this.#checkFrozen()
  }

  /** Reads never change after the end. */
  #checkFrozen(): void {
    const { outcome, error, settledAt, winner, cancel, timeoutFired } = this.batch
    if (outcome === null) return
    const facts = structuredClone({ outcome, error, settledAt, winner, cancel, timeoutFired })
    this.#settledAs ??= facts
    expect(facts).toEqual(this.#settledAs)
  }

  /** Every clock that should run does, and no other: none of an ended job, none of a settled batch. */
  #checkClocks(): void {
    for (const [index, job] of this.jobs.entries()) {
      const state = this.replay.states[index]
      const isArmed = (timer: TimerKind) => this.armed.has(`${timer} ${index}`)
      if (!this.replay.isLive(index)) {
        expect([...this.armed.values()].filter((timer) => timer.index === index)).toEqual([])
        continue
      }
      // While it is being cancelled a clock may still run: what it adds no longer matters.
      if (state === 'cancelling') continue
      expect({ timeout: isArmed('timeout'), deadline: isArmed('deadline'), queue: isArmed('queue_timeout') }).toEqual({
        timeout: state === 'running' && job.timeoutMs !== null,
        deadline: job.deadlineMs !== null,
        queue: state === 'queued' && job.queueTimeoutMs !== null,
      })
      if (isArmed('delay')) expect({ state, isDelayed: job.delayMs > 0 }).toEqual({ state: 'queued', isDelayed: true })
    }
    const runs = this.replay.settled === null && this.#plan.timeoutMs != null && !this.#batchFired
    expect(this.armed.has('batch -1')).toBe(runs && this.#plan.timeoutMs !== 0)
    if (this.replay.settled !== null) expect(this.armed.has('hedge -1')).toBe(false)
  }

  /** Every queued job waits for its slot, for its delay, or for the hedge; and the hedge for something. */
  #checkQueue(): void {
    const queued = this.replay.live().filter((index) => this.replay.states[index] === 'queued')
    const isDelayed = (index: number) => this.armed.has(`delay ${index}`)
    const held = queued.filter((index) => !this.enqueued.has(index) && !isDelayed(index))
    const isHedging = this.#plan.policy === 'hedge' && phaseOf(this.replay) === 'running'
    if (!isHedging) return expect(held).toEqual([])
    expect(this.enqueued.size).toBeLessThanOrEqual(this.#mayStart)
    const isWaiting = queued.length > held.length
    if (held.length > 0 && !isWaiting) expect(this.armed.has('hedge -1')).toBe(true)
  }
}

function watched(plan: JobPlan, acceptedAt: number): Watched {
  const { timeoutMs = null, deadlineMs = null, queueTimeoutMs = null, delayMs = 0, shield = false } = plan
  const clocks = { timeout: timeoutMs, deadline: deadlineMs, queue_timeout: queueTimeoutMs }
  const own = Object.entries(clocks).find(([, ms]) => ms === 0)?.[0] ?? null
  const causes = { own, other: null, reason: null, requests: 0, aborted: false, forgotten: false }
  return { acceptedAt, startedAt: null, timeoutMs, deadlineMs, queueTimeoutMs, delayMs, shield, ...causes }
}

function phaseOf({ aborting, settled, drained }: Replay): string {
  if (drained !== null) return 'drained'
  if (settled !== null) return 'settled'
  return aborting === null ? 'running' : 'aborting'
}

/** The type of the error that a job ended with, whatever its policy makes of it. */
function errorType(entry: LogEntry, input: Happening): string {
  if (entry.type === 'job.failed' && input.type === 'restart') return 'InterruptedError'
  if (entry.type === 'job.failed' && input.type === 'threw') return input.error.type
  return entry.type === 'job.timed_out' ? 'TimeoutError' : 'CancelledError'
}

/** Everything that a batch is, comparable. */
export function snapshot(batch: Batch): unknown {
  const columns = { attempts: batch.attempts, timeouts: batch.timeouts }
  const indexes = Array.from({ length: batch.total }, (_, index) => index)
  const values = Object.entries(columns).map(([name, column]) => [name, indexes.map((index) => column.get(index))])
  return structuredClone({ ...batch, ...Object.fromEntries(values) })
}
