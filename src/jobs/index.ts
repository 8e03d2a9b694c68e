import type { Egress } from '../egress/egress.ts'
import { DEFAULT_INFLIGHT_BYTES, InflightBytes } from './fetch/inflight.ts'
import { DEFAULT_FETCH_LIMITS, type FetchLimits } from './fetch/limits.ts'
import { fetchKind } from './fetch.ts'
import type { JobKind } from './kind.ts'
import { sleepKind } from './sleep.ts'

/** The kinds that every service has. Limits that are not given have their defaults. */
export function builtInKinds({
  egress,
  limits,
  inflight = new InflightBytes(DEFAULT_INFLIGHT_BYTES),
}: {
  egress: Egress
  limits?: Partial<FetchLimits>
  /** What the response bodies of all running fetches may take together. Default: 256 MiB. */
  inflight?: InflightBytes
}): JobKind[] {
  const fetch = fetchKind({ egress, limits: { ...DEFAULT_FETCH_LIMITS, ...limits }, inflight })
  // A kind is only ever given specs that its own schema has validated.
  return [fetch, sleepKind()] as unknown as JobKind[]
}
