import { z } from 'zod'
import { ConfigError } from '../errors.ts'
import type { CommonSpec, JobKind, Objection } from '../jobs/kind.ts'
import { Context, DurationMs, Name } from './fields.ts'
import { MAX_PRIORITY } from './limits.ts'
import { type QuickJob, quickJobs } from './quick.ts'

/** What every job has beside `kind` and `name`; what `defaults` may hold. */
const DEFAULTABLE = {
  timeoutMs: DurationMs.nullable().optional().meta({
    description: 'From the start of the attempt, the whole response included. `0` never starts the job, null: none.',
  }),
  deadlineMs: DurationMs.nullable().optional().meta({ description: 'From acceptance, waiting included. Null: none.' }),
  queueTimeoutMs: DurationMs.nullable().optional().meta({
    description:
      'From acceptance to the slot: a job that waits longer ends `timed_out` without having started. Null: none.',
  }),
  delayMs: DurationMs.optional().meta({
    description: 'The job is not started earlier than this after acceptance. Default 0.',
  }),
  priority: z.int().min(-MAX_PRIORITY).max(MAX_PRIORITY).optional().meta({
    description: "Among the tenant's queued jobs, higher starts first. Default 0.",
  }),
  shield: z.boolean().optional().meta({
    description: "Deaf to the batch's abort, cancel and timeout; can still be cancelled by itself. Default false.",
  }),
  context: Context.optional(),
  onRestart: z.enum(['retry', 'fail']).optional().meta({
    description: 'What becomes of an attempt that a crash interrupts: a new attempt, or the end as `interrupted`.',
  }),
}

const COMMON = {
  name: Name.optional().meta({ description: 'Unique in the batch. Default `job-<index>`.' }),
  ...DEFAULTABLE,
}

/** Fills what a job leaves out. */
export const JobDefaults = z.strictObject(DEFAULTABLE).meta({
  id: 'JobDefaults',
  description: 'Fills what a job leaves out.',
})

/** Validates what can be of a job whose `kind` is wrong, so that its other mistakes are named too. */
export const JobOfNoKind = z.looseObject(COMMON)

/** The schemas of the jobs a service takes, by kind and as one. */
export interface JobSchema {
  /** The names of the kinds, in the order of the table. */
  kinds: readonly string[]
  byKind: ReadonlyMap<string, z.ZodType<CommonSpec>>
  /** A short way to what those say, for the kinds that have one. */
  quick: ReadonlyMap<string, QuickJob>
  /** The names of the kinds whose destination is judged. */
  judged: ReadonlySet<unknown>
  /** What stands against a job of a known kind, whatever its form. */
  objections(job: Readonly<Record<string, unknown>>, tenantId: string): Objection[]
  /** Any of them, for the OpenAPI document. */
  job: z.ZodType<CommonSpec>
  /** The component of the OpenAPI document that each kind's schema is. */
  components: { id: string; description: string; schema: z.ZodType }[]
}

/**
 * The schema of a job from the table of kinds: each kind's own fields beside the common ones, strictly.
 * @throws {ConfigError} when a kind's name is wrong or taken, or one of its fields is a common one.
 */
export function buildJobSchema(kinds: readonly JobKind[]): JobSchema {
  const byKind = new Map<string, z.ZodObject>()
  for (const kind of kinds) {
    if (byKind.has(kind.name)) throw new ConfigError(`Two kinds are called "${kind.name}".`)
    byKind.set(kind.name, schemaOf(kind))
  }
  return {
    kinds: [...byKind.keys()],
    // Every one of them extends the common fields and the literal kind: its output is a CommonSpec.
    byKind: byKind as ReadonlyMap<string, z.ZodType> as ReadonlyMap<string, z.ZodType<CommonSpec>>,
    quick: quickJobs(kinds),
    judged: new Set(kinds.filter(({ guarded }) => guarded).map(({ name }) => name)),
    objections: (job, tenantId) => kinds.find(({ name }) => name === job.kind)?.objections?.(job, tenantId) ?? [],
    job: z.union([...byKind.values()]) as z.ZodType as z.ZodType<CommonSpec>,
    components: kinds.map((kind) => componentOf(kind, byKind)),
  }
}

function schemaOf(kind: JobKind): z.ZodObject {
  if (!/^[a-z][a-z0-9_-]*$/.test(kind.name)) throw new ConfigError(`"${kind.name}" is no name for a kind.`)
  const common: Record<string, z.ZodType> = { kind: z.literal(kind.name), ...COMMON }
  const taken = Object.keys(kind.spec.shape).filter((field) => field in common)
  if (taken.length > 0)
    throw new ConfigError(`The kind "${kind.name}" cannot have the common fields ${taken.join(', ')}.`)
  return kind.spec.safeExtend(common).strict()
}

function componentOf(kind: JobKind, byKind: Map<string, z.ZodObject>): JobSchema['components'][number] {
  const words = kind.name.split(/[-_]/).map((word) => word.charAt(0).toUpperCase() + word.slice(1))
  const schema = byKind.get(kind.name) ?? z.never()
  return { id: `${words.join('')}Job`, description: kind.description ?? `A job of kind \`${kind.name}\`.`, schema }
}
