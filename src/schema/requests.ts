import { z } from 'zod'
import { MAX_DURATION_MS } from '../contract.ts'
import type { EgressList } from '../engine/engine.ts'
import { DurationMs, LABEL_KEY_DETAIL, LabelValue } from './fields.ts'
import {
  DEFAULT_PAGE,
  MAX_CONCURRENCY,
  MAX_CURSOR_LENGTH,
  MAX_EGRESS_ENTRIES,
  MAX_EGRESS_ENTRY_LENGTH,
  MAX_HEADER_LENGTH,
  MAX_JOBS_EVER,
  MAX_JOBS_PER_SECOND,
  MAX_LABELS,
  MAX_NAME_LENGTH,
  MAX_PAGE,
  MAX_PRIORITY,
  MAX_REASON_LENGTH,
  MAX_REQUESTS_PER_MINUTE,
  MIN_JOBS_PER_SECOND,
} from './limits.ts'
import { BatchState, JobState } from './views.ts'

const limit = z.int().min(1).max(MAX_PAGE).default(DEFAULT_PAGE).meta({ description: 'Entries on a page, at most.' })
const cursor = z.string().min(1).max(MAX_CURSOR_LENGTH).optional().meta({
  description: 'The `nextCursor` of the page before; good for the same filters only.',
})

/** No parameters at all: what is sent all the same is a mistake worth telling. */
export const NoQuery = z.strictObject({})

/** A batch's id in the path. Any text: what is no id is not found. */
export const BatchParams = z.strictObject({ batchId: z.string() })
/** A job's id in the path. */
export const JobParams = z.strictObject({ jobId: z.string() })

const prefer = z.string().max(MAX_HEADER_LENGTH).optional()

/** The `Prefer` header (RFC 7240) where an answer can be held. @param maxWaitMs - The longest that is honoured. */
export const preferHeaders = (maxWaitMs: number) =>
  z.looseObject({
    prefer: prefer.meta({
      description: `\`wait=N\`: hold the answer until the batch has settled, at most N seconds and at most ${maxWaitMs / 1_000}.`,
    }),
  })

/** The headers of a submission. */
export const submitHeaders = (maxWaitMs: number) =>
  z.looseObject({
    ...preferHeaders(maxWaitMs).shape,
    'idempotency-key': z
      .string()
      .regex(/^("[\x20\x21\x23-\x5b\x5d-\x7e]{1,255}"|[\x21\x23-\x7e]{1,255})$/, {
        error: 'Must be 1 to 255 visible ASCII characters, in double quotes or without.',
      })
      .optional()
      .meta({
        description:
          'Makes the submission safe to repeat: the same key with the same body gets the first answer again and starts nothing. Kept 24 hours.',
      }),
    traceparent: z.string().optional().meta({ description: "W3C trace context; a job's fetch carries a child of it." }),
  })

/** The headers of a read. */
export const readHeaders = (maxWaitMs: number) =>
  z.looseObject({
    ...preferHeaders(maxWaitMs).shape,
    'if-none-match': z.string().optional().meta({ description: 'An `ETag`: 304 when nothing has changed since.' }),
  })

/** The headers of a stream; an empty `Last-Event-ID` is none, as browsers have it. */
export const EventsHeaders = z.looseObject({
  'last-event-id': z
    .string()
    .regex(/^\d{0,15}$/, { error: 'Must be the id of an event of this stream.' })
    .optional()
    .meta({ description: 'Events after this one; goes before `after`.' }),
})

/** `GET /v1/batches`. The labels are written `label.<key>=<value>`. */
export const BatchListQuery = z.strictObject({
  state: BatchState.optional(),
  labels: z
    .record(z.string().regex(/^label\.[A-Za-z0-9._/-]{1,64}$/, { error: LABEL_KEY_DETAIL }), LabelValue)
    .refine((labels) => Object.keys(labels).length <= MAX_LABELS, { error: `Must be at most ${MAX_LABELS} labels.` })
    .default({})
    .meta({
      description: `Batches that have all these labels: one \`label.<key>=<value>\` each, at most ${MAX_LABELS}.`,
    }),
  limit,
  cursor,
})

