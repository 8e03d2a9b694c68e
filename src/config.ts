import type { z } from 'zod'
import { EGRESS_TABLE } from './config/egress.ts'
import {
  adminKey,
  choice,
  optional,
  optionalWhole,
  rate,
  redisUrl,
  secretKey,
  text,
  trustProxy,
  whole,
} from './config/forms.ts'
import { ConfigError } from './errors.ts'
import {
  MAX_CONCURRENCY,
  MAX_JOBS_EVER,
  MAX_JOBS_PER_SECOND,
  MAX_REQUESTS_PER_MINUTE,
  MIN_JOBS_PER_SECOND,
} from './schema/limits.ts'

/** Each setting: its variable, its form, and what it does. The README's table has the same lines. */
const TABLE = {
  host: ['GATHERD_HOST', text.default('127.0.0.1'), 'The address to listen on; the container sets `0.0.0.0`.'],
  port: ['GATHERD_PORT', whole(0, 65_535, 3_000), 'The port to listen on; `0`: any that is free.'],
  dataDir: ['GATHERD_DATA_DIR', text.default('./data'), 'Where the database is; `:memory:` keeps nothing.'],
  redisUrl: [
    'GATHERD_REDIS_URL',
    redisUrl,
    'Redis or Valkey that several replicas share; unset: one process, with its store in `GATHERD_DATA_DIR`.',
  ],
  leaseMs: [
    'GATHERD_LEASE_MS',
    whole(1_000, 600_000, 10_000),
    'With Redis: how long a replica that says nothing keeps its tenants, in milliseconds.',
  ],
  spread: [
    'GATHERD_SPREAD',
    choice(['on', 'off']).default('on'),
    'With Redis: `on`: a job that waits for a slot of this server runs on a replica that has one free.',
  ],
  adminKey: [
    'GATHERD_ADMIN_KEY',
    adminKey,
    "The operator's key for the admin routes, 32 characters or more; unset: keys with scope `admin`.",
  ],
  secretKey: [
    'GATHERD_SECRET_KEY',
    secretKey,
    'Encrypts secret headers; `new,old` changes it; unset: the data directory has a key, `gatherd.key`.',
  ],
  auth: [
    'GATHERD_AUTH',
    choice(['on', 'off']).default('on'),
    '`off`: no keys, every caller is tenant `default`; on loopback only.',
  ],
  trustProxy: [
    'GATHERD_TRUST_PROXY',
    trustProxy,
    'Proxies whose `X-Forwarded-For` is believed: addresses, networks, or their number; unset: none.',
  ],
  maxConcurrency: [
    'GATHERD_MAX_CONCURRENCY',
    whole(1, MAX_CONCURRENCY, 256),
    'Jobs that may run at once on this server.',
  ],
  tenantConcurrency: [
    'GATHERD_TENANT_CONCURRENCY',
    whole(1, MAX_CONCURRENCY, 16),
    'Jobs of a tenant that may run at once.',
  ],
  hostConcurrency: [
    'GATHERD_HOST_CONCURRENCY',
    whole(0, MAX_CONCURRENCY, 0),
    'Jobs that may be talking to one target host, redirects included; `0`: any number.',
  ],
  addressConcurrency: [
    'GATHERD_ADDRESS_CONCURRENCY',
    whole(0, MAX_CONCURRENCY, 0),
    'Fetches that may be talking to one address at once, whatever names and ports lead there; `0`: any number.',
  ],
  maxQueuedJobs: ['GATHERD_MAX_QUEUED_JOBS', whole(1, 1_000_000_000, 100_000), 'Jobs of a tenant that may be queued.'],
  maxBatchJobs: ['GATHERD_MAX_BATCH_JOBS', whole(1, MAX_JOBS_EVER, 10_000), 'Jobs that a batch may have.'],
  maxLiveBatches: [
    'GATHERD_MAX_LIVE_BATCHES',
    whole(1, 1_000_000_000, 10_000),
    'Batches of a tenant that may be under way: accepted, and not drained.',
  ],
  maxTenantBytes: [
    'GATHERD_MAX_TENANT_BYTES',
    whole(0, Number.MAX_SAFE_INTEGER, 10_737_418_240),
    'Bytes that a tenant may keep on disk before nothing more of it is accepted; `0`: any number.',
  ],
  jobsPerSecond: [
    'GATHERD_JOBS_PER_SECOND',
    rate(MIN_JOBS_PER_SECOND, MAX_JOBS_PER_SECOND),
    'Jobs of a tenant that may start in a second, such as `20` or `0.5`; `0`: any number.',
  ],
  requestsPerMinute: [
    'GATHERD_REQUESTS_PER_MINUTE',
    whole(0, MAX_REQUESTS_PER_MINUTE, 0),
    'Requests of a tenant in a minute; `0`: any number.',
  ],
  bodyLimitBytes: [
    'GATHERD_BODY_LIMIT_BYTES',
    whole(1_024, 1_073_741_824, 16_777_216),
    'The largest request body, in bytes.',
  ],
  maxInflightBodyBytes: [
    'GATHERD_MAX_INFLIGHT_BODY_BYTES',
    whole(0, Number.MAX_SAFE_INTEGER, 0),
    'Request bodies that are on their way or held, in bytes; `0`: four times the largest body.',
  ],
  maxConnections: [
    'GATHERD_MAX_CONNECTIONS',
    whole(1, 1_000_000, 10_000),
    'Connections that may be open at once; more are dropped.',
  ],
  maxConnectionsPerAddress: [
    'GATHERD_MAX_CONNECTIONS_PER_ADDRESS',
    whole(0, 1_000_000, 5_000),
    'Connections of one address, if no proxy is trusted; `0`: any number.',
  ],
  requestTimeoutMs: [
    'GATHERD_REQUEST_TIMEOUT_MS',
    whole(100, 3_600_000, 30_000),
    'How long a request may take to arrive, in milliseconds; its head 10 s at most.',
  ],
  maxWaitMs: [
    'GATHERD_MAX_WAIT_MS',
    whole(0, 3_600_000, 60_000),
    'The longest `Prefer: wait` and `/wait`, in milliseconds.',
  ],
  maxObservers: [
    'GATHERD_MAX_OBSERVERS',
    whole(1, 1_000_000, 2_000),
    'Streams and held answers that a tenant may have open at once.',
  ],
  maxUnreadBytes: [
    'GATHERD_MAX_UNREAD_BYTES',
    whole(1_048_576, Number.MAX_SAFE_INTEGER, 268_435_456),
    'Bytes of answers that were read from the store and that callers have not taken yet.',
  ],
  maxEventLoopDelayMs: [
    'GATHERD_MAX_EVENT_LOOP_DELAY_MS',
    whole(0, 3_600_000, 1_000),
    "Tenants' calls are refused while the event loop is later than this, in milliseconds; `0`: never.",
  ],
  maxHeapBytes: [
    'GATHERD_MAX_HEAP_BYTES',
    whole(0, Number.MAX_SAFE_INTEGER, 0),
    "Tenants' calls are refused while the heap is larger than this; `0`: than nine tenths of what V8 may take.",
  ],
  maxRssBytes: [
    'GATHERD_MAX_RSS_BYTES',
    whole(0, Number.MAX_SAFE_INTEGER, 0),
    "Tenants' calls are refused while the process has more memory; `0`: than nine tenths of its container's.",
  ],
  drainGraceMs: [
    'GATHERD_DRAIN_GRACE_MS',
    whole(0, 86_400_000, 10_000),
    'How long running jobs may go on after SIGTERM, in milliseconds.',
  ],
  retentionMs: [
    'GATHERD_RETENTION_MS',
    whole(0, 365 * 86_400_000, 86_400_000),
    'How long a drained batch can be read, in milliseconds.',
  ],
  ...EGRESS_TABLE,
  metricsPort: [
    'GATHERD_METRICS_PORT',
    optionalWhole(0, 65_535),
    'A port for `/metrics` without a key, beside the one of the operator; `0`: any that is free; unset: none.',
  ],
  metricsHost: ['GATHERD_METRICS_HOST', text.default('127.0.0.1'), 'The address of that port.'],
  kinds: ['GATHERD_KINDS', optional, 'A module with kinds of job of your own.'],
  logLevel: [
    'GATHERD_LOG_LEVEL',
    choice(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
    'The least that is logged: `trace`, `debug`, `info`, `warn`, `error`, `fatal` or `silent`.',
  ],
  logFormat: [
    'GATHERD_LOG_FORMAT',
    choice(['json', 'pretty']).optional(),
    '`json`: an object a line; `pretty`: for people; unset: `pretty` on a terminal, else `json`.',
  ],
} as const satisfies Record<string, readonly [variable: string, schema: z.ZodType, description: string]>

/** The settings of the service, checked and complete. Durations in milliseconds. */
export type Config = { [K in keyof typeof TABLE]: z.output<(typeof TABLE)[K][1]> }

/** A setting as a table of them shows it. `default` is null when there is none. */
export interface Setting {
  name: string
  default: string | null
  description: string
}

/** Every setting, in the order of the README's table. */
export const SETTINGS: readonly Setting[] = Object.values(TABLE).map(([name, schema, description]) => {
  const value = schema.safeParse(undefined).data
  // What is off unless it is set has no value that could be written.
  const isOff = value === undefined || value === false || (Array.isArray(value) && value.length === 0)
  return { name, default: isOff ? null : String(value), description }
})

/**
 * The settings out of an environment; an empty variable counts as unset.
 * @throws {ConfigError} naming all that is wrong: bad values, settings that exclude each other, and unknown `GATHERD_` variables.
 */
export function readConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const wrong: string[] = []
  const values: Record<string, unknown> = {}
  for (const [key, [name, schema]] of Object.entries(TABLE)) {
    const result = schema.safeParse(env[name] || undefined)
    if (result.success) values[key] = result.data
    else wrong.push(...result.error.issues.map((issue) => `${name} ${issue.message}.`))
  }
  wrong.push(...conflicts(values), ...strangers(Object.keys(env)))
  if (wrong.length > 0) throw new ConfigError(`The settings are wrong:\n${wrong.map((line) => `  ${line}`).join('\n')}`)
  // Nothing was wrong, so each key of the table has its schema's output.
  return values as Config
}

