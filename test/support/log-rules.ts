/**
 * What semantics.md 2 says of the states of a job, for whoever holds a log against it: written without the service's code,
 * so that a mistake there is not repeated here.
 */

/** States of a job that has not ended. */
export const LIVE: ReadonlySet<string> = new Set(['queued', 'running', 'cancelling'])

/** States that no job leaves. */
export const ENDS: ReadonlySet<string> = new Set(['succeeded', 'failed', 'timed_out', 'cancelled'])

const FROM: Readonly<Record<string, readonly string[]>> = {
  running: ['queued'],
  cancelling: ['running'],
  succeeded: ['running', 'cancelling'],
  failed: ['running', 'cancelling'],
  timed_out: ['queued', 'cancelling'],
  cancelled: ['queued', 'cancelling'],
}

/** Whether a job may go from one state to the other. Back into the queue it goes after a crash only, which is not a move. */
export function mayMove(from: string, to: string): boolean {
  return FROM[to]?.includes(from) ?? false
}

/** The state in which an event of a job leaves it: `running` after `job.started`. */
export function stateAfter(type: string): string {
  return type === 'job.started' ? 'running' : type.slice('job.'.length)
}

/** `counts` as a view has them, of jobs in these states. */
export function countsOf(states: readonly string[]): Record<string, number> {
  const none = [...LIVE, ...ENDS].map((state) => [state, 0])
  const counts: Record<string, number> = { total: states.length, ...Object.fromEntries(none) }
  for (const state of states) counts[state] = (counts[state] ?? 0) + 1
  return counts
}
