import type { Clock } from '../../clock.ts'
import { acceptedAt } from '../../core/batch.ts'
import type { Cause } from '../../core/states.ts'
import type { Input } from '../../core/step.ts'
import { Halt } from '../../halt.ts'
import { type AttemptEnd, bounded, failure, runAttempt } from '../../jobs/attempt.ts'
import { type CommonSpec, type JobKind, StopReason, type StorageBound } from '../../jobs/kind.ts'
import type { BatchNo, Store } from '../../store/store.ts'
import { type EndOnRecord, isInPieces, writeAhead } from './ahead.ts'
import { type AttemptFacts, contextOf, type Running } from './context.ts'
import type { LiveBatch } from './live-batch.ts'
import type { Tenant } from './tenants.ts'
import type { Timer, TimerOwner, Timers } from './timers.ts'
import type { EngineTraces } from './traces.ts'

/** After this many milliseconds an attempt that ignores its abort counts as stuck. */
export const STUCK_AFTER_MS = 5_000

/** An attempt that has its slot: one AbortController, fired once, for the first cause. */
export class RunningAttempt implements TimerOwner, Running {
  readonly startedAt: number
  readonly halt = new Halt()
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
    return this.halt.signal
  }

  /** Tell the work to stop. Only the first call does anything. */
  abort(cause: Cause, now: number): void {
    if (this.halt.aborted) return
    this.#watch = this.#timers.arm(this, 'sleep', 0, now + STUCK_AFTER_MS)
    this.halt.abort(new StopReason(cause))
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
  store: Pick<Store, 'putAhead'>
  /** Resolves when everything up to now is on disk. */
  committed(): Promise<void>
  /** Called when all that the attempt waits for is there: the tenant may have moved meanwhile, and its attempts with it. */
  beforeStart(): void
  /** The bound of bytes that a tenant has reached; null: it has not. */
  overBound(tenant: Tenant): StorageBound | null
  traces?: EngineTraces | undefined
}

/** An attempt that is to run in another process: its spec is where `no` and `index` say. */
export interface AwayAttempt extends AttemptFacts {
  no: BatchNo
  /** What becomes of it when that process ends. */
  onRestart: 'retry' | 'fail'
}

/** How an attempt in another process ended. `interrupted`: it does not run there (any more), and has no end of its own. */
export type AwayEnd = AttemptEnd | { type: 'interrupted' /** False: none of the work was done. */; begun: boolean }

/** A slot in another process. */
export interface Place {
  /** Resolves when the work has stopped there, or the process is gone; never rejects. `signal` tells it to stop, as it does here. */
  run(attempt: AwayAttempt, signal: AbortSignal): Promise<AwayEnd>
}

/** How an attempt ended. `interrupted`: where it ran is gone. `resumes`: its work goes on from its first start. */
export type Outcome = EndOnRecord | { type: 'interrupted'; repeats: boolean; resumes: boolean }

/** What the core is told of it. */
export function inputOf(index: number, outcome: Outcome): Input {
  switch (outcome.type) {
    case 'threw':
      return { type: 'threw', index, error: outcome.facts }
    case 'interrupted':
      return { type: 'interrupted', index, repeats: outcome.repeats }
    default:
      return { type: outcome.type, index }
  }
}

/** Run the job at `index` of a batch, here or at a place, from reading its spec to the end of its work; never rejects. */
export async function attempt(
  services: AttemptServices,
  live: LiveBatch,
  index: number,
  running: RunningAttempt,
  place?: Place,
): Promise<Outcome> {
  try {
    const taken = live.specs.take(index, live.core.total)
    const spec = taken instanceof Promise ? await taken : taken
    const kind = services.kinds.get(spec.kind)
    if (kind === undefined) throw new Error(`The kind ${spec.kind} is not loaded any more.`)
    const onRestart = restartRule(kind, spec)
    // A request that must not be repeated is not sent before it is on record that it was.
    if (onRestart === 'fail') await services.committed()
    const facts = factsOf(live, index, running)
    services.beforeStart()
    const over = () => services.overBound(live.tenant)
    if (place === undefined) {
      const trace = services.traces?.attempt(facts, kind.name)
      const end = await runAttempt(kind, spec, contextOf(services, { kind, spec }, facts, running, trace), over)
      trace?.end(end, running.halt)
      return isInPieces(end) ? await writeAhead(end, { ...services, no: live.no, index, signal: running.signal }) : end
    }
    const end = await place.run({ ...facts, no: live.no, onRestart }, running.signal)
    // What the tenant keeps is known here alone.
    if (end.type !== 'interrupted') return bounded(kind, end, over())
    return { type: 'interrupted', repeats: !end.begun || onRestart === 'retry', resumes: kind.resumes ?? false }
  } catch (thrown) {
    return failure(thrown)
  }
}

/** What becomes of an attempt that a crash interrupts. */
export function restartRule(kind: JobKind, spec: CommonSpec): 'retry' | 'fail' {
  return spec.onRestart ?? kind.onRestart?.(spec) ?? 'retry'
}

function factsOf(live: LiveBatch, index: number, { startedAt }: RunningAttempt): AttemptFacts {
  return {
    startedAt,
    queuedMs: Math.max(0, startedAt - acceptedAt(live.core, index)),
    tenantId: live.tenant.id,
    batchId: live.id,
    index,
    attempt: live.core.attempts.get(index),
    context: live.header.context,
    traceparent: live.header.traceparent,
  }
}
