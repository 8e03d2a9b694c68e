/** What is wrong with one field of a request: where (RFC 6901 JSON Pointer) and why, in words that say what would be right. */
export interface FieldError {
  pointer: string
  detail: string
  /** Set when the field is refused for another reason than its form, e.g. `egress_denied`. */
  code?: string
}

/** Every error raised on purpose. Its `code` never changes: clients match it, metrics count it. Knows nothing of HTTP. */
export abstract class ServiceError extends Error {
  abstract readonly code: string
  /** Seconds after which trying again makes sense; unset when it does not. */
  readonly retryAfterS?: number
  override get name(): string {
    return this.constructor.name
  }
}

/** One or more fields of a request are wrong; all of them are named. */
export class InvalidArgumentError extends ServiceError {
  readonly code = 'invalid_argument'
  readonly errors: FieldError[]
  /** Destinations among them that are refused, by the kind of rule: for the operator, not for whoever sent them. */
  readonly refusals: ReadonlyMap<string, number>
  constructor(errors: FieldError[], refusals: ReadonlyMap<string, number> = new Map()) {
    super(errors.length === 1 ? '1 field is wrong.' : `${errors.length} fields are wrong.`)
    this.errors = errors
    this.refusals = refusals
  }
}

/** `wait` on a batch without jobs: there is nothing to wait for (asyncio.wait raises ValueError likewise). */
export class EmptyWaitSetError extends ServiceError {
  readonly code = 'empty_wait_set'
  constructor() {
    super('The batch has no jobs, so there is nothing to wait for.')
  }
}

/** The thing does not exist, or belongs to another tenant: the two cannot be told apart. */
export class NotFoundError extends ServiceError {
  readonly code = 'not_found'
  constructor() {
    super('There is no such resource, or it is not yours.')
  }
}

/** The batch was the caller's, and was deleted when its retention time was over. */
export class BatchDeletedError extends ServiceError {
  readonly code = 'batch_deleted'
  constructor() {
    super('The batch was deleted: its retention time is over.')
  }
}

/** The batch is aborting: it takes no more jobs. */
export class BatchShuttingDownError extends ServiceError {
  readonly code = 'batch_shutting_down'
  constructor() {
    super('The batch is shutting down and takes no more jobs.')
  }
}

/** The batch has its outcome: it takes no more jobs. */
export class BatchFinishedError extends ServiceError {
  readonly code = 'batch_finished'
  constructor() {
    super('The batch has finished and takes no more jobs.')
  }
}

/** The job has ended, or its end has begun: it cannot be rescheduled. */
export class JobFinishedError extends ServiceError {
  readonly code = 'job_finished'
  constructor() {
    super('The job has ended or is being ended; it can no longer be rescheduled.')
  }
}

/** A request with the same Idempotency-Key is being answered at this moment. */
export class IdempotencyConflictError extends ServiceError {
  readonly code = 'idempotency_conflict'
  override readonly retryAfterS = 1
  constructor() {
    super('A request with this Idempotency-Key is still in progress.')
  }
}

/** The Idempotency-Key was used before, with another body. */
export class IdempotencyMismatchError extends ServiceError {
  readonly code = 'idempotency_mismatch'
  constructor() {
    super('This Idempotency-Key was used with another request body; use a new key for a new request.')
  }
}

/** More jobs than the tenant may ever have queued, or than a batch may hold: trying again will not help. */
export class BatchTooLargeError extends ServiceError {
  readonly code = 'batch_too_large'
  readonly limit: number
  constructor(limit: number, what: string) {
    super(`The batch can never fit: ${what} is ${limit}.`)
    this.limit = limit
  }
}

/** The tenant's queue has no room for the whole batch now; nothing of it was accepted. */
export class QueueFullError extends ServiceError {
  readonly code = 'queue_full'
  override readonly retryAfterS: number
  constructor(limit: number, retryAfterS = 1) {
    super(`The queue is full: at most ${limit} jobs of a tenant may be queued. Nothing was accepted.`)
    this.retryAfterS = retryAfterS
  }
}

