import { ServiceError } from '../../errors.ts'

/** This replica has no lease at this moment: it may own nothing and claim nothing. */
export class NoLeaseError extends ServiceError {
  readonly code = 'no_lease'
  override readonly retryAfterS = 1
  constructor() {
    super('This replica has lost its place among the others; it joins again by itself.')
  }
}

/** The replica that was called does not listen: it is gone, or its connection is. Nothing was done. */
export class NoReplicaError extends ServiceError {
  readonly code = 'no_replica'
  override readonly retryAfterS = 1
  constructor() {
    super('The replica that was called is not there.')
  }
}

/** The replica that was called has not answered in time. Whether it has done what was asked is not known. */
export class BusTimeoutError extends ServiceError {
  readonly code = 'bus_timeout'
  override readonly retryAfterS = 1
  constructor(timeoutMs: number) {
    super(`The replica that was called has not answered within ${timeoutMs} ms.`)
  }
}

/** The way to the other replicas was cut, or closed by us. Whether what was asked was done is not known. */
export class BusLostError extends ServiceError {
  readonly code = 'bus_lost'
  override readonly retryAfterS = 1
  constructor(options?: ErrorOptions) {
    super('The connection to the other replicas was lost.')
    if (options?.cause !== undefined) this.cause = options.cause
  }
}

/** The replica that was called failed for a reason that is in its own log, and not told. */
export class RemoteError extends Error {
  override readonly name = 'RemoteError'
  constructor() {
    super('Another replica failed; its log says why.')
  }
}
