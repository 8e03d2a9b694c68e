import { type Clock, MAX_TIMER_MS, type TimerHandle } from '../../clock.ts'
import type { TimerKind } from '../../core/events.ts'
import { Heap, type HeapItem } from './heap.ts'

/** Timers that fire in one turn of the event loop: a hundred thousand deadlines at one instant must not block it. */
const AT_ONCE = 1_000

/** Who is told when a timer is due. */
export interface TimerOwner {
  /** Called once, never before the timer's time. */
  due(kind: TimerKind | 'sleep', index: number): void
}

/** Earlier first; at one instant a batch's timeout before its jobs' clocks: what is due with it is cancelled by it (semantics.md 4). */
function firesBefore(a: Timer, b: Timer): boolean {
  return a.at < b.at || (a.at === b.at && a.kind === 'batch' && b.kind !== 'batch')
}

/** An armed timer. */
export interface Timer extends HeapItem {
  readonly at: number
  readonly owner: TimerOwner
  readonly kind: TimerKind | 'sleep'
  readonly index: number
}

/**
 * Any number of deadlines over one timer of the platform: a heap, O(log n) to arm and to cancel. Never early: Node's
 * `setTimeout` can fire up to a millisecond too soon, and at once beyond 2^31-1 ms, so what is not due yet is armed again.
 */
export class Timers {
  readonly #clock: Clock
  readonly #heap = new Heap<Timer>(firesBefore)
  #armed: TimerHandle | null = null
  #armedAt = Number.POSITIVE_INFINITY

  constructor(options: { clock: Clock }) {
    this.#clock = options.clock
  }

  /** How many timers are armed. */
  get size(): number {
    return this.#heap.size
  }

  /** Call `owner.due(kind, index)` at `at`, in milliseconds since the epoch, or as soon after as the loop allows. */
  arm(owner: TimerOwner, kind: TimerKind | 'sleep', index: number, at: number): Timer {
    const timer: Timer = { at, owner, kind, index, pos: -1 }
    this.#heap.push(timer)
    if (at < this.#armedAt) this.#arm()
    return timer
  }

  /** May be called twice, and after the timer fired. */
  cancel(timer: Timer): void {
    this.#heap.remove(timer)
    if (this.#heap.size === 0) this.#disarm()
  }

  /** Forget every timer. */
  close(): void {
    while (this.#heap.pop() !== undefined);
    this.#disarm()
  }

  #disarm(): void {
    this.#armed?.cancel()
    this.#armed = null
    this.#armedAt = Number.POSITIVE_INFINITY
  }

  #arm(): void {
    this.#disarm()
    const next = this.#heap.peek()
    if (next === undefined) return
    this.#armedAt = next.at
    const delay = Math.min(Math.max(0, Math.ceil(next.at - this.#clock.now())), MAX_TIMER_MS)
    this.#armed = this.#clock.after(delay, () => this.#fire())
  }

  #fire(): void {
    const now = this.#clock.now()
    try {
      for (let fired = 0; fired < AT_ONCE; fired++) {
        const next = this.#heap.peek()
        if (next === undefined || next.at > now) return
        this.#heap.remove(next)
        next.owner.due(next.kind, next.index)
      }
    } finally {
      this.#arm()
    }
  }
}
