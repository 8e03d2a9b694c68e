import type { AttemptEnd } from '../../jobs/attempt.ts'
import { type JsonPieces, lengthOf } from '../../json/raw.ts'
import type { JobRecord, Store } from '../../store/store.ts'

/** Results of more bytes are written before the record that has them, where the store can do that. */
export const AHEAD_BYTES = 524_288

/** How an attempt came to its end, as it goes on record: a long result may be in the store by then. */
export type EndOnRecord<End = AttemptEnd> = End extends { result: unknown }
  ? Omit<End, 'result'> & Pick<JobRecord, 'result'>
  : End

/** Where the job is whose result it is. */
export interface AheadOptions {
  store: Pick<Store, 'putAhead'>
  no: number
  index: number
  signal: AbortSignal
}

/**
 * Bring a long result to the store, so that the commit which ends its job is as short as any. Until it is there the attempt has not
 * ended: an abort stops the writing, and the attempt has unwound. What the store cannot take now goes with the record, which is tried until it can.
 */
export function writeAhead(end: AttemptEnd, options: AheadOptions): EndOnRecord | Promise<EndOnRecord> {
  if (!isInPieces(end) || options.store.putAhead === undefined || lengthOf(end.result) <= AHEAD_BYTES) return end
  return written(end, options)
}

type EndInPieces = Exclude<AttemptEnd, { type: 'unwound' }> & { result: JsonPieces }

/** Whether its result is long. Of nearly all it is one text, and there is nothing to write ahead. */
export function isInPieces(end: AttemptEnd): end is EndInPieces {
  return end.type !== 'unwound' && end.result !== null && typeof end.result !== 'string'
}

async function written(end: EndInPieces, { store, no, index, signal }: AheadOptions): Promise<EndOnRecord> {
  try {
    const ahead = await store.putAhead?.(no, index, end.result, signal)
    return ahead === undefined ? end : { ...end, result: ahead }
  } catch {
    return signal.aborted ? { type: 'unwound' } : end
  }
}
