import type { Clock } from '../clock.ts'

/** A second signal of a sort sooner than this is the same one: a terminal's Ctrl-C reaches npm's child twice. */
const SAME_SIGNAL_MS = 500

/**
 * To be called with every signal, and calls `end` at each that is not the first: the same signal again half a second after the first one or
 * later, or another signal at any time.
 */
export function impatience(clock: Pick<Clock, 'now'>, end: () => void): (signal: string) => void {
  let first: { signal: string; at: number } | null = null
  return (signal) => {
    const at = clock.now()
    if (first === null) first = { signal, at }
    else if (signal !== first.signal || at - first.at >= SAME_SIGNAL_MS) end()
  }
}
