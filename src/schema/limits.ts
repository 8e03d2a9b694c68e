/** Jobs of a batch can be numbered up to this; a tenant's `maxBatchJobs` cannot exceed it. */
export const MAX_JOBS_EVER = 1_000_000
/** Characters in a batch's or job's name. */
export const MAX_NAME_LENGTH = 200
/** Characters in the reason of a cancellation. */
export const MAX_REASON_LENGTH = 1_000
/** Labels of a batch. */
export const MAX_LABELS = 32
/** Characters in a label's value. */
export const MAX_LABEL_LENGTH = 256
/** Entries of a `context`. */
export const MAX_CONTEXT_ENTRIES = 32
/** Characters in a key of a `context`. */
export const MAX_CONTEXT_KEY_LENGTH = 64
/** Characters in a value of a `context`. */
export const MAX_CONTEXT_LENGTH = 1_024
/** The lowest and highest `priority` are minus and plus this. */
export const MAX_PRIORITY = 1_000
/** Slots a batch, tenant or server may be allowed. */
export const MAX_CONCURRENCY = 1_000_000
/** The slowest rate at which a tenant's jobs may be let start: one in about a quarter of an hour. */
export const MIN_JOBS_PER_SECOND = 0.001
/** The fastest rate at which a tenant's jobs may be let start. */
export const MAX_JOBS_PER_SECOND = 1_000_000
/** Requests in a minute that a tenant may be allowed. */
export const MAX_REQUESTS_PER_MINUTE = 60_000_000
/** Entries of each list of a tenant's `egress`. */
export const MAX_EGRESS_ENTRIES = 1_000
/** Characters in one of them. */
export const MAX_EGRESS_ENTRY_LENGTH = 300
/** Wrong fields that one answer names; more are cut off, and the answer says so. */
export const MAX_FIELD_ERRORS = 1_000
/** The largest page of a list. */
export const MAX_PAGE = 1_000
/** The size of a page when the caller names none. */
export const DEFAULT_PAGE = 100
/** Characters in a cursor. */
export const MAX_CURSOR_LENGTH = 2_048
/** Characters in a header that means something here. */
export const MAX_HEADER_LENGTH = 4_096
/**
 * Values of a request body of more than 256 KiB: thirty for each of the 10,000 jobs that a batch may have by default. `JSON.parse` stops
 * everybody else for as long as it works: about 0.1 s for so many short strings, 0.02 s for numbers or objects alike.
 */
export const MAX_BODY_VALUES = 300_000
/** Different names of members in it: V8 makes a new shape for an object with a name that it has not met there, in 1 to 2 µs. */
export const MAX_BODY_NAMES = 20_000
/** Arrays and objects inside each other in it. */
export const MAX_BODY_DEPTH = 128
