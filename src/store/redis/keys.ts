import type { Redis } from 'ioredis'
import type { BatchNo } from '../store.ts'

/** Keys that are no tenant's. */
export const KEYS = {
  /** The highest batch number that was handed out, in blocks. */
  numbers: 'gatherd:no',
  secret: 'gatherd:secret',
  /** Hash: id to row. */
  tenants: 'gatherd:tenants',
  keys: 'gatherd:keys',
  /** There once it ever had a key. */
  hadKeys: 'gatherd:had-keys',
  /** Of the key that seals secrets, which is elsewhere. */
  keyMark: 'gatherd:key-mark',
  /** Set: every tenant that has a batch, or something left of one. */
  known: 'gatherd:known',
} as const

/** Channels that all replicas of a database listen to; what they are called in Redis, {@link sharedChannel} says. */
export type SharedChannel = 'orphans' | 'tickets' | 'adopted' | 'directory'

/**
 * What a channel is called: with the number of the database, for Redis' channels are those of all its databases
 * (https://redis.io/docs/latest/develop/pubsub/, "Database & Scoping").
 */
export function sharedChannel({ options }: Pick<Redis, 'options'>, name: SharedChannel): string {
  return `gatherd:${options.db ?? 0}:${name}`
}

/** The channel that says which tenant's row or keys were written. */
export const DIRECTORY_CHANNEL = 'directory'

/**
 * The channel of a batch: `<seq> <state> <1 when it has drained, else 0>` after each commit that changed it. No two databases have
 * a batch of the same id.
 */
export const batchChannel = (batchId: string) => `gatherd:b:${batchId}`

/** Whose a batch number is. */
export const numberKey = (no: BatchNo) => `gatherd:no:${no}`

/**
 * A key of a tenant: all of them are in one slot of a cluster. The scripts are given `t` and append the others' names to what
 * is before it.
 *
 * - `t`: hash; `rev`: who wrote last, and which of its commits that was; `grave`: what has a number up to it is deleted;
 *   `no`: the highest number used; `bytes`: what the tenant keeps
 * - `owner`: the replica that may write
 * - `away`: hash, where attempts run that are not where their tenant is: seat to replica (engine/cluster/spread/marks.ts)
 * - `batches`: zset of the numbers; `live`: those that have not drained; `drained`: those that have, by when
 * - `ids`: hash, batch id to number
 * - `ik`: hash, Idempotency-Key to `no\nat\nhash\nanswer`; `ika`: zset, the keys by when they were used
 * - `tombs`: zset, ids of deleted batches by when; `purge`: zset, numbers whose jobs and logs are to go, by their bytes
 * - `graves`: set of names of `dead:<name>`, zsets of what deleted tenants of this name had
 */
export const tenantKey = (tenantId: string, name: string) => `gatherd:{${tenantId}}:${name}`

/**
 * The head of a batch, a hash: `i` id, `a` accepted at, `h` header, `l` labels, `m` state, `f` facts, `e` the last event's number,
 * `b` bytes. Its other keys are this one with
 * `:s` a byte of state for each job, `:j` jobs by index, `:r` records by index, `:u` records of runs of jobs, `:n` names to
 * indexes, `:l` the log, a stream.
 */
export const batchKey = (tenantId: string, no: BatchNo) => tenantKey(tenantId, `b:${no}`)
