import { z } from 'zod'
import { MAX_JSON_DEPTH } from '../contract.ts'
import type { BatchSubmission } from '../engine/engine.ts'
import { BatchTooLargeError, InvalidArgumentError } from '../errors.ts'
import type { CommonSpec } from '../jobs/kind.ts'
import { isObject } from '../json/object.ts'
import { examine, Findings } from './check.ts'
import { Context, DurationMs, Labels, Name } from './fields.ts'
import { findUnclean } from './hygiene.ts'
import { JobDefaults, JobOfNoKind, type JobSchema } from './jobs.ts'
import { MAX_CONCURRENCY, MAX_FIELD_ERRORS, MAX_JOBS_EVER } from './limits.ts'
import { batchRules, nameRules } from './rules.ts'

/** The policies, in the order of the documentation. */
export const Policy = z.enum(['all_settled', 'gather', 'task_group', 'any', 'race', 'quorum', 'hedge'])

/** What a submission says about the batch itself. */
const ENVELOPE = {
  policy: Policy.default('all_settled').meta({
    description: 'How the outcome is decided, and what happens to the rest then.',
  }),
  name: Name.nullable().default(null).meta({ description: 'What people call the batch; no identity.' }),
  labels: Labels.default({}),
  timeoutMs: DurationMs.nullable()
    .default(null)
    .meta({ description: 'For the whole batch, from acceptance. Null: none.' }),
  maxConcurrency: z.int().min(1).max(MAX_CONCURRENCY).nullable().default(null).meta({
    description: 'Jobs of this batch that may run at once. Null: no limit of its own.',
  }),
  open: z
    .boolean()
    .default(false)
    .meta({ description: 'Keep the batch running for jobs to be appended, until it is closed.' }),
  context: Context.default({}),
  n: z
    .int()
    .min(1)
    .max(MAX_JOBS_EVER)
    .optional()
    .meta({ description: 'Policy `quorum` only, and required there: successes needed.' }),
  hedgeDelayMs: DurationMs.optional().meta({
    description: 'Policy `hedge` only, and required there: the next job starts after this long, or when one fails.',
  }),
  defaults: JobDefaults.optional(),
}

/** Jobs are checked one by one, each by its own kind's schema: faster than a union, and the details are better. */
const Envelope = z.strictObject({ ...ENVELOPE, jobs: z.array(z.unknown()) })
const AppendEnvelope = z.strictObject({ jobs: z.array(z.unknown()).min(1), defaults: JobDefaults.optional() })

/** Arrays and objects around a field of a job: the body, `jobs` and the job. */
const AROUND_A_FIELD = 3

/** The limits a submission is held to: those of the caller's tenant. */
export interface SubmissionLimits {
  maxBatchJobs: number
}

/** The tenant that submits. */
export interface Submitter {
  id: string
  limits: SubmissionLimits
}

/** The submission and append bodies as the OpenAPI document shows them. */
export function submissionSchemas(job: z.ZodType, limits: SubmissionLimits): { batch: z.ZodType; append: z.ZodType } {
  const jobs = z.array(job).max(limits.maxBatchJobs)
  return {
    batch: z.strictObject({
      ...ENVELOPE,
      jobs: jobs.meta({ description: 'In input order. May be empty where the policy allows.' }),
    }),
    append: z.strictObject({ jobs: jobs.min(1), defaults: JobDefaults.optional() }),
  }
}

/** Jobs that are checked in one step: about two milliseconds of work. */
export const JOBS_A_STEP = 250

/** Checks a request in steps, one after each `next`, and returns what it was checked for. */
export type Steps<T> = Generator<undefined, T, undefined>

/**
 * A batch out of a parsed JSON body, its `defaults` merged into its jobs.
 * @throws {InvalidArgumentError} naming every wrong field, those that depend on other fields included.
 * @throws {BatchTooLargeError} when it has more jobs than the limits allow.
 */
export function parseSubmission(body: unknown, schema: JobSchema, submitter: Submitter): BatchSubmission {
  return atOnce(submissionSteps(body, schema, submitter))
}

/** As {@link parseSubmission}, in steps of {@link JOBS_A_STEP} jobs. */
export function* submissionSteps(
  body: unknown,
  schema: JobSchema,
  { id: tenantId, limits }: Submitter,
): Steps<BatchSubmission> {
  const raw = objectOf(body, limits)
  const findings = yield* hygieneOf(raw)
  const envelope = examine(Envelope, raw, findings)
  const jobs = yield* examineJobs(raw.jobs, { schema, tenantId, findings })
  findings.add(batchRules(raw))
  findings.throwIfAny()
  // Nothing was found, so the envelope is the schema's output.
  const { defaults, jobs: _, n = null, hedgeDelayMs = null, ...batch } = envelope as z.output<typeof Envelope>
  return { ...batch, n, hedgeDelayMs, jobs: merge(defaults, jobs) }
}

/**
 * The jobs of an append out of a parsed JSON body, in steps.
 * @throws {InvalidArgumentError} {BatchTooLargeError} as {@link parseSubmission}.
 */
