import { ServiceError } from '../errors.ts'
import { connectReason, dnsReason, type Reason, tlsReason } from './reasons.ts'

/** Why no connection could be had. Codes are those of the API. */
export type EgressFailure = 'dns_failed' | 'connect_failed' | 'tls_failed' | 'connect_timeout' | 'connection_lost'

/** The fixed sentence for each failure whose reason is not known: no address, port or URL, so that it can be shown to a tenant. */
export const EGRESS_SENTENCES: Readonly<Record<EgressFailure, string>> = {
  dns_failed: 'The name of the host could not be resolved.',
  connect_failed: 'No connection to the host could be made.',
  tls_failed: 'No secure connection to the host could be made.',
  connect_timeout: 'No connection to the host could be made in time.',
  connection_lost: 'The connection was lost before the response was complete.',
}

/**
 * A connection could not be opened, or is gone. Message and `reason` are of closed lists; the `cause` carries Node's own text and is for
 * the operator's log only.
 */
export class EgressError extends ServiceError {
  readonly code: EgressFailure
  /** What is known of it; undefined where the code says it all. */
  readonly reason: Reason['reason'] | undefined
  constructor(code: EgressFailure, cause?: unknown) {
    const known = reasonOf(code, cause)
    super(known?.message ?? EGRESS_SENTENCES[code])
    this.code = code
    this.reason = known?.reason
    if (cause !== undefined) this.cause = cause
  }
}

function reasonOf(code: EgressFailure, cause: unknown): Reason | undefined {
  switch (code) {
    case 'dns_failed':
      return dnsReason(cause)
    case 'connect_failed':
      return connectReason(cause)
    case 'tls_failed':
      return tlsReason(cause)
    default:
      return undefined
  }
}
