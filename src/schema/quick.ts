import { MAX_DURATION_MS } from '../contract.ts'
import type { CommonSpec, JobKind, QuickCheck } from '../jobs/kind.ts'
import { MAX_NAME_LENGTH } from './limits.ts'

/** A job as the schema of its kind would give it back, or undefined: the schema is to say. */
export type QuickJob = (job: Readonly<Record<string, unknown>>) => CommonSpec | undefined

/** By kind, for those that have a quick check: a name and a `timeoutMs` may stand beside what that knows. */
export function quickJobs(kinds: readonly JobKind[]): ReadonlyMap<string, QuickJob> {
  const quick = new Map<string, QuickJob>()
  for (const kind of kinds) {
    const own = kind.quick
    if (own) quick.set(kind.name, (job) => checked(kind.name, own, job))
  }
  return quick
}

function checked(
  kind: string,
  { fields, check }: QuickCheck,
  job: Readonly<Record<string, unknown>>,
): CommonSpec | undefined {
  for (const field in job) if (!fields.has(field) && !isQuick(kind, field, job[field])) return undefined
  const own = check(job)
  if (own === undefined) return undefined
  const spec: CommonSpec = Object.assign(own, { kind })
  // Looked at above.
  if (job.name !== undefined) spec.name = job.name as string
  if (job.timeoutMs !== undefined) spec.timeoutMs = job.timeoutMs as number | null
  return spec
}

function isQuick(kind: string, field: string, value: unknown): boolean {
  switch (field) {
    case 'kind':
      return value === kind
    case 'name':
      return typeof value === 'string' && value.length <= MAX_NAME_LENGTH
    case 'timeoutMs':
      return value === null || (Number.isInteger(value) && Number(value) >= 0 && Number(value) <= MAX_DURATION_MS)
    default:
      return false
  }
}
