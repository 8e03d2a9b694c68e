import type { Ledger } from './ledger.ts'
import type { Origin } from './origin.ts'
import type { Random } from './random.ts'

/** The ends that a round has seen. */
export interface Ends {
  /** By SIGKILL, and by SIGTERM. */
  kills: number
  terms: number
  /** Replicas that were stopped for a while, and restarts of their Redis. */
  pauses: number
  redis: number
}

/** What a round does to the service, and where the service is. */
export interface Victim {
  /** Where to ask now; differs from call to call. */
  readonly url: string
  /** The last of what it printed. */
  readonly said: string
  start(): Promise<void>
  /** Do one harm, and mend it. */
  strike(random: Random): Promise<void>
  /** End it in peace; what did not go well is told to the ledger. */
  finish(): Promise<void>
}

/** What a victim tells of itself. */
export interface Notes {
  ends: Ends
  ledger: Ledger
  origin: Origin
}

/** A process of the service has ended: count how, and tell what it should not have done or said. */
export function noteEnd(
  { ends, ledger }: Notes,
  { status, signal }: { status: number | null; signal: string | null },
  output: string,
): void {
  if (signal === 'SIGKILL') ends.kills++
  else ends.terms++
  if (status !== null && status !== 0) ledger.fail(`the service ended with ${status}: ${output.slice(-2_000)}`)
}

/** What runs from now on may do again what was under way before. */
export function nextLife({ ledger, origin }: Notes): void {
  origin.life++
  ledger.life++
  ledger.begun.push(Date.now())
}
