import type { Clock } from '../../clock.ts'
import type { Cause } from '../../core/states.ts'
import { jobIdOf } from '../../ids.ts'
import { type AttemptEnd, failure, runAttempt } from '../../jobs/attempt.ts'
import { type AttemptContext, type CommonSpec, type JobKind, StopReason, type StorageBound } from '../../jobs/kind.ts'
import type { LiveBatch } from './live-batch.ts'
import type { Tenant } from './tenants.ts'
import type { Timer, TimerOwner, Timers } from './timers.ts'

/** After this many milliseconds an attempt that ignores its abort counts as stuck. */
export const STUCK_AFTER_MS = 5_000

/** An attempt that has its slot: one AbortController, fired once, for the first cause. */
export class RunningAttempt implements TimerOwner {
  readonly startedAt: number
  readonly #controller = new AbortController()
  readonly #timers: Timers
  readonly #onStuck: () => void
  #watch: Timer | null = null
  #recorded: (() => void)[] | undefined
  /** True from `STUCK_AFTER_MS` after the abort until the work stops. */
  stuck = false

  constructor(options: { startedAt: number; timers: Timers; onStuck: () => void }) {
    this.startedAt = options.startedAt
    this.#timers = options.timers
    this.#onStuck = options.onStuck
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Tell the work to stop. Only the first call does anything. */
  abort(cause: Cause, now: number): void {
    if (this.signal.aborted) return
    this.#watch = this.#timers.arm(this, 'sleep', 0, now + STUCK_AFTER_MS)
    this.#controller.abort(new StopReason(cause))
  }

  due(): void {
    this.stuck = true
    this.#onStuck()
  }

  /** Whether anybody waits for what it ends with to be on disk. */
  get isAwaited(): boolean {
    return this.#recorded !== undefined
  }

  onRecorded(done: () => void): void {
    this.#recorded ??= []
    this.#recorded.push(done)
  }

  /** What it ended with is on disk, or dropped. */
  recorded(): void {
    for (const done of this.#recorded?.splice(0) ?? []) done()
  }

  /** The work has stopped. */
  ended(): void {
    if (this.#watch !== null) this.#timers.cancel(this.#watch)
  }
}

/** What attempts need of the engine around them. */
export interface AttemptServices {
  clock: Clock
  timers: Timers
  kinds: ReadonlyMap<string, JobKind>
  /** Resolves when everything up to now is on disk. */
  committed(): Promise<void>
  /** The bound of bytes that a tenant has reached; null: it has not. */
  overBound(tenant: Tenant): StorageBound | null
}

/** Run the job at `index` of a batch, from reading its spec to the end of its work; never rejects. */
export async function attempt(
  services: AttemptServices,
  live: LiveBatch,
  index: number,
  running: RunningAttempt,
): Promise<AttemptEnd> {
  try {
    const taken = live.specs.take(index, live.core.total)
    const spec = taken instanceof Promise ? await taken : taken
    const kind = services.kinds.get(spec.kind)
    if (kind === undefined) throw new Error(`The kind ${spec.kind} is not loaded any more.`)
    // A request that must not be repeated is not sent before it is on record that it was.
    if (restartRule(kind, spec) === 'fail') await services.committed()
    const over = () => services.overBound(live.tenant)
    return await runAttempt(kind, spec, contextOf(services, live, index, spec, running), over)
  } catch (thrown) {
    return failure(thrown)
  }
}

/** What becomes of an attempt that a crash interrupts. */
export function restartRule(kind: JobKind, spec: CommonSpec): 'retry' | 'fail' {
  return spec.onRestart ?? kind.onRestart?.(spec) ?? 'retry'
}

function contextOf(
  { clock, timers }: AttemptServices,
  live: LiveBatch,
  index: number,
  spec: CommonSpec,
  running: RunningAttempt,
): AttemptContext {
  const { signal, startedAt } = running
  const acceptedAt = live.core.accepted.findLast(({ from }) => from <= index)?.at ?? startedAt
  return {
    signal,
    clock,
    startedAt,
    queuedMs: startedAt - acceptedAt,
    tenantId: live.tenant.id,
    batchId: live.id,
    jobId: jobIdOf(live.id, index),
    index,
    attempt: live.core.attempts.get(index),
    context: spec.context === undefined ? live.header.context : { ...live.header.context, ...spec.context },
    traceparent: live.header.traceparent,
    sleepUntil: (dueAt) => sleepUntil(clock, timers, signal, dueAt),
    onRecorded: (done) => running.onRecorded(done),
  }
}

/** Resolves at `dueAt`, never before; rejects with the signal's reason when that aborts first. */
export function sleepUntil(clock: Clock, timers: Timers, signal: AbortSignal, dueAt: number): Promise<void> {
  if (signal.aborted) return Promise.reject(signal.reason)
  if (dueAt <= clock.now()) return Promise.resolve()
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      timers.cancel(timer)
      reject(signal.reason)
    }
    const owner: TimerOwner = {
      due() {
        signal.removeEventListener('abort', onAbort)
        resolve()
      },
    }
    const timer = timers.arm(owner, 'sleep', 0, dueAt)
    signal.addEventListener('abort', onAbort, { once: true })
  })
}
