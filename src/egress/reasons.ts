/** Why a name, a connection or a handshake failed: closed lists, which the caller may match. */
export type DnsReason = 'not_found' | 'no_answer'
export type ConnectReason = 'refused' | 'reset' | 'timed_out' | 'unreachable' | 'other'
export type TlsReason = 'certificate_expired' | 'self_signed' | 'wrong_host' | 'untrusted' | 'not_tls' | 'other'

/** A reason and the fixed sentence that says it; neither has an address, a port or a text of Node's. */
export interface Reason {
  reason: DnsReason | ConnectReason | TlsReason
  message: string
}

const DNS: Readonly<Record<DnsReason, string>> = {
  not_found: 'The name of the host has no address.',
  no_answer: 'The name servers gave no answer for the name of the host.',
}

/** The more telling come first: of a host with several addresses the most telling failure is told. */
const CONNECT: Readonly<Record<ConnectReason, string>> = {
  refused: 'The host refused the connection.',
  reset: 'The host reset the connection.',
  timed_out: 'The host did not answer in time.',
  unreachable: 'The host cannot be reached.',
  other: 'No connection to the host could be made.',
}
const MOST_TELLING = ['refused', 'reset', 'timed_out', 'unreachable'] as const

const TLS: Readonly<Record<TlsReason, string>> = {
  certificate_expired: "The server's certificate has expired.",
  self_signed: "The server's certificate is self-signed, or signed by an authority of its own.",
  wrong_host: "The server's certificate is for another host.",
  untrusted: "The server's certificate is not trusted.",
  not_tls: 'The server does not speak TLS on this port.',
  other: 'No secure connection to the host could be made.',
}

const CONNECT_CODES = table<ConnectReason>({
  ECONNREFUSED: 'refused',
  ECONNRESET: 'reset',
  ECONNABORTED: 'reset',
  EPIPE: 'reset',
  ETIMEDOUT: 'timed_out',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EHOSTDOWN: 'unreachable',
  ENETDOWN: 'unreachable',
})

/** Those of X.509 are OpenSSL's `X509_V_ERR_…` as Node spells them. */
const TLS_CODES = table<TlsReason>({
  CERT_HAS_EXPIRED: 'certificate_expired',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'self_signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'self_signed',
  ERR_TLS_CERT_ALTNAME_INVALID: 'wrong_host',
  HOSTNAME_MISMATCH: 'wrong_host',
  CERT_NOT_YET_VALID: 'untrusted',
  CERT_CHAIN_TOO_LONG: 'untrusted',
  CERT_REJECTED: 'untrusted',
  CERT_REVOKED: 'untrusted',
  CERT_SIGNATURE_FAILURE: 'untrusted',
  CERT_UNTRUSTED: 'untrusted',
  INVALID_CA: 'untrusted',
  INVALID_PURPOSE: 'untrusted',
  PATH_LENGTH_EXCEEDED: 'untrusted',
  UNABLE_TO_GET_ISSUER_CERT: 'untrusted',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'untrusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'untrusted',
  ERR_SSL_WRONG_VERSION_NUMBER: 'not_tls',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'not_tls',
  ERR_SSL_HTTP_REQUEST: 'not_tls',
  ERR_SSL_HTTPS_PROXY_REQUEST: 'not_tls',
})

/** Without a cause the answer was empty; a name that is there without addresses is no different. */
export function dnsReason(cause: unknown): Reason {
  const code = codeOf(cause)
  const reason = cause === undefined || code === 'ENOTFOUND' || code === 'ENODATA' ? 'not_found' : 'no_answer'
  return { reason, message: DNS[reason] }
}

/** Node throws one error for all addresses of a host, with theirs in `errors`. */
export function connectReason(cause: unknown): Reason {
  const errors = cause instanceof AggregateError ? cause.errors : [cause]
  const reasons = new Set(errors.map((error) => CONNECT_CODES.get(codeOf(error))))
  const reason = MOST_TELLING.find((one) => reasons.has(one)) ?? 'other'
  return { reason, message: CONNECT[reason] }
}

export function tlsReason(cause: unknown): Reason {
  const reason = TLS_CODES.get(codeOf(cause)) ?? 'other'
  return { reason, message: TLS[reason] }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

function table<R>(reasons: Record<string, R>): ReadonlyMap<string, R> {
  return new Map(Object.entries(reasons))
}
