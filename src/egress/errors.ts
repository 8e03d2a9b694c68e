import { ServiceError } from '../errors.ts'

/** Why no connection could be had. Codes are those of the API. */
export type EgressFailure = 'dns_failed' | 'connect_failed' | 'tls_failed' | 'connect_timeout' | 'connection_lost'

/** The fixed sentence for each failure: no address, port or URL, so that it can be shown to a tenant. */
export const EGRESS_SENTENCES: Readonly<Record<EgressFailure, string>> = {
  dns_failed: 'The name of the host could not be resolved.',
  connect_failed: 'No connection to the host could be made.',
  tls_failed: 'No secure connection to the host could be made.',
  connect_timeout: 'No connection to the host could be made in time.',
  connection_lost: 'The connection was lost before the response was complete.',
}

/** A connection could not be opened, or is gone. The `cause` carries Node's own text and is for the operator's log only. */
export class EgressError extends ServiceError {
  readonly code: EgressFailure
  constructor(code: EgressFailure, cause?: unknown) {
    super(EGRESS_SENTENCES[code])
    this.code = code
    if (cause !== undefined) this.cause = cause
  }
}