export function* appendSteps(
  body: unknown,
  schema: JobSchema,
  { id: tenantId, limits }: Submitter,
): Steps<CommonSpec[]> {
  const raw = objectOf(body, limits)
  const findings = yield* hygieneOf(raw)
  const envelope = examine(AppendEnvelope, raw, findings)
  const jobs = yield* examineJobs(raw.jobs, { schema, tenantId, findings })
  findings.add(nameRules(raw.jobs, false))
  findings.throwIfAny()
  return merge(envelope?.defaults, jobs)
}

/** All steps in one. */
export function atOnce<T>(steps: Steps<T>): T {
  for (;;) {
    const { done, value } = steps.next()
    if (done) return value
  }
}

function objectOf(body: unknown, limits: SubmissionLimits): Record<string, unknown> {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new InvalidArgumentError([{ pointer: '', detail: 'Must be an object with an array of jobs: {"jobs": […]}.' }])
  // A JSON value that is neither null nor an array nor a scalar: an object with string keys.
  const raw = body as Record<string, unknown>
  if (Array.isArray(raw.jobs) && raw.jobs.length > limits.maxBatchJobs)
    throw new BatchTooLargeError(limits.maxBatchJobs, 'the limit for the jobs of a batch')
  return raw
}

function* hygieneOf(raw: Record<string, unknown>): Steps<Findings> {
  const findings = new Findings()
  const jobs = Array.isArray(raw.jobs) ? raw.jobs : []
  lookOver(jobs.length > JOBS_A_STEP ? { ...raw, jobs: stepOf(jobs, 0) } : raw, findings)
  for (let from = JOBS_A_STEP; from < jobs.length && !findings.full; from += JOBS_A_STEP) {
    yield
    lookOver({ jobs: stepOf(jobs, from) }, findings)
  }
  return findings
}

function lookOver(part: Record<string, unknown>, findings: Findings): void {
  const maxDepth = AROUND_A_FIELD + MAX_JSON_DEPTH
  findings.add(findUnclean(part, { maxDepth, maxErrors: MAX_FIELD_ERRORS, exempt: isFetchBody }))
}

/** The jobs of one step where they are, and nothing in the places of the others. */
function stepOf(jobs: readonly unknown[], from: number): unknown[] {
  const part: unknown[] = []
  for (let i = from; i < Math.min(from + JOBS_A_STEP, jobs.length); i++) part[i] = jobs[i]
  return part
}

/** The one text that is only passed on, byte for byte: `/jobs/<index>/body` of a fetch. */
function isFetchBody(path: readonly PropertyKey[], parent: object): boolean {
  return path.length === 3 && path[0] === 'jobs' && path[2] === 'body' && 'kind' in parent && parent.kind === 'fetch'
}

/** What each job is examined by. */
interface Examination {
  schema: JobSchema
  tenantId: string
  findings: Findings
}

function* examineJobs(jobs: unknown, by: Examination): Steps<CommonSpec[]> {
  if (!Array.isArray(jobs)) return []
  const parsed: CommonSpec[] = []
  for (const [index, job] of jobs.entries()) {
    if (by.findings.full) break
    if (index % JOBS_A_STEP === 0 && index > 0) yield
    const spec = examineJob(job, index, by)
    if (spec) parsed.push(spec)
  }
  return parsed
}

function examineJob(job: unknown, index: number, by: Examination): CommonSpec | undefined {
  const { schema, findings } = by
  const kind = typeof job === 'object' && job !== null && 'kind' in job ? job.kind : undefined
  const name = typeof kind === 'string' ? kind : ''
  const known = schema.byKind.get(name)
  if (known) {
    // It has a kind, so it is an object.
    const given = job as Record<string, unknown>
    const spec = schema.quick.get(name)?.(given) ?? examine(known, given, findings, ['jobs', index])
    object(given, index, by)
    return spec
  }
  const isJob = examine(JobOfNoKind, job, findings, ['jobs', index]) !== undefined || isObject(job)
  const detail = `${kind === undefined ? 'Is required:' : 'Must be'} one of ${schema.kinds.map((name) => `"${name}"`).join(', ')}.`
  if (isJob) findings.add([{ pointer: `/jobs/${index}/kind`, detail }])
  return undefined
}

/** What stands against a job beside its form; of one field, the form goes first. */
function object(job: Record<string, unknown>, index: number, { schema, tenantId, findings }: Examination): void {
  for (const { field, detail, code, refusal } of schema.objections(job, tenantId)) {
    const pointer = `/jobs/${index}/${field}`
    if (findings.has(pointer)) continue
    findings.add([{ pointer, detail, ...(code && { code }) }])
    if (refusal !== undefined) findings.refuse(refusal)
  }
}

function merge(defaults: z.output<typeof JobDefaults> | undefined, jobs: CommonSpec[]): CommonSpec[] {
  return defaults ? jobs.map((job) => ({ ...defaults, ...job })) : jobs
}
