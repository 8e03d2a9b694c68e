import { ServiceError } from '../../errors.ts'

/**
 * What a refusal is about; a closed list, for metrics:
 * `address` a special range, `metadata` where clouds keep credentials (an address or a name), `own` an address of this machine,
 * `name` a local name, `port`, `scheme` of a redirect, `deny` an entry of the operator's or the tenant's, `not-allowed` what no entry of
 * an allow-list names.
 */
export const DENIAL_KINDS = ['address', 'metadata', 'own', 'name', 'port', 'scheme', 'deny', 'not-allowed'] as const
export type DenialKind = (typeof DENIAL_KINDS)[number]

/** A destination that is refused. */
export interface Denial {
  verdict: 'denied'
  kind: DenialKind
  /** With names, addresses and ports: for the operator's log, never for a tenant. */
  detail: string
}

/** All that a tenant is told of a refusal, whatever its kind. */
export const DENIED_SENTENCE = 'The destination is not allowed.'

export function denied(kind: DenialKind, detail: string): Denial {
  return { verdict: 'denied', kind, detail }
}

/** A destination is refused: it is not connected to, and trying again will not help. */
export class EgressDeniedError extends ServiceError {
  readonly code = 'egress_denied'
  readonly kind: DenialKind
  /** For the operator's log, never for a tenant. */
  readonly detail: string
  constructor({ kind, detail }: Denial) {
    super(DENIED_SENTENCE)
    this.kind = kind
    this.detail = detail
  }
}
