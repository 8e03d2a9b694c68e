import type { Clock } from '../../clock.ts'
import type { HaltSignal } from '../../halt.ts'
import { jobIdOf } from '../../ids.ts'
import type { AttemptContext, CommonSpec, JobKind } from '../../jobs/kind.ts'
import type { TimerOwner, Timers } from './timers.ts'
import type { AttemptTrace } from './traces.ts'

/** What an attempt is told of its job beside the spec. `context` is the batch's. */
export type AttemptFacts = Pick<
  AttemptContext,
  'startedAt' | 'queuedMs' | 'tenantId' | 'batchId' | 'index' | 'attempt' | 'context' | 'traceparent'
>

/** Who can be told to stop, and when what it ends with is on disk. */
export interface Running {
  readonly signal: AbortSignal
  /** The same, for who does not need an AbortSignal. */
  readonly halt?: HaltSignal
  onRecorded(done: () => void): void
}

/** What is the same for all jobs. */
type Around = { clock: Clock; timers: Timers }

/** All that a kind is given with its spec. @param trace - Where the attempt is traced. */
export function contextOf(
  around: Around,
  { kind, spec }: { kind: JobKind; spec: CommonSpec },
  facts: AttemptFacts,
  running: Running,
  trace?: AttemptTrace,
): AttemptContext {
  const context = new JobContext(around, spec, facts, running)
  if (trace !== undefined) Object.assign(context, { span: trace.traceparent, annotate: trace.annotate })
  return kind.halts ? context : whole(context)
}

/** What is seldom asked for is made when it is. */
class JobContext implements AttemptContext {
  readonly clock: Clock
  readonly startedAt: number
  readonly queuedMs: number
  readonly tenantId: string
  readonly batchId: string
  readonly index: number
  readonly attempt: number
  readonly context: Readonly<Record<string, string>>
  readonly traceparent?: string
  readonly halt: HaltSignal
  readonly #running: Running
  readonly #timers: Timers

  constructor({ clock, timers }: Around, spec: CommonSpec, facts: AttemptFacts, running: Running) {
    this.clock = clock
    this.startedAt = facts.startedAt
    this.queuedMs = facts.queuedMs
    this.tenantId = facts.tenantId
    this.batchId = facts.batchId
    this.index = facts.index
    this.attempt = facts.attempt
    this.context = spec.context === undefined ? facts.context : { ...facts.context, ...spec.context }
    if (facts.traceparent !== undefined) this.traceparent = facts.traceparent
    this.halt = running.halt ?? running.signal
    this.#running = running
    this.#timers = timers
  }

  get signal(): AbortSignal {
    return this.#running.signal
  }

  get jobId(): string {
    return jobIdOf(this.batchId, this.index)
  }

  get sleepUntil(): AttemptContext['sleepUntil'] {
    return (dueAt) => sleepUntil(this.clock, this.#timers, this.halt, dueAt)
  }

  get onRecorded(): AttemptContext['onRecorded'] {
    return (done) => this.#running.onRecorded(done)
  }
}

/** As an object of its own fields, which others may take apart and copy as they like. */
function whole(context: AttemptContext): AttemptContext {
  const { signal, jobId, sleepUntil, onRecorded } = context
  return { ...context, signal, jobId, sleepUntil, onRecorded }
}

/** Resolves at `dueAt`, never before; rejects with the signal's reason when that aborts first. */
export function sleepUntil(clock: Clock, timers: Timers, signal: HaltSignal, dueAt: number): Promise<void> {
  if (signal.aborted) return Promise.reject(signal.reason)
  if (dueAt <= clock.now()) return Promise.resolve()
  return new Promise((resolve, reject) => {
    const onAbort = {
      handleEvent() {
        timers.cancel(timer)
        reject(signal.reason)
      },
    }
    const owner: TimerOwner = {
      due() {
        signal.removeEventListener('abort', onAbort)
        resolve()
      },
    }
    const timer = timers.arm(owner, 'sleep', 0, dueAt)
    signal.addEventListener('abort', onAbort)
  })
}
