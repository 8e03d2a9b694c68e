import type { Clock } from '../../clock.ts'
import { type AttemptEnd, failure, inOnePiece, runAttempt } from '../../jobs/attempt.ts'
import type { CommonSpec, JobKind } from '../../jobs/kind.ts'
import type { Store } from '../../store/store.ts'
import type { AwayAttempt, AwayEnd, Place } from './attempts.ts'
import { type AttemptFacts, contextOf } from './context.ts'
import type { Runtime } from './runtime.ts'
import type { BatchSealer, Sealer } from './sealer.ts'
import type { EngineTraces } from './traces.ts'

/** Sealers that are kept for the batches whose attempts were here last. */
const KEPT = 64

/** What goes on around an attempt of another engine's job. */
export interface GuestOptions {
  signal: AbortSignal
  onRecorded(done: () => void): void
}

/**
 * Slots, given to attempts of other engines' jobs and taken of them for our own, where several engines share one store. Only the work
 * moves: turns, caps, clocks and the record of a job stay with the engine that has its batch.
 */
export class Exchange {
  readonly #runtime: Runtime
  readonly #store: Store
  readonly #sealer: Sealer
  readonly #kinds: ReadonlyMap<string, JobKind>
  readonly #clock: Clock
  readonly #beforeStart: () => void
  readonly #traces: EngineTraces | undefined
  readonly #sealers = new Map<string, BatchSealer>()

  constructor(options: {
    runtime: Runtime
    store: Store
    sealer: Sealer
    kinds: ReadonlyMap<string, JobKind>
    clock: Clock
    /** Called before each start. Default: nothing. */
    beforeStart?: (() => void) | undefined
    traces?: EngineTraces | undefined
  }) {
    this.#beforeStart = options.beforeStart ?? (() => undefined)
    this.#runtime = options.runtime
    this.#store = options.store
    this.#sealer = options.sealer
    this.#kinds = options.kinds
    this.#clock = options.clock
    this.#traces = options.traces
  }

  /** The names of the kinds that are loaded, in order. */
  get kinds(): string[] {
    return [...this.#kinds.keys()].sort()
  }

  /** Slots of ours that nobody has. */
  get free(): number {
    return this.#runtime.slots.free
  }

  /** True while a job of ours waits for nothing but a slot. */
  get isShort(): boolean {
    return this.#runtime.slots.isShort
  }

  /** Told, often, when slots or jobs may have come or gone. */
  set onChange(listener: () => void) {
    this.#runtime.slots.onChange = listener
  }

  /** See {@link Runtime.sendAway}. */
  sendAway(place: Place): Promise<void> | null {
    return this.#runtime.sendAway(place)
  }

  /** Keep a slot of ours for others until `work` settles; null: none is free, or a job of ours waits for one. */
  host(work: () => Promise<void>): Promise<void> | null {
    return this.#runtime.slots.host(work)
  }

  /** Resolves when everything up to now is on disk. */
  committed(): Promise<void> {
    return this.#runtime.journal.committed()
  }

  /** Run an attempt of another engine's job to its end, in a slot that the caller has; never rejects. */
  async attempt(away: AwayAttempt, around: GuestOptions): Promise<AwayEnd> {
    let text: string
    try {
      ;[text] = await this.#store.specs(away.no, { from: away.index, limit: 1 })
    } catch {
      // Whoever sent it may have another way to the store.
      return { type: 'interrupted', begun: false }
    }
    return await this.#run(text, away, around)
  }

  async #run(text: string | undefined, away: AwayAttempt, around: GuestOptions): Promise<AttemptEnd> {
    try {
      if (text === undefined) throw new Error('The store has no spec for a job that was accepted.')
      const spec: CommonSpec = this.#sealerOf(away.batchId).read(text, away.index)
      const kind = this.#kinds.get(spec.kind)
      if (kind === undefined) throw new Error(`The kind ${spec.kind} is not loaded.`)
      const { no: _no, onRestart: _onRestart, ...rest } = away
      const facts: AttemptFacts = rest
      const services = { clock: this.#clock, timers: this.#runtime.timers }
      // Whoever stood still may have lost the right to it.
      this.#beforeStart()
      const trace = this.#traces?.attempt(facts, kind.name)
      const end = await runAttempt(kind, spec, contextOf(services, { kind, spec }, facts, around, trace))
      trace?.end(end, around.signal)
      return inOnePiece(end)
    } catch (thrown) {
      return failure(thrown)
    }
  }

  #sealerOf(batchId: string): BatchSealer {
    const known = this.#sealers.get(batchId)
    if (known !== undefined) return known
    if (this.#sealers.size >= KEPT) this.#sealers.clear()
    const sealer = this.#sealer.batch(batchId)
    this.#sealers.set(batchId, sealer)
    return sealer
  }
}
