import type { FieldError } from '../errors.ts'

/** Policies that need a job to decide anything. */
const NEEDS_JOBS = new Set<unknown>(['any', 'race', 'quorum', 'hedge'])

/** A submission as it came: nothing about its fields is known yet. */
type Raw = Record<string, unknown>

/**
 * The rules of a submission that need more than one field. They look at the body as it came, so that they speak up
 * even when other fields are wrong; what is wrong in itself is left to the schema.
 */
export function batchRules(raw: Raw): FieldError[] {
  return [...emptyRule(raw), ...quorumRule(raw), ...hedgeRule(raw), ...nameRules(raw.jobs, true)]
}

function emptyRule({ policy, jobs }: Raw): FieldError[] {
  if (!NEEDS_JOBS.has(policy) || !Array.isArray(jobs) || jobs.length > 0) return []
  return [{ pointer: '/jobs', detail: `Must not be empty: the policy "${policy}" needs at least one job.` }]
}

function quorumRule({ policy, n, jobs, open }: Raw): FieldError[] {
  if (policy !== 'quorum') return onlyFor('quorum', policy, 'n', n)
  if (n === undefined) return [{ pointer: '/n', detail: 'Is required for the policy "quorum": the successes needed.' }]
  if (open === true || !Number.isInteger(n) || !Array.isArray(jobs) || Number(n) <= jobs.length) return []
  return [{ pointer: '/n', detail: `Must be at most ${jobs.length}, the number of jobs, or the batch must be open.` }]
}

function hedgeRule({ policy, hedgeDelayMs }: Raw): FieldError[] {
  if (policy !== 'hedge') return onlyFor('hedge', policy, 'hedgeDelayMs', hedgeDelayMs)
  if (hedgeDelayMs !== undefined) return []
  return [
    { pointer: '/hedgeDelayMs', detail: 'Is required for the policy "hedge": milliseconds until the next job starts.' },
  ]
}

function onlyFor(owner: string, policy: unknown, field: string, value: unknown): FieldError[] {
  if (value === undefined || (policy !== undefined && typeof policy !== 'string')) return []
  return [{ pointer: `/${field}`, detail: `Belongs to the policy "${owner}" only: leave it out.` }]
}

/**
 * Names are unique in a batch, and a job without one is `job-<index>`.
 * @param fromStart - False for an append, where the service gives the indexes and a default name cannot be foreseen.
 */
export function nameRules(jobs: unknown, fromStart: boolean): FieldError[] {
  if (!Array.isArray(jobs)) return []
  const names = jobs.map(nameOf)
  // As mostly: there is nothing to compare.
  if (names.every((name) => name === undefined)) return []
  const taken = new Map<string, number>()
  if (fromStart) for (const [index, name] of names.entries()) if (name === undefined) taken.set(`job-${index}`, index)
  return names.flatMap((name, index) => claim(taken, name, index))
}

function nameOf(job: unknown): string | undefined {
  if (typeof job !== 'object' || job === null || !('name' in job)) return undefined
  return typeof job.name === 'string' ? job.name : undefined
}

function claim(taken: Map<string, number>, name: string | undefined, index: number): FieldError[] {
  if (name === undefined) return []
  const owner = taken.get(name)
  if (owner === undefined) {
    taken.set(name, index)
    return []
  }
  return [{ pointer: `/jobs/${index}/name`, detail: `Must be unique in the batch, and job ${owner} has it already.` }]
}
