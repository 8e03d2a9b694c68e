import type { Batch } from './batch.ts'
import type { IndexedError, OutcomeError } from './events.ts'
import type { Outcome } from './states.ts'

/** The outcome of a batch whose unshielded jobs have ended: errors that its policy counts, else cancel, else timeout, else the policy's own (semantics.md 4). */
export function outcomeOf(batch: Batch): { outcome: Outcome; error: OutcomeError | null } {
  const error = countedError(batch)
  if (error !== null) return { outcome: 'failed', error }
  if (batch.cancel !== null || batch.shutDown) return { outcome: 'cancelled', error: cancelledError(batch) }
  if (batch.timeoutFired) return { outcome: 'timed_out', error: timeoutError() }
  return { outcome: 'succeeded', error: null }
}

function countedError(batch: Batch): OutcomeError | null {
  switch (batch.policy) {
    case 'all_settled':
      return null
    case 'gather':
      return batch.failures[0] ?? null
    case 'task_group':
      return batch.failures.length > 0 ? exceptionGroup(batch.failures) : null
    case 'race':
      return batch.decided === 'failed' ? (batch.failures[0] ?? exceptionGroup([])) : null
    default:
      return batch.decided === 'failed' ? exceptionGroup(batch.failures) : null
  }
}

function exceptionGroup(errors: IndexedError[]): OutcomeError {
  const what = errors.length === 1 ? '1 job of the batch failed.' : `${errors.length} jobs of the batch failed.`
  return { type: 'ExceptionGroup', code: 'exception_group', message: what, errors }
}

function cancelledError(batch: Batch): OutcomeError {
  const fallback = batch.shutDown ? 'The service was shut down.' : 'The batch was cancelled.'
  return { type: 'CancelledError', code: 'cancelled', message: batch.cancel?.reason ?? fallback }
}

function timeoutError(): OutcomeError {
  return { type: 'TimeoutError', code: 'timeout', message: 'The batch was not finished within its timeoutMs.' }
}