function conflicts(values: Record<string, unknown>): string[] {
  const { auth, host, bodyLimitBytes, maxInflightBodyBytes, egressMaxResponseBytes, egressMaxInflightBytes } = values
  const wrong: string[] = []
  if (auth === 'off' && host !== undefined && !isLoopback(String(host)))
    wrong.push(`GATHERD_AUTH may be "off" on loopback only, and GATHERD_HOST is "${host}".`)
  if (Number(maxInflightBodyBytes) > 0 && Number(maxInflightBodyBytes) < Number(bodyLimitBytes))
    wrong.push(
      `GATHERD_MAX_INFLIGHT_BODY_BYTES must have room for one body of GATHERD_BODY_LIMIT_BYTES, ${bodyLimitBytes}.`,
    )
  // One of them undefined is wrong by itself, and makes this false.
  if (Number(egressMaxInflightBytes) < Number(egressMaxResponseBytes))
    wrong.push(
      `GATHERD_EGRESS_MAX_INFLIGHT_BYTES must be at least GATHERD_EGRESS_MAX_RESPONSE_BYTES, that is ${egressMaxResponseBytes}.`,
    )
  return wrong
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

/** What the examples and `gatherd keys` read: a client's, not the service's. */
const CLIENTS = new Set(['GATHERD_URL', 'GATHERD_KEY'])

function isSetting(name: string): boolean {
  return name.startsWith('GATHERD_') && !CLIENTS.has(name) && !name.startsWith('GATHERD_TEST_')
}

function strangers(names: readonly string[]): string[] {
  const known = SETTINGS.map(({ name }) => name)
  const unknown = names.filter((name) => isSetting(name) && !known.includes(name))
  return unknown.map((name) => `${name} is no setting${suggest(name, known)}`)
}

function suggest(name: string, known: readonly string[]): string {
  const ranked = known.map((candidate) => ({ candidate, distance: distance(name, candidate) }))
  const [nearest] = ranked.sort((a, b) => a.distance - b.distance)
  return nearest && nearest.distance <= 4 ? `; did you mean ${nearest.candidate}?` : '.'
}

/** Levenshtein's: the insertions, removals and replacements that make one text the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (const [i, char] of [...a].entries()) {
    const next = [i + 1]
    for (const [j, other] of [...b].entries())
      next.push(Math.min((row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1, (row[j] ?? 0) + (char === other ? 0 : 1)))
    row = next
  }
  return row[b.length] ?? 0
}
