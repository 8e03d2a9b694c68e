/** A header name (RFC 9110, 5.6.2). */
export const HEADER_NAME = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
/** Visible ASCII, with blanks and tabs only inside (RFC 9110, 5.5, without obs-text). */
export const HEADER_VALUE = /^(?:[!-~](?:[\t -~]*[!-~])?)?$/

/** Header lines of a request, and the bytes of their names and values with `: ` and CRLF. */
export const MAX_REQUEST_HEADERS = 64
export const MAX_REQUEST_HEADER_BYTES = 16 * 1024

const FORBIDDEN: ReadonlySet<string> = new Set([
  // undici would check the certificate against it.
  'host',
  // Framing and hop-by-hop (RFC 9110, 7.6.1): ours to set.
  ...[
    'connection',
    'keep-alive',
    'transfer-encoding',
    'content-length',
    'te',
    'trailer',
    'upgrade',
    'expect',
    'http2-settings',
  ],
  // Who the request comes from: a caller must not speak for a proxy.
  ...['via', 'forwarded', 'x-forwarded', 'x-real-ip', 'x-client-ip', 'true-client-ip'],
  ...['cf-connecting-ip', 'x-cluster-client-ip', 'fastly-client-ip', 'x-envoy-external-address'],
  // What opens the metadata services of clouds: Azure and IBM, Google, Azure's managed identities.
  ...['metadata', 'x-google-metadata-request', 'x-identity-header'],
])
const FORBIDDEN_PREFIXES = [
  'proxy-',
  'x-forwarded-',
  'sec-',
  // Google and IBM (`-flavor`), Linode (`-token`, `-token-expiry-seconds`); AWS; Alibaba.
  ...['metadata-', 'x-aws-ec2-metadata-', 'x-aliyun-ecs-metadata-'],
]

/** Whether a job may not set this header, whatever its case; many servers take `_` for `-` (RFC 3875, 4.1.18). */
export function isForbiddenHeader(name: string): boolean {
  const lower = name.toLowerCase().replaceAll('_', '-')
  return FORBIDDEN.has(lower) || FORBIDDEN_PREFIXES.some((prefix) => lower.startsWith(prefix))
}

/** Parts of the names of headers whose values are credentials. One too many costs a few microseconds a job, one missing a password. */
const SECRET = /auth|cookie|token|secret|key|passw|signature|credential|session|jwt/i
/** Those that are parts of harmless words as well (`design`, `shipping`): alone, or between what is no letter. */
const SECRET_WORD = /(?<![a-z])(?:bearer|otp|pwd|pass|hmac|pin|sig)(?![a-z])/i

/** Whether the value of a job's header is nobody's to read: it is kept encrypted. */
export function isSecretHeader(name: string): boolean {
  return SECRET.test(name) || SECRET_WORD.test(name)
}

/** What is wrong with a set of headers as a whole: `[name, sentence]`, with no name for what concerns all of them. */
export function headerProblems(headers: Record<string, unknown>): [name: string | undefined, detail: string][] {
  const problems: [string | undefined, string][] = []
  const names = Object.keys(headers)
  const seen = new Set<string>()
  for (const name of names) {
    if (isForbiddenHeader(name)) problems.push([name, 'This header is not for a job to set.'])
    if (seen.has(name.toLowerCase())) problems.push([name, 'This header is there already, in another case.'])
    seen.add(name.toLowerCase())
  }
  if (names.length > MAX_REQUEST_HEADERS)
    problems.push([undefined, `A request has at most ${MAX_REQUEST_HEADERS} headers.`])
  if (bytesOf(headers) > MAX_REQUEST_HEADER_BYTES) {
    problems.push([undefined, `Headers have at most ${MAX_REQUEST_HEADER_BYTES} bytes in all.`])
  }
  return problems
}

function bytesOf(headers: Record<string, unknown>): number {
  return Object.entries(headers).reduce((sum, [name, value]) => sum + name.length + String(value).length + 4, 0)
}
