import type { Egress } from '../egress/egress.ts'
import { DEFAULT_FETCH_LIMITS, type FetchLimits } from './fetch/limits.ts'
import { fetchKind } from './fetch.ts'
import type { JobKind } from './kind.ts'
import { sleepKind } from './sleep.ts'

/** The kinds that every service has. Limits that are not given have their defaults. */
export function builtInKinds({ egress, limits }: { egress: Egress; limits?: Partial<FetchLimits> }): JobKind[] {
  const fetch = fetchKind({ egress, limits: { ...DEFAULT_FETCH_LIMITS, ...limits } })
  // A kind is only ever given specs that its own schema has validated.
  return [fetch, sleepKind()] as unknown as JobKind[]
}
