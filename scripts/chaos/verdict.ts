import type { RoundReport } from './round.ts'

/** What there is to say of a round: also that nothing was killed, which then was not put to the test. */
export function verdictOn({ kills, violations }: Pick<RoundReport, 'kills' | 'violations'>): string {
  if (violations.length > 0) return 'FAILED'
  return kills > 0 ? 'ok' : 'ok, but nothing was killed'
}
