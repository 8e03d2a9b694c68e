/** Which traces are kept, see `OTEL_TRACES_SAMPLER`. */
export interface SamplerSettings {
  /** Follow the caller's decision where there is one. */
  parentBased: boolean
  /** The part of all traces that is kept where nobody has decided: 0 to 1. */
  ratio: number
}

/** How spans are handed to the exporter, see `OTEL_BSP_…`: milliseconds, and numbers of spans. */
export interface BatchingSettings {
  scheduledDelayMillis: number
  exportTimeoutMillis: number
  maxQueueSize: number
  maxExportBatchSize: number
}

/** The settings of traces that the SDK does not read by itself. */
export interface TraceSettings {
  /** Where spans go: scheme, host and port, and nothing that could be a secret. */
  endpoint: string
  sampler: SamplerSettings
  batching: BatchingSettings
}

/** A variable that cannot be used as it is, and what is done instead. */
export interface Mistake {
  name: string
  reason: string
}

type Env = Readonly<Record<string, string | undefined>>

/**
 * The settings of traces out of the standard variables of OpenTelemetry, or null: none are wanted. They are when an OTLP
 * endpoint is named, or `OTEL_TRACES_EXPORTER=otlp`, and `OTEL_SDK_DISABLED` is not true.
 *
 * @param mistaken - Told of each variable that is wrong: as the specification has it, that is no reason to stop.
 * @see https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
 */
export function traceSettings(env: Env, mistaken: (mistake: Mistake) => void): TraceSettings | null {
  if (!isWanted(env, mistaken)) return null
  const endpoint = endpointOf(env, mistaken)
  if (endpoint === null) return null
  for (const name of ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL'])
    if (given(env, name, PROTOCOL) !== PROTOCOL)
      mistaken({ name, reason: `only ${PROTOCOL} is spoken here, and it is what is sent` })
  return { endpoint, sampler: samplerOf(env, mistaken), batching: batchingOf(env, mistaken) }
}

const ENDPOINTS = ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT'] as const

function endpointOf(env: Env, mistaken: (mistake: Mistake) => void): string | null {
  const name = ENDPOINTS.find((each) => given(env, each, '') !== '')
  const url = URL.parse(name === undefined ? 'http://localhost:4318' : given(env, name, ''))
  if (url !== null && (url.protocol === 'http:' || url.protocol === 'https:')) return url.origin
  const reason = 'must be a URL with http:// or https://, such as http://localhost:4318: no traces are exported'
  if (name !== undefined) mistaken({ name, reason })
  return null
}

const PROTOCOL = 'http/protobuf'

function isWanted(env: Env, mistaken: (mistake: Mistake) => void): boolean {
  if (given(env, 'OTEL_SDK_DISABLED', '').toLowerCase() === 'true') return false
  const exporter = given(env, 'OTEL_TRACES_EXPORTER', '')
  if (exporter === 'none') return false
  if (exporter === 'otlp') return true
  if (exporter === '') return ENDPOINTS.some((name) => given(env, name, '') !== '')
  mistaken({ name: 'OTEL_TRACES_EXPORTER', reason: 'must be otlp or none: no traces are exported' })
  return false
}

/** By name: whether the caller's decision is followed, and what is kept where there is none (null: the argument says). */
const SAMPLERS: Readonly<Record<string, { parentBased: boolean; ratio: number | null }>> = {
  always_on: { parentBased: false, ratio: 1 },
  always_off: { parentBased: false, ratio: 0 },
  traceidratio: { parentBased: false, ratio: null },
  parentbased_always_on: { parentBased: true, ratio: 1 },
  parentbased_always_off: { parentBased: true, ratio: 0 },
  parentbased_traceidratio: { parentBased: true, ratio: null },
}

function samplerOf(env: Env, mistaken: (mistake: Mistake) => void): SamplerSettings {
  const name = 'OTEL_TRACES_SAMPLER'
  const known = Object.hasOwn(SAMPLERS, given(env, name, 'parentbased_always_on'))
  if (!known)
    mistaken({
      name,
      reason: `must be one of ${Object.keys(SAMPLERS).join(', ')}; the default is used, parentbased_always_on`,
    })
  const { parentBased, ratio } = SAMPLERS[known ? given(env, name, 'parentbased_always_on') : 'parentbased_always_on']
  return { parentBased, ratio: ratio ?? ratioOf(env, mistaken) }
}

function ratioOf(env: Env, mistaken: (mistake: Mistake) => void): number {
  const name = 'OTEL_TRACES_SAMPLER_ARG'
  const ratio = Number(given(env, name, '1'))
  if (ratio >= 0 && ratio <= 1) return ratio
  mistaken({ name, reason: 'must be a number from 0 to 1; 1 is used' })
  return 1
}

function batchingOf(env: Env, mistaken: (mistake: Mistake) => void): BatchingSettings {
  const whole = (name: string, fallback: number) => {
    const text = given(env, name, String(fallback))
    if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
    mistaken({ name, reason: `must be a whole number above 0; ${fallback} is used` })
    return fallback
  }
  const maxQueueSize = whole('OTEL_BSP_MAX_QUEUE_SIZE', 2_048)
  return {
    scheduledDelayMillis: whole('OTEL_BSP_SCHEDULE_DELAY', 5_000),
    exportTimeoutMillis: whole('OTEL_BSP_EXPORT_TIMEOUT', 30_000),
    maxQueueSize,
    maxExportBatchSize: Math.min(whole('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', 512), maxQueueSize),
  }
}

/** An empty variable counts as unset. */
function given(env: Env, name: string, fallback: string): string {
  return env[name]?.trim() || fallback
}