/** `GET /v1/batches/{batchId}`. */
export const BatchQuery = z.strictObject({
  include: z.literal('jobs').optional().meta({ description: 'The jobs as well, all of them, in input order.' }),
})

/** `GET /v1/batches/{batchId}/jobs`. */
export const JobListQuery = z.strictObject({
  order: z.enum(['input', 'completion']).default('input'),
  state: JobState.optional(),
  limit,
  cursor,
})

/** `GET /v1/batches/{batchId}/wait`. @param maxWaitMs - The longest wait, and its default. */
export const waitQuery = (maxWaitMs: number) =>
  z.strictObject({
    returnWhen: z.enum(['ALL_COMPLETED', 'FIRST_COMPLETED', 'FIRST_EXCEPTION']).default('ALL_COMPLETED'),
    timeoutMs: z.int().min(0).max(maxWaitMs).default(maxWaitMs).meta({
      description:
        'The answer comes after this long at the latest, with what is pending then; no error, and no job is touched.',
    }),
  })

/** `GET /v1/batches/{batchId}/events`. */
export const EventsQuery = z.strictObject({
  after: z.int().min(0).max(Number.MAX_SAFE_INTEGER).optional().meta({
    description: 'Events after this number; the `Last-Event-ID` header goes before it. Default 0: from the start.',
  }),
  only: z
    .literal('completions')
    .optional()
    .meta({ description: 'Each job once, when it ends, as asyncio.as_completed.' }),
  timeoutMs: DurationMs.optional().meta({
    description: `The stream ends with \`stream.timeout\` after this long, at most ${MAX_DURATION_MS}; the jobs go on.`,
  }),
})

/** The body of a cancel; none at all is no reason. */
export const CancelBody = z
  .strictObject({
    reason: z
      .string()
      .max(MAX_REASON_LENGTH)
      .nullable()
      .optional()
      .meta({ description: 'Kept with what is cancelled; the first one stays.' }),
  })
  .optional()

/** The body of `close` and `stop`: nothing, or an empty object. */
export const NoBody = z.strictObject({}).optional()

/** `PATCH /v1/jobs/{jobId}`. */
export const RescheduleBody = z
  .strictObject({
    deadlineMs: DurationMs.nullable()
      .optional()
      .meta({ description: "From the job's acceptance; null: none any more." }),
    timeoutMs: DurationMs.nullable()
      .optional()
      .meta({ description: 'From the start of the attempt; null: none any more.' }),
    priority: z.int().min(-MAX_PRIORITY).max(MAX_PRIORITY).optional(),
  })
  .meta({ id: 'Reschedule' })

/** A tenant's id in the path, where any text will do: what is no tenant is not found. */
export const TenantParams = z.strictObject({ tenantId: z.string() })

/** A tenant's id in the path, where one may be made of it. */
export const NewTenantParams = z.strictObject({
  tenantId: z.string().regex(/^[a-z0-9][a-z0-9_-]{0,63}$/, {
    error: 'A tenant is named with 1 to 64 of a-z, 0-9, "_" and "-", a letter or digit first.',
  }),
})
/** A tenant's key in the path. */
export const KeyParams = z.strictObject({ ...TenantParams.shape, keyId: z.string() })

const setting = (max: number, description: string) =>
  z
    .int()
    .min(1)
    .max(max)
    .nullable()
    .optional()
    .meta({ description: `${description} Null: the service's default.` })

const NO_RATE = "Null: the service's default, which is none unless it was set."

/** How fast a tenant may go. */
const RateBody = z
  .strictObject({
    jobsPerSecond: z
      .number()
      .min(MIN_JOBS_PER_SECOND)
      .max(MAX_JOBS_PER_SECOND)
      .nullable()
      .optional()
      .meta({
        description: `Jobs that may start in a second, on average; 0.5 is one in two seconds. A second's worth may start at once. ${NO_RATE}`,
      }),
    requestsPerMinute: z
      .int()
      .min(1)
      .max(MAX_REQUESTS_PER_MINUTE)
      .nullable()
      .optional()
      .meta({
        description: `Requests to this API in a minute, on average; a minute's worth may come at once. ${NO_RATE}`,
      }),
  })
  .nullable()
  .optional()
  .meta({ description: 'How fast the tenant may go. Null: as the service has it for all.' })

