import type { EventType, LogEntry } from '../core/events.ts'

/** The event types by their number in the log. New ones go to the end. */
export const EVENT_TYPES: readonly EventType[] = [
  'batch.accepted',
  'batch.aborting',
  'batch.settled',
  'batch.drained',
  'job.queued',
  'job.started',
  'job.cancelling',
  'job.succeeded',
  'job.failed',
  'job.timed_out',
  'job.cancelled',
]

type Facts = Pick<LogEntry, 'cause' | 'reason' | 'attempt' | 'decidedBy' | 'state' | 'error'>
type Packed = [type: number, at: number, index: number, count: number, facts?: Facts]

/** Entries as they are kept, a few bytes each; their numbers follow from the first one's. */
export function packEntries(entries: readonly LogEntry[]): string {
  return JSON.stringify(entries.map(pack))
}

function pack({ seq, count, type, at, index, ...facts }: LogEntry): Packed {
  const packed: Packed = [EVENT_TYPES.indexOf(type), Math.floor(at), index, count]
  if (Object.keys(facts).length > 0) packed.push(facts)
  return packed
}

/** The entries of a row whose first event is number `seq`. */
export function unpackEntries(text: string, seq: number): LogEntry[] {
  let next = seq
  // Written by `packEntries`, by nothing else.
  return (JSON.parse(text) as Packed[]).map(([type, at, index, count, facts]) => {
    const entry: LogEntry = { seq: next, count, type: EVENT_TYPES[type], at, index, ...facts }
    next += count
    return entry
  })
}
