import type { Batch } from '../../core/batch.ts'
import { Column } from '../../core/column.ts'
import type { TimerKind } from '../../core/events.ts'
import type { LogPage } from '../../store/store.ts'
import type { BatchHeader } from '../views.ts'
import type { RunningAttempt } from './attempts.ts'
import type { BatchQueue } from './queues.ts'
import type { SpecWindow } from './specs.ts'
import type { Tenant } from './tenants.ts'
import type { Timer, TimerOwner, Timers } from './timers.ts'

const TIMER_KINDS: readonly TimerKind[] = ['timeout', 'deadline', 'queue_timeout', 'delay', 'batch', 'hedge']

/** A batch that has not drained, with all that runs for it. It leaves memory when its last event is on disk. */
export class LiveBatch implements TimerOwner {
  readonly id: string
  readonly no: number
  readonly tenant: Tenant
  readonly header: BatchHeader
  /** Characters of the header as JSON. */
  readonly headerChars: number
  readonly core: Batch
  readonly queue: BatchQueue
  readonly specs: SpecWindow
  /** The kind of each job, by its number in `EngineCounts`. */
  readonly kinds = new Column()
  /** By index. */
  readonly attempts = new Map<number, RunningAttempt>()
  /** When jobs that a restart cut off had started, by index; `resumes`: their work goes on from there. */
  readonly startedBefore = new Map<number, { at: number; resumes: boolean }>()
  /** The place in the order of acceptance of the jobs from an index on. */
  readonly orders: { from: number; order: number }[] = []
  /** The newest event that is on disk and may be shown. */
  publishedSeq = 0
  /** The end of what must be done one after the other. */
  #last: Promise<unknown> = Promise.resolve()
  readonly #timers: Timers
  readonly #armed = new Map<number, Timer>()
  readonly #onDue: (live: LiveBatch, kind: TimerKind, index: number) => void
  readonly #listeners = new Set<() => void>()
  #watchers = 0
  readonly #pages = new Map<string, Promise<LogPage>>()

  constructor(options: {
    id: string
    no: number
    tenant: Tenant
    header: BatchHeader
    headerChars: number
    core: Batch
    queue: BatchQueue
    specs: SpecWindow
    timers: Timers
    onDue: (live: LiveBatch, kind: TimerKind, index: number) => void
  }) {
    this.id = options.id
    this.no = options.no
    this.tenant = options.tenant
    this.header = options.header
    this.headerChars = options.headerChars
    this.core = options.core
    this.queue = options.queue
    this.specs = options.specs
    this.#timers = options.timers
    this.#onDue = options.onDue
  }

  /** The place in the order of acceptance of a job. */
  orderOf(index: number): number {
    return this.orders.findLast(({ from }) => from <= index)?.order ?? 0
  }

  /** Start a clock, in place of one of the same kind. */
  arm(kind: TimerKind, index: number, at: number): void {
    const key = keyOf(kind, index)
    const old = this.#armed.get(key)
    if (old !== undefined) this.#timers.cancel(old)
    this.#armed.set(key, this.#timers.arm(this, kind, index, at))
  }

  /** Forget one clock, or all of a job's. */
  disarm(kind: TimerKind | undefined, index: number): void {
    if (kind === undefined) for (const each of TIMER_KINDS) this.#disarm(keyOf(each, index))
    else this.#disarm(keyOf(kind, index))
  }

  due(kind: TimerKind, index: number): void {
    this.#armed.delete(keyOf(kind, index))
    this.#onDue(this, kind, index)
  }

  /** Events up to `seq` are on disk: whoever follows is told. */
  publish(seq: number): void {
    this.publishedSeq = seq
    for (const listener of [...this.#listeners]) listener()
  }

  /** Whether somebody waits for the end of any of its jobs. */
  get isWatched(): boolean {
    return this.#watchers > 0
  }

  /**
   * Call `listener` after each commit that showed something new of this batch, until the returned function is called, once.
   * @param watches - It waits for the end of any job, not for that of the batch alone.
   */
  onPublish(listener: () => void, watches = false): () => void {
    this.#listeners.add(listener)
    if (watches) this.#watchers++
    return () => {
      this.#listeners.delete(listener)
      if (watches) this.#watchers--
    }
  }

  /** One reading of a page of the log for all who ask for the same one at the same time. */
  page(key: string, read: () => Promise<LogPage>): Promise<LogPage> {
    let page = this.#pages.get(key)
    if (page === undefined) {
      page = read().finally(() => this.#pages.delete(key))
      this.#pages.set(key, page)
    }
    return page
  }

  /** Run changes that read what the one before has written (appends, rescheduled specs) one after the other. */
  serially<T>(change: () => Promise<T>): Promise<T> {
    const changed = this.#last.then(change)
    this.#last = changed.catch(() => {
      // The next one does not depend on this one: its caller has the error.
    })
    return changed
  }

  /** Let go of everything that could call back. */
  close(): void {
    this.specs.close()
    for (const timer of this.#armed.values()) this.#timers.cancel(timer)
    this.#armed.clear()
  }

  #disarm(key: number): void {
    const timer = this.#armed.get(key)
    if (timer === undefined) return
    this.#timers.cancel(timer)
    this.#armed.delete(key)
  }
}

function keyOf(kind: TimerKind, index: number): number {
  return (index + 1) * TIMER_KINDS.length + TIMER_KINDS.indexOf(kind)
}
