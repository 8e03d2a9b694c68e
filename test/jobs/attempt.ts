import { type Clock, systemClock } from '../../src/clock.ts'
import { Egress, type EgressOptions } from '../../src/egress/egress.ts'
import { DEFAULT_FETCH_LIMITS, type FetchLimits } from '../../src/jobs/fetch/limits.ts'
import type { FetchResult } from '../../src/jobs/fetch/result.ts'
import type { FetchParts } from '../../src/jobs/fetch/run.ts'
import { fetchKind } from '../../src/jobs/fetch.ts'
import { type AttemptContext, JobError, StopReason } from '../../src/jobs/kind.ts'
import { RawJson } from '../../src/json/raw.ts'
import { openGuard } from '../support/guard.ts'
import { type Origin, startOrigin } from '../support/origin.ts'

/** A clock that stands still until it is advanced. */
export class ManualClock implements Clock {
  #now = 1_000
  readonly #timers = new Set<{ at: number; fire: () => void }>()

  now(): number {
    return this.#now
  }

  /** Timers that are armed. */
  get armed(): number {
    return this.#timers.size
  }

  after(delayMs: number, fire: () => void): { cancel(): void } {
    const timer = { at: this.#now + delayMs, fire }
    this.#timers.add(timer)
    return { cancel: () => void this.#timers.delete(timer) }
  }

  advance(ms: number): void {
    this.#now += ms
    for (const timer of this.#timers) {
      if (timer.at > this.#now) continue
      this.#timers.delete(timer)
      timer.fire()
    }
  }
}

/** The context of an attempt, with what the test cares about on top. */
export function attempt(own: Partial<AttemptContext> = {}): AttemptContext {
  const clock = own.clock ?? systemClock
  return {
    signal: new AbortController().signal,
    clock,
    startedAt: own.startedAt ?? clock.now(),
    queuedMs: 0,
    tenantId: 'tenant',
    batchId: 'batch',
    jobId: 'job',
    index: 0,
    attempt: 1,
    context: {},
    onRecorded: (done) => done(),
    sleepUntil: () => Promise.reject(new Error('not in this test')),
    ...own,
  }
}

/** What a client reads of a result. */
export type ReadResult = Omit<FetchResult, 'body'> & { body: unknown }

function readResult(result: FetchResult): ReadResult {
  const { body } = result
  return body instanceof RawJson ? { ...result, body: JSON.parse(body.text) } : result
}

/** A fetch as a client writes it. */
export type FetchInput = { url: string } & Record<string, unknown>

/** An origin, an egress and the fetch kind over it. */
export class FetchBench implements AsyncDisposable {
  readonly origin: Origin
  readonly egress: Egress
  readonly kind: ReturnType<typeof fetchKind>

  constructor(origin: Origin, parts: Parameters<typeof fetchKind>[0]) {
    this.origin = origin
    this.egress = parts.egress
    this.kind = fetchKind(parts)
  }

  /** Validate and run one fetch. A body that is JSON text already is shown as its value. */
  async run(input: FetchInput, own: Partial<AttemptContext> = {}): Promise<ReadResult> {
    const spec = this.kind.spec.parse(input)
    // `spec` is what the kind's own schema made of it, and the result is what a fetch resolves with.
    const end = this.kind.run({ kind: 'fetch', ...spec } as never, attempt(own)) as Promise<FetchResult>
    return end.then(readResult, (error: unknown) => {
      if (!(error instanceof JobError) || error.result === null) throw error
      // A fetch keeps nothing else beside an error.
      throw Object.assign(error, { result: readResult(error.result as FetchResult) })
    })
  }

  /** Run a path of the origin. */
  get(path: string, input: Record<string, unknown> = {}, own: Partial<AttemptContext> = {}): Promise<ReadResult> {
    return this.run({ url: this.origin.url(path), ...input }, own)
  }

  /** The error that a path ends with. */
  async failure(
    path: string,
    input: Record<string, unknown> = {},
    own: Partial<AttemptContext> = {},
  ): Promise<unknown> {
    return this.get(path, input, own).then(
      (result) => Promise.reject(new Error(`succeeded with ${result.status}`)),
      (error: unknown) => error,
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.egress.close()
    await this.origin[Symbol.asyncDispose]()
  }
}

/** Start all that a test of fetch needs. */
export async function startBench(
  options: {
    egress?: EgressOptions
    limits?: Partial<FetchLimits>
    tls?: { key: string; cert: string }
    parts?: Partial<FetchParts>
  } = {},
): Promise<FetchBench> {
  const origin = await startOrigin({ tls: options.tls })
  const egress = new Egress({ guard: openGuard(), ...options.egress })
  return new FetchBench(origin, { egress, limits: { ...DEFAULT_FETCH_LIMITS, ...options.limits }, ...options.parts })
}

/** An attempt that can be stopped, its reason, and how many listeners its signal has. */
export function stoppable(): { signal: AbortSignal; reason: StopReason; stop: () => void; listeners: () => number } {
  const controller = new AbortController()
  const reason = new StopReason('user')
  let listeners = 0
  const { signal } = controller
  const add = signal.addEventListener.bind(signal)
  const remove = signal.removeEventListener.bind(signal)
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++
    add(...args)
  }
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--
    remove(...args)
  }
  return { signal, reason, stop: () => controller.abort(reason), listeners: () => listeners }
}
