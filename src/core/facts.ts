import type { Batch } from './batch.ts'
import type { OutcomeError } from './events.ts'
import type { Outcome, Phase } from './states.ts'

/** The part of a batch's state that changes and is not a job's: enough, with the jobs' records and the log, to go on after a restart. */
export interface BatchFacts {
  phase: Phase
  outcome: Outcome | null
  error: OutcomeError | null
  open: boolean
  /** Jobs by state, in the order of core's `Job`. */
  counts: number[]
  accepted: { from: number; at: number }[]
  winner: number | null
  decided: 'succeeded' | 'failed' | null
  cancel: { reason: string | null; at: number } | null
  timeoutFired: boolean
  stopped: boolean
  shutDown: boolean
  released: number
}

/** A copy of the facts as they are now. */
export function factsOf(batch: Batch): BatchFacts {
  const { phase, outcome, error, open, accepted, winner, decided, cancel, timeoutFired, stopped, shutDown, released } =
    batch
  const counts = [...batch.counts]
  return {
    phase,
    outcome,
    error,
    open,
    counts,
    accepted: [...accepted],
    winner,
    decided,
    cancel,
    timeoutFired,
    stopped,
    shutDown,
    released,
  }
}

/** The state as callers see it: `running`, `aborting` or the outcome. */
export function stateName(facts: Pick<BatchFacts, 'phase' | 'outcome'>): 'running' | 'aborting' | Outcome {
  if (facts.outcome !== null) return facts.outcome
  return facts.phase === 'aborting' ? 'aborting' : 'running'
}
