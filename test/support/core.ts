import { type Batch, type BatchPlan, type JobPlan, newBatch } from '../../src/core/batch.ts'
import type { Effect, ErrorFacts, LogEntry, TimerKind } from '../../src/core/events.ts'
import { stateName } from '../../src/core/facts.ts'
import { JOB_STATE_NAMES, type JobStateName } from '../../src/core/states.ts'
import { type Input, step } from '../../src/core/step.ts'

/** When every scripted batch is accepted. */
export const T0 = 1_000_000

/** An error of a job's own, as an attempt reports it. */
export function boom(type = 'Boom'): ErrorFacts {
  return { type, code: 'kind_error', message: `${type} happened` }
}

/**
 * A batch played by hand, input by input. Each method returns what the turn did as lines in the core's order, short
 * enough to be compared whole: `job.failed 0`, `abort 1 sibling_failed`, `release 0`.
 */
export class Script {
  readonly batch: Batch
  /** Everything logged so far. */
  readonly log: LogEntry[] = []
  /** The turn of the acceptance. */
  readonly accepted: string[]
  now = T0

  constructor(plan: Partial<BatchPlan>, jobs: JobPlan[]) {
    this.batch = newBatch({ policy: 'all_settled', ...plan })
    this.accepted = this.input({ type: 'accepted', jobs })
  }

  input(input: Input): string[] {
    const effects = step(this.batch, input, this.now)
    for (const effect of effects) if (effect.type === 'log') this.log.push(effect.entry)
    return effects.map(line)
  }

  append(...jobs: JobPlan[]) {
    return this.input({ type: 'accepted', jobs })
  }

  /** Give these jobs their slots. */
  grant(...indexes: number[]) {
    return indexes.flatMap((index) => this.input({ type: 'granted', index }))
  }

  returns(index: number) {
    return this.input({ type: 'returned', index })
  }

  throws(index: number, error = boom()) {
    return this.input({ type: 'threw', index, error })
  }

  unwinds(index: number) {
    return this.input({ type: 'unwound', index })
  }

  due(timer: TimerKind, index = -1) {
    return this.input({ type: 'due', timer, index })
  }

  cancelJob(index: number, reason: string | null = null) {
    return this.input({ type: 'cancelJob', index, reason })
  }

  cancel(reason: string | null = null) {
    return this.input({ type: 'cancelBatch', reason })
  }

  close() {
    return this.input({ type: 'close' })
  }

  stop() {
    return this.input({ type: 'stop' })
  }

  shutDown() {
    return this.input({ type: 'shutDown' })
  }

  reschedule(index: number, change: { deadlineMs?: number | null; timeoutMs?: number | null }, startedAt = T0) {
    return this.input({ type: 'reschedule', index, ...change, startedAt })
  }

  /** Let time pass; clocks run out only when a test says so. */
  after(ms: number): this {
    this.now += ms
    return this
  }

  /** `running`, `aborting` or the outcome. */
  get state() {
    return stateName(this.batch)
  }

  get jobs(): JobStateName[] {
    return Array.from({ length: this.batch.total }, (_, i) => JOB_STATE_NAMES[this.batch.states[i]])
  }

  /** The errors of an ExceptionGroup as `[index, type]`, or null when the outcome is no group. */
  get group(): [number, string][] | null {
    return this.batch.error?.errors?.map(({ index, type }): [number, string] => [index, type]) ?? null
  }

  /** The newest event of a job. */
  last(index: number): LogEntry | undefined {
    return this.log.findLast((entry) => entry.index <= index && index < entry.index + entry.count && entry.index >= 0)
  }
}

/** Jobs without any clock. */
export function jobs(count: number, plan: JobPlan = {}): JobPlan[] {
  return Array.from({ length: count }, () => ({ ...plan }))
}

/** Only the lines of the log, or of one other sort of effect. */
export function only(lines: string[], prefix: string): string[] {
  return lines.filter((text) => text.startsWith(prefix))
}

/** What the core asks for, in a line. */
export function line(effect: Effect): string {
  switch (effect.type) {
    case 'log':
      return logLine(effect.entry)
    case 'abort':
      return `abort ${effect.index} ${effect.cause}`
    case 'arm':
      return `arm ${effect.timer}${at(effect.index)} +${effect.at - T0}`
    case 'disarm':
      return `disarm${effect.timer === undefined ? '' : ` ${effect.timer}`}${at(effect.index)}`
    case 'enqueue':
      return `enqueue ${range(effect.from, effect.to - effect.from)}${effect.resumed ? ' resumed' : ''}`
    default:
      return `release ${effect.index}`
  }
}

function logLine({ type, index, count, cause, decidedBy, state }: LogEntry): string {
  const parts: string[] = [type]
  if (index >= 0) parts.push(range(index, count))
  if (cause !== undefined) parts.push(cause)
  if (decidedBy !== undefined) parts.push(`by ${decidedBy}`)
  if (state !== undefined) parts.push(state)
  return parts.join(' ')
}

const at = (index: number) => (index < 0 ? '' : ` ${index}`)

const range = (from: number, count: number) => (count === 1 ? `${from}` : `${from}-${from + count - 1}`)
