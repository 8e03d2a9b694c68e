import { z } from 'zod'
import { MAX_DURATION_MS } from '../contract.ts'
import {
  MAX_CONTEXT_ENTRIES,
  MAX_CONTEXT_KEY_LENGTH,
  MAX_CONTEXT_LENGTH,
  MAX_LABEL_LENGTH,
  MAX_LABELS,
  MAX_NAME_LENGTH,
} from './limits.ts'

/** Milliseconds, whole, from 0 to 30 days. Fields of this type end in `Ms`. */
export const DurationMs = z.int().min(0).max(MAX_DURATION_MS)

/** What people call a batch or a job; no identity. */
export const Name = z.string().max(MAX_NAME_LENGTH)

/** Any JSON value; how deep it may be is checked with the whole request. */
export const Json = z.unknown()

/** An instant as read: ISO 8601, UTC, milliseconds. */
export const Instant = z.string().meta({ format: 'date-time', examples: ['2026-01-02T03:04:05.678Z'] })

const LABEL_KEY = /^[A-Za-z0-9._/-]{1,64}$/

/** What a label's key has to be. */
export const LABEL_KEY_DETAIL = 'A label is named with 1 to 64 of A-Z, a-z, 0-9, ".", "_", "/" and "-".'

/** A label's key. */
export const LabelKey = z.string().regex(LABEL_KEY, { error: LABEL_KEY_DETAIL })
/** A label's value. */
export const LabelValue = z.string().max(MAX_LABEL_LENGTH)

/** Strings to find a batch by. */
export const Labels = atMost(MAX_LABELS, z.record(LabelKey, LabelValue)).meta({
  description: 'Labels to find the batch by.',
  maxProperties: MAX_LABELS,
})

const CONTEXT_KEY = new RegExp(`^[A-Za-z0-9._-]{1,${MAX_CONTEXT_KEY_LENGTH}}$`)

/** Strings that travel with the work. */
export const Context = atMost(
  MAX_CONTEXT_ENTRIES,
  z.record(
    z.string().regex(CONTEXT_KEY, {
      error: `A context entry is named with 1 to ${MAX_CONTEXT_KEY_LENGTH} of A-Z, a-z, 0-9, ".", "_" and "-".`,
    }),
    z.string().max(MAX_CONTEXT_LENGTH),
  ),
).meta({
  description:
    "Strings that travel with the work: the batch's as base, the job's on top; sent with a fetch as W3C `baggage`.",
  maxProperties: MAX_CONTEXT_ENTRIES,
})

/** `schema` with at most `limit` entries; checked even when an entry is wrong. */
function atMost<S extends z.ZodType<Record<string, string>>>(limit: number, schema: S): S {
  return schema.refine((entries) => Object.keys(entries).length <= limit, {
    error: `Must have at most ${limit} entries.`,
    when: ({ value }) => typeof value === 'object' && value !== null,
  })
}
