import * as errors from '../../src/errors.ts'

/** The code of each error raised on purpose, and one of them. `test/errors.test.ts` sees to it that none is missing. */
export const EVERY: [string, errors.ServiceError][] = [
  ['invalid_argument', new errors.InvalidArgumentError([{ pointer: '/a', detail: 'is wrong' }])],
  ['empty_wait_set', new errors.EmptyWaitSetError()],
  ['not_found', new errors.NotFoundError()],
  ['batch_shutting_down', new errors.BatchShuttingDownError()],
  ['batch_finished', new errors.BatchFinishedError()],
  ['job_finished', new errors.JobFinishedError()],
  ['batch_too_large', new errors.BatchTooLargeError(5, 'the limit')],
  ['queue_full', new errors.QueueFullError(5)],
  ['queue_full', new errors.BatchesFullError('There are 5 batches, and there may be 5.')],
  ['queue_full', new errors.StorageFullError({ stored: 6, limit: 5, retryAfterS: 60 })],
  ['shutting_down', new errors.ShuttingDownError()],
  ['overloaded', new errors.OverloadedError()],
  ['overloaded', new errors.TenantMovedError()],
  ['idempotency_mismatch', new errors.IdempotencyMismatchError()],
  ['idempotency_conflict', new errors.IdempotencyConflictError()],
  ['batch_deleted', new errors.BatchDeletedError()],
  ['rate_limited', new errors.TooManyObserversError(5)],
  ['rate_limited', new errors.TooManyFailedKeysError(60)],
  ['rate_limited', new errors.TooManyRequestsError(5, 1)],
  ['rate_limited', new errors.BodyShareError(5)],
  ['tenant_in_use', new errors.TenantInUseError('The tenant is in use.')],
  ['config', new errors.ConfigError('GATHERD_PORT is no port.')],
  ['store_unusable', new errors.StoreUnusableError('It is locked.')],
]
