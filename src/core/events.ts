import type { AbortCause, Cause, Outcome } from './states.ts'

/** An error as policies and logs carry it. */
export interface ErrorFacts {
  type: string
  code: string
  message: string
}

/** An error of one job of a batch. */
export interface IndexedError extends ErrorFacts {
  index: number
}

/** The error of a batch: of one job (`index`), of the batch itself, or an ExceptionGroup (`errors`, in completion order). */
export interface OutcomeError extends ErrorFacts {
  index?: number
  errors?: IndexedError[]
}

/** The types of the log, semantics.md 2 and 3. */
export type EventType =
  | 'batch.accepted'
  | 'batch.aborting'
  | 'batch.settled'
  | 'batch.drained'
  | 'job.queued'
  | 'job.started'
  | 'job.cancelling'
  | 'job.succeeded'
  | 'job.failed'
  | 'job.timed_out'
  | 'job.cancelled'

/**
 * An entry of a batch's log. Where `count` is above 1 it stands for that many events of the same kind in a row: `seq` and
 * `index` rise by one from each to the next, everything else is the same. That is how ten thousand jobs are queued, or
 * cancelled before they started, in a few bytes.
 */
export interface LogEntry {
  seq: number
  count: number
  type: EventType
  /** Milliseconds since the epoch. */
  at: number
  /** The job, or -1 for an event of the batch. */
  index: number
  cause?: Cause
  reason?: string | null
  attempt?: number
  decidedBy?: number
  state?: Outcome
  error?: OutcomeError | null
}

/** A clock of a job or of its batch. */
export type TimerKind = 'timeout' | 'deadline' | 'queue_timeout' | 'delay' | 'batch' | 'hedge'

/** What the engine has to do after a step, in this order. */
export type Effect =
  /** Write the entry down; show it once it is on disk. */
  | { type: 'log'; entry: LogEntry }
  /** Fire the AbortController of the running attempt at `index`. */
  | { type: 'abort'; index: number; cause: Cause | AbortCause }
  /** Call back with `due` at `at`; replaces a timer of the same kind and index. */
  | { type: 'arm'; timer: TimerKind; index: number; at: number }
  /** Forget one timer, or with `timer` absent all of the job's. */
  | { type: 'disarm'; timer?: TimerKind; index: number }
  /** The queued jobs from `from` up to but not including `to` may start; `resumed`: before everything that is only queued. */
  | { type: 'enqueue'; from: number; to: number; resumed?: boolean }
  /** The started job at `index` has ended: its slot may be handed on, after everything before this. */
  | { type: 'release'; index: number }
