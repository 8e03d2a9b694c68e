import type { Batch } from './batch.ts'
import type { Outcome } from './states.ts'

/** The part of a batch's state that changes and is not a job's: enough, with the jobs' records and the log, to go on after a restart. */
export type BatchFacts = Pick<
  Batch,
  | 'phase'
  | 'outcome'
  | 'error'
  | 'open'
  | 'accepted'
  | 'winner'
  | 'decided'
  | 'cancel'
  | 'timeoutFired'
  | 'shutDown'
  | 'released'
> & {
  /** Jobs by state, in the order of core's `Job`. */
  counts: number[]
}

/** A copy of the facts as they are now. */
export function factsOf(batch: Batch): BatchFacts {
  const { phase, outcome, error, open, accepted, winner, decided, cancel, timeoutFired, shutDown, released } = batch
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
    shutDown,
    released,
  }
}

/** The state as callers see it: `running`, `aborting` or the outcome. */
export function stateName(facts: Pick<BatchFacts, 'phase' | 'outcome'>): 'running' | 'aborting' | Outcome {
  if (facts.outcome !== null) return facts.outcome
  return facts.phase === 'aborting' ? 'aborting' : 'running'
}
