import type { z } from 'zod'
import type { Clock } from '../clock.ts'
import type { HaltSignal } from '../halt.ts'
import type { JsonPieces } from '../json/raw.ts'

/** What every job has, whatever its kind. Durations in milliseconds; null or absent: none. */
export interface CommonSpec {
  kind: string
  name?: string
  timeoutMs?: number | null
  deadlineMs?: number | null
  queueTimeoutMs?: number | null
  delayMs?: number
  /** Higher starts first within the tenant. Default 0. */
  priority?: number
  shield?: boolean
  context?: Record<string, string>
  onRestart?: 'retry' | 'fail'
}

/** What one attempt at a job is given. */
export interface AttemptContext {
  /** Aborts for every cause (timeout, deadline, cancel, drain); `signal.reason` is a `StopReason`. */
  signal: AbortSignal
  /** The same stop, without the price of an AbortSignal: that is made when somebody asks for it. Absent: `signal` it is. */
  halt?: HaltSignal
  clock: Clock
  /** `now()` when the attempt got its slot. */
  startedAt: number
  /** Milliseconds the job waited from acceptance to its slot. */
  queuedMs: number
  tenantId: string
  batchId: string
  jobId: string
  index: number
  /** From 1; more than 1 only after a restart. */
  attempt: number
  /** The batch's `context` with the job's on top. */
  context: Readonly<Record<string, string>>
  /** The W3C `traceparent` the batch was submitted with, if any. */
  traceparent?: string
  /** Where traces are made: the `traceparent` of the attempt's own span, for requests to carry as it is. */
  span?: string
  /** Where traces are made: facts for the attempt's span, by the names of OpenTelemetry's conventions. Nothing that a tenant wrote. */
  annotate?(attributes: Readonly<Record<string, string | number>>): void
  /** Resolves when no earlier than `dueAt` on the clock; rejects with `signal.reason` when aborted first. Any length. */
  sleepUntil(dueAt: number): Promise<void>
  /** Have `done` called once what the attempt ends with is on disk, or dropped: until then it is in memory. */
  onRecorded(done: () => void): void
}

/**
 * A kind of job. `run` resolves with a JSON value, or rejects; once `signal` has aborted it must stop, and reject with
 * `signal.reason`, as soon as its work has really stopped (its socket closed): until it settles, it keeps its slot.
 */
export interface JobKind<Spec extends CommonSpec = CommonSpec> {
  /** The value of `kind`, `[a-z][a-z0-9_-]*`. */
  name: string
  /** One line for the OpenAPI document. */
  description?: string
  /** The fields of this kind beside the common ones; a strict object without `kind`. */
  spec: z.ZodObject
  /** Says yes to jobs of the shapes that most have, for less than `spec` takes. Not for kinds of others. */
  quick?: QuickCheck
  /** The target host (`host:port`) that the host cap counts, if the kind has one. */
  hostOf?(spec: Spec): string | undefined
  /**
   * Its sockets are opened by `src/egress`, and `objections` has the guard's verdict on them: a dry run may say that they are allowed. For
   * kinds of this service alone; whatever else opens sockets of its own is not judged.
   */
  guarded?: boolean
  /** What to do with an attempt that a crash interrupted, when the job does not say. Default `retry`. */
  onRestart?(spec: Spec): 'retry' | 'fail'
  /** A repeated attempt goes on from the first one's start, as a sleep does. Default: it starts anew. */
  resumes?: boolean
  /**
   * The fields of a spec that are secrets, each as the names on the way to it: `[['headers', 'cookie']]`. On disk they are
   * encrypted, for this job's target host only. `hostOf`, and after a restart `onRestart`, get null in their places.
   */
  secrets?(spec: Spec): readonly (readonly string[])[]
  /**
   * What stands against the job as far as it is known without I/O: where it would go, for instance. Asked at submission, also of a job
   * whose other fields are wrong: any field may have any value, or be absent.
   */
  objections?(job: Readonly<Record<string, unknown>>, tenantId: string): Objection[]
  /**
   * What is kept of a result when the tenant keeps as many bytes as it may: `own`, all of it, since its spec has it already, or what the
   * function leaves of it, which is the very same value where there is nothing to leave out. Default: nothing. Where anything is left
   * out, a job that would have succeeded fails with `response_too_large`.
   */
  whenFull?: 'own' | ((result: unknown) => unknown)
  /**
   * It stops for `context.halt`, and takes the context as it is: neither copied nor spread. What it does not ask for is not made then.
   */
  halts?: boolean
  /** A result, also one beside an error, as the JSON text that `JSON.stringify` makes of it. Default: that. For what is written often. */
  write?(result: unknown): string | JsonPieces
  run(spec: Spec, context: AttemptContext): Promise<unknown>
}

/** A short way to what a kind's schema says of a job: never another answer, if any. */
export interface QuickCheck {
  /** The fields it knows. A job with another one is the schema's. */
  fields: ReadonlySet<string>
  /** The kind's own fields of a job as its schema would give them back, in that order; undefined: the schema is to say. */
  check(job: Readonly<Record<string, unknown>>): object | undefined
}

/** What a tenant keeps on disk and may keep, in bytes. */
export interface StorageBound {
  stored: number
  limit: number
}

/** What is wrong with a field of a job. */
export interface Objection {
  field: string
  /** A sentence that the tenant sees. */
  detail: string
  /** Where the field's form is not what is wrong, e.g. `egress_denied`. */
  code?: string
  /** Of a destination that is refused: by which kind of rule. For the operator's log and metrics only. */
  refusal?: string
}

/** An error that ends a job as `failed` with a `type` and `code` of api.md, and facts that the caller may see. */
export class JobError extends Error {
  readonly type: string
  readonly code: string
  readonly facts: Record<string, unknown>
  /** A result to keep beside the error: the response behind an `http_status`. */
  readonly result: unknown
  constructor(
    type: string,
    code: string,
    message: string,
    facts: Record<string, unknown> = {},
    result: unknown = null,
    options?: ErrorOptions,
  ) {
    super(message, options)
    this.type = type
    this.code = code
    this.facts = facts
    this.result = result
  }
  override get name(): string {
    return this.type
  }
}

/** Why an attempt was told to stop: the `reason` of its signal, the first cause. */
export class StopReason extends Error {
  /** `user`, `sibling_failed`, `batch_cancel`, `batch_timeout`, `stop`, `decided`, `shutdown`, `timeout` or `deadline`. */
  readonly why: string
  constructor(why: string) {
    super(`Stopped: ${why}.`)
    this.why = why
  }
  override get name(): string {
    return 'AbortError'
  }
}
