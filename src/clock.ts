/** A timer that can be cancelled. */
export interface TimerHandle {
  /** Make sure the callback is not called any more. May be called twice, or after it fired. */
  cancel(): void
}

/** The only source of time. One timeline for durations and stamps: monotonic, and anchored to the wall clock once, at the start of the process. */
export interface Clock {
  /** Milliseconds since the Unix epoch, fractional, never running backwards. */
  now(): number
  /** Call `fire` once, not before `now() + delayMs` as far as the platform can tell; callers re-check (see `Timers`). */
  after(delayMs: number, fire: () => void): TimerHandle
}

/** Node's `setTimeout` fires at once above this many milliseconds (a signed 32-bit count), so longer waits are cut up. */
export const MAX_TIMER_MS = 2_147_483_647

/** A getter of the platform that takes its time. */
const { timeOrigin } = performance

/** The real clock: `performance.now()` on top of `performance.timeOrigin`. Timers longer than {@link MAX_TIMER_MS} fire early and must be re-armed by the caller. */
export const systemClock: Clock = {
  now: () => timeOrigin + performance.now(),
  after(delayMs, fire) {
    const timer = setTimeout(fire, Math.min(Math.max(0, delayMs), MAX_TIMER_MS))
    return { cancel: () => clearTimeout(timer) }
  },
}

/** `2026-01-02T03:04:05.678Z` from milliseconds since the epoch, rounded down, so that differences of stamps never show more time than has passed rounded down. */
export function stamp(ms: number): string {
  return new Date(Math.floor(ms)).toISOString()
}
