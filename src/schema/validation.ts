import { z } from 'zod'
import type { BatchSubmission, Forecast } from '../engine/engine.ts'
import { type FieldError, InvalidArgumentError } from '../errors.ts'
import { Name } from './fields.ts'
import type { JobSchema } from './jobs.ts'
import { MAX_FIELD_ERRORS } from './limits.ts'
import { parseSubmission, type Submitter } from './submission.ts'
import { FieldErrorView, WaitingOn } from './views.ts'

/** What is said of one job. */
const JobValidationView = z
  .strictObject({
    index: z.int().min(0).meta({ description: 'The place in the input.' }),
    name: z.string(),
    valid: z.boolean(),
    errors: z.array(FieldErrorView),
    egress: z.enum(['allowed', 'denied']).nullable().meta({
      description:
        'Whether it may go where it wants to, as far as that is known without resolving a name. Null: it goes nowhere, or has mistakes that keep it from being judged.',
    }),
    waitingOn: WaitingOn.nullable().meta({
      description: 'What would hold it back now. Null: nothing would, or the batch is not valid.',
    }),
  })
  .meta({ id: 'JobValidation' })

/** The answer to a dry run. */
export const ValidationView = z
  .strictObject({
    valid: z.boolean().meta({ description: 'A submission of this body would be accepted, if `queue.fits`.' }),
    errors: z
      .array(FieldErrorView)
      .meta({ description: 'What is wrong with the batch itself; those of jobs are with them.' }),
    jobs: z.array(JobValidationView).meta({
      description: `In input order. All of them, unless more than ${MAX_FIELD_ERRORS} fields are wrong: then those known to be wrong.`,
    }),
    queue: z
      .strictObject({
        fits: z.boolean().meta({ description: 'There is room for all of its jobs now.' }),
        retryAfterS: z.int().min(0).nullable().meta({
          description: 'When there is likely to be room, in seconds, as `Retry-After` would say it. Null: there is.',
        }),
      })
      .nullable()
      .meta({ description: "The tenant's queue; null when the batch is not valid." }),
  })
  .meta({ id: 'Validation', description: 'What would come of a submission now. Nothing was accepted.' })
export type ValidationView = z.output<typeof ValidationView>

/** A body that was checked: a batch, or all that is wrong with it. */
export type Validated = { batch: BatchSubmission; errors: [] } | { batch: null; errors: FieldError[] }

/** Check a body as a submission's is, without throwing for what is wrong with it. @throws {BatchTooLargeError} */
export function validated(body: unknown, schema: JobSchema, submitter: Submitter): Validated {
  try {
    return { batch: parseSubmission(body, schema, submitter), errors: [] }
  } catch (error) {
    if (error instanceof InvalidArgumentError) return { batch: null, errors: error.errors }
    throw error
  }
}

/** @param forecast - Null for a body that is not valid. */
export function validationView(
  body: unknown,
  schema: JobSchema,
  { errors, forecast }: { errors: FieldError[]; forecast: Forecast | null },
): ValidationView {
  const byJob = Map.groupBy(errors, ({ pointer }) => Number(/^\/jobs\/(\d+)(?:\/|$)/.exec(pointer)?.[1] ?? -1))
  // Of the jobs behind the last mistake that is named nobody knows whether they are right.
  const isCut = errors.length > MAX_FIELD_ERRORS
  const jobs = jobsOf(body).flatMap((job, index) => {
    const own = byJob.get(index) ?? []
    if (isCut && own.length === 0) return []
    const waitingOn = forecast?.waitingOn[index] ?? null
    const name = nameOf(job) ?? `job-${index}`
    return [{ index, name, valid: own.length === 0, errors: own, egress: verdictOf(job, own, schema), waitingOn }]
  })
  const queue = forecast && { fits: forecast.retryAfterS === null, retryAfterS: forecast.retryAfterS }
  return { valid: errors.length === 0, errors: byJob.get(-1) ?? [], jobs, queue }
}

function verdictOf(job: unknown, errors: FieldError[], { judged }: JobSchema): 'allowed' | 'denied' | null {
  if (errors.some(({ code }) => code === 'egress_denied')) return 'denied'
  return errors.length === 0 && judged.has(fieldOf(job, 'kind')) ? 'allowed' : null
}

function nameOf(job: unknown): string | undefined {
  const { data } = Name.safeParse(fieldOf(job, 'name'))
  return data
}

function jobsOf(body: unknown): unknown[] {
  const jobs = fieldOf(body, 'jobs')
  return Array.isArray(jobs) ? jobs : []
}

function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined
}