/** The tenant has as many batches that have not drained as it may, or as much in their headers; nothing was accepted. */
export class BatchesFullError extends ServiceError {
  readonly code = 'queue_full'
  override readonly retryAfterS = 5
  /** @param what - What there is too much of, with its bound. */
  constructor(what: string) {
    super(`${what} Close, end or cancel some: there is room when they have drained. Nothing was accepted.`)
  }
}

/** The tenant keeps as many bytes as it may; nothing was accepted. Room comes when batches reach the end of their retention. */
export class StorageFullError extends ServiceError {
  readonly code = 'queue_full'
  override readonly retryAfterS: number
  constructor(facts: { stored: number; limit: number; retryAfterS: number }) {
    super(
      `The tenant keeps ${facts.stored} bytes, and may keep ${facts.limit}: there is room when old batches are deleted. Nothing was accepted.`,
    )
    this.retryAfterS = facts.retryAfterS
  }
}

/** The tenant has as many streams and held answers open as it may have. */
export class TooManyObserversError extends ServiceError {
  readonly code = 'rate_limited'
  override readonly retryAfterS = 1
  constructor(limit: number) {
    super(`Too many streams and waits are open: at most ${limit} of a tenant at once. End one first.`)
  }
}

/** Too many keys from the caller's address were no good lately, and neither is this one, as far as it was looked at. */
export class TooManyFailedKeysError extends ServiceError {
  readonly code = 'rate_limited'
  override readonly retryAfterS: number
  constructor(retryAfterS: number) {
    super('Too many requests with a bad key came from your address, and this one has no good key either.')
    this.retryAfterS = retryAfterS
  }
}

/** The tenant must stay: whoever asks depends on it. */
export class TenantInUseError extends ServiceError {
  readonly code = 'tenant_in_use'
  constructor(detail: string) {
    super(detail)
  }
}

/** The tenant has sent as many requests as it may; this one had no effect. */
export class TooManyRequestsError extends ServiceError {
  readonly code = 'rate_limited'
  override readonly retryAfterS: number
  constructor(perMinute: number, retryAfterS: number) {
    super(`Too many requests: at most ${perMinute} of a tenant in a minute. Nothing was done.`)
    this.retryAfterS = retryAfterS
  }
}

/** The tenant's requests have as many bytes of bodies under way as it may have; this one was not read. */
export class BodyShareError extends ServiceError {
  readonly code = 'rate_limited'
  override readonly retryAfterS = 1
  constructor(bytes: number) {
    super(`Too many request bodies of yours are on their way: at most ${bytes} bytes at once. This one was not read.`)
  }
}

/** The service is stopping: no new work. */
export class ShuttingDownError extends ServiceError {
  readonly code = 'shutting_down'
  override readonly retryAfterS = 5
  constructor() {
    super('The service is shutting down and takes no new work.')
  }
}

/** The service cannot take this now (the store refused the write, or it has too much to do). Nothing was accepted, unless the message says so. */
export class OverloadedError extends ServiceError {
  readonly code = 'overloaded'
  override readonly retryAfterS: number
  constructor(detail = 'The service cannot take more now.', retryAfterS = 2, options?: ErrorOptions) {
    super(detail)
    this.retryAfterS = retryAfterS
    if (options?.cause !== undefined) this.cause = options.cause
  }
}

/** The tenant is another replica's now, or is being handed over: nothing was done here, and the request may be made there. */
export class TenantMovedError extends ServiceError {
  readonly code = 'overloaded'
  override readonly retryAfterS = 1
  constructor() {
    super('The tenant is moving to another replica; nothing was done.')
  }
}

/** A setting of the environment or of the command line is wrong; all that are wrong are named. Stops the start. */
export class ConfigError extends ServiceError {
  readonly code = 'config'
}

/** The data directory cannot be used: locked by another process, read-only, or written by a newer version. */
export class StoreUnusableError extends ServiceError {
  readonly code = 'store_unusable'
}
