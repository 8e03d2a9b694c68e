import { type Clock, MAX_TIMER_MS, type TimerHandle } from '../../src/clock.ts'

interface FakeTimer {
  at: number
  order: number
  fire: () => void
}

/** How a {@link FakeClock} misbehaves, as Node's `setTimeout` does. */
export interface BadHabits {
  /** Timers fire this many milliseconds too soon (Node: up to one, exclusive). Default 0. */
  earlyMs?: number
  /** Timers above 2^31-1 ms fire after one millisecond. Default false: they are kept, however long. */
  overflows?: boolean
}

/** A clock that stands still until it is advanced. */
export class FakeClock implements Clock {
  #now: number
  #order = 0
  /** How many timers were ever asked for. */
  asked = 0
  readonly #timers = new Set<FakeTimer>()
  readonly #earlyMs: number
  readonly #overflows: boolean

  /** Starts at 2026-01-01T00:00:00Z unless `now` says otherwise. */
  constructor(options: { now?: number } & BadHabits = {}) {
    this.#now = options.now ?? Date.UTC(2026, 0, 1)
    this.#earlyMs = options.earlyMs ?? 0
    this.#overflows = options.overflows ?? false
  }

  now(): number {
    return this.#now
  }

  /** Timers that are armed. */
  get armed(): number {
    return this.#timers.size
  }

  /** When the next timer fires, Infinity when none is armed. */
  get nextAt(): number {
    return this.#next()?.at ?? Number.POSITIVE_INFINITY
  }

  after(delayMs: number, fire: () => void): TimerHandle {
    this.asked++
    const delay = this.#overflows && delayMs > MAX_TIMER_MS ? 1 : Math.max(0, delayMs)
    const timer = { at: this.#now + Math.max(0, delay - this.#earlyMs), order: this.#order++, fire }
    this.#timers.add(timer)
    return { cancel: () => void this.#timers.delete(timer) }
  }

  /** Let time pass; whatever falls due fires in order, each at its own time, also what is armed on the way. */
  advance(ms: number): void {
    const end = this.#now + ms
    while (this.#fireBy(end));
    this.#now = end
  }

  /** As `advance`, with a turn of the event loop after every timer: what waits for one can arm the next. */
  async elapse(ms: number): Promise<void> {
    const end = this.#now + ms
    await turn()
    while (this.#fireBy(end)) await turn()
    this.#now = end
    await turn()
  }

  #fireBy(end: number): boolean {
    const next = this.#next()
    if (next === undefined || next.at > end) return false
    this.#timers.delete(next)
    this.#now = Math.max(this.#now, next.at)
    next.fire()
    return true
  }

  #next(): FakeTimer | undefined {
    let first: FakeTimer | undefined
    for (const timer of this.#timers)
      if (first === undefined || timer.at < first.at || (timer.at === first.at && timer.order < first.order))
        first = timer
    return first
  }
}

/** Resolves after the microtasks of now and one turn of the event loop. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