/** What is wrong with an entry of a tenant's `egress`, in a sentence; undefined: nothing. */
export type EgressEntryCheck = (list: EgressList, entry: string) => string | undefined

const egressList = (list: EgressList, problemOf: EgressEntryCheck, description: string) =>
  z
    .array(
      z
        .string()
        .min(1)
        .max(MAX_EGRESS_ENTRY_LENGTH)
        .superRefine((entry, context) => {
          const message = context.issues.length > 0 ? undefined : problemOf(list, entry)
          if (message !== undefined) context.addIssue({ code: 'custom', message })
        }),
    )
    .max(MAX_EGRESS_ENTRIES)
    .nullable()
    .optional()
    .meta({ description })

/** Where a tenant's fetches may go. */
const egressBody = (problemOf: EgressEntryCheck) =>
  z
    .strictObject({
      mode: z.enum(['public', 'allow-list']).nullable().optional().meta({
        description: "`allow-list`: only what is allowed. Null: the service's.",
      }),
      allow: egressList(
        'allow',
        problemOf,
        'Addresses and networks, with a port or without: of those that the service allows, only these. Null, and `allowHosts` null: all of them.',
      ),
      allowHosts: egressList('allowHosts', problemOf, 'Host names, such as `app.corp` or `*.svc.corp`; as `allow`.'),
      deny: egressList('deny', problemOf, 'Addresses and networks that may not be fetched from; goes before `allow`.'),
      denyHosts: egressList('denyHosts', problemOf, 'Host names that may not; goes before as well.'),
    })
    .nullable()
    .optional()
    .meta({
      description: [
        "Where the tenant's fetches may go, of what the service lets go: it only narrows. A list replaces the one that was there.",
        "Acts on the next connection. Null: the service's rules alone.",
      ].join(' '),
    })

/** `PUT /v1/admin/tenants/{tenantId}`. @param egressProblem - Judges the entries of `egress`. */
export const tenantBody = (egressProblem: EgressEntryCheck) =>
  z
    .strictObject({
      maxConcurrency: setting(MAX_CONCURRENCY, 'Jobs that may run at once.'),
      maxQueuedJobs: setting(Number.MAX_SAFE_INTEGER, 'Jobs that may be queued.'),
      maxBatchJobs: setting(MAX_JOBS_EVER, 'Jobs that a batch may have.'),
      maxLiveBatches: setting(1_000_000_000, 'Batches that have not drained.'),
      maxStoredBytes: z.int().min(0).max(Number.MAX_SAFE_INTEGER).nullable().optional().meta({
        description: "Bytes on disk past which nothing more is accepted; 0: any number. Null: the service's default.",
      }),
      weight: setting(1_000, 'The share of the server when tenants compete.'),
      rate: RateBody,
      egress: egressBody(egressProblem),
      paused: z.boolean().nullable().optional().meta({ description: 'True: no job starts. Null: false.' }),
    })
    .meta({ description: 'In a `PUT` what is absent is null, in a `PATCH` it stays as it is.' })
/** See the schema. */
export type TenantBody = ReturnType<typeof tenantBody>

/** `POST /v1/admin/tenants/{tenantId}/keys`; no body at all makes a nameless key for jobs that never expires. */
export const KeyBody = z
  .strictObject({
    name: z.string().max(MAX_NAME_LENGTH).nullable().optional(),
    scopes: z
      .array(z.enum(['jobs', 'admin']))
      .min(1)
      .max(2)
      .optional()
      .meta({
        description: 'Default `["jobs"]`: the tenant\'s own routes. `admin` is for the admin routes, of all tenants.',
      }),
    expiresAt: z.iso
      .datetime({ error: 'Must be an instant such as 2027-01-01T00:00:00Z.' })
      .nullable()
      .optional()
      .meta({ description: 'An instant that is still to come. Null: never.' }),
  })
  .optional()
/** See the schema. */
export type KeyBody = z.output<typeof KeyBody>
