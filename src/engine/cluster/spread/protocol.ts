import type { Cause } from '../../../core/states.ts'
import type { AwayAttempt, AwayEnd } from '../../local/attempts.ts'

/**
 * How an attempt gets to another replica. A *ticket* in BullMQ says that a replica (the owner) has jobs that wait for a slot. A replica with
 * a free slot (the taker) takes it and asks the owner for a job: only then, with the slot kept for it, a job's turn comes. The slot is then
 * the owner's *seat*: each end is brought back with the question for the next job, until the answer is that there is none.
 */
export interface Ticket {
  /** The seat that it becomes. */
  seat: string
  /** The replica that wants a slot. */
  owner: string
}

/** Calls between the two, over the bus. */
export const NEXT = 'spread.next'
export const STOP = 'spread.stop'
export const KNOWN = 'spread.known'

/** Broadcast with a replica's id when it has put tickets into the queue. */
export const TICKETS_CHANNEL = 'tickets'

/** Broadcast with a tenant's id, a space and its new owner's when that is about to take up the tenant's work. */
export const ADOPTED_CHANNEL = 'adopted'

/** An attempt on its way. How long ago it started: clocks of two machines are never compared. */
export interface SentAttempt extends Omit<AwayAttempt, 'startedAt'> {
  elapsedMs: number
}

/** What a taker asks an owner. The answer is a {@link SentAttempt}, or null: the seat is over. */
export interface Question {
  seat: string
  taker: string
  /** How many answers it has got in this seat. The same question again gets the same answer. */
  got: number
  /** How the attempt of the last answer ended; null in the first question. */
  end: AwayEnd | null
  /** Whether it had been told to stop by then. */
  heard: boolean
  /** True: no more jobs, the slot is wanted otherwise. */
  isLast: boolean
}

/** What an owner tells a taker: the attempt of answer `no` (from 1) is to stop. */
export interface StopOrder {
  seat: string
  no: number
  cause: Cause
}

/** About how many characters the end of an attempt is on its way. */
export function lengthOf(end: AwayEnd | null): number {
  return end?.type === 'returned' || end?.type === 'threw' ? (end.result?.length ?? 0) : 0
}
