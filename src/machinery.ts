import { networkInterfaces } from 'node:os'
import type { FastifyBaseLogger } from 'fastify'
import type { Clock } from './clock.ts'
import type { Config } from './config.ts'
import type { Egress, EgressOptions } from './egress/egress.ts'
import type { Guard } from './egress/guard/guard.ts'
import { idleEntries } from './egress/guard/idle-entries.ts'
import { nameResolver } from './egress/guard/resolver.ts'
import { EgressRulesError, type EgressSettings } from './egress/guard/settings.ts'
import type { EgressRules } from './engine/engine.ts'
import type { LocalEngineOptions } from './engine/local/options.ts'
import type { EngineTraces } from './engine/local/traces.ts'
import { StoreUnusableError } from './errors.ts'
import { InflightBytes } from './jobs/fetch/inflight.ts'
import type { FetchLimits } from './jobs/fetch/limits.ts'
import type { JobKind } from './jobs/kind.ts'
import { EgressCounts } from './metrics/egress-counts.ts'
import type { Source } from './metrics/metrics.ts'
import { everyOne, logRefusals, type OnRefused } from './refusals.ts'

/** What runs jobs, and all that it imports: loaded while the store is opened. */
export async function machinery() {
  const [{ LocalEngine }, { Egress }, { Guard }, { builtInKinds }] = await Promise.all([
    import('./engine/local/engine.ts'),
    import('./egress/egress.ts'),
    import('./egress/guard/guard.ts'),
    import('./jobs/index.ts'),
  ])
  return { LocalEngine, Egress, Guard, builtInKinds }
}

/** What an engine needs, whatever its store is. */
export interface Works {
  egress: Egress
  kinds: JobKind[]
  /** The one place that every refusal of a destination goes through. */
  onRefused: OnRefused
  /** What is measured of the way out. */
  source: Source
  engine: Omit<LocalEngineOptions, 'store' | 'vault' | 'durable'>
}

/** What they get from outside. */
export interface WorksAround {
  clock: Clock
  logger: FastifyBaseLogger
  custom: readonly JobKind[]
  /** Absent: nothing is traced. */
  traces?: EngineTraces | undefined
}

/** Build the way out, the kinds, and what the settings say of the engine. */
export function buildWorks(
  config: Config,
  { clock, logger, custom, traces }: WorksAround,
  { Egress, Guard, builtInKinds }: Awaited<ReturnType<typeof machinery>>,
): Works {
  const settings = egressSettings(config)
  warnOfIdle(settings, logger)
  const counts = new EgressCounts()
  const onRefused = everyOne(logRefusals(logger), counts.onRefused)
  const guard = new Guard(settings, ({ tenantId, kind, detail }) =>
    onRefused({ tenantId, stage: 'attempt', kinds: new Map([[kind, 1]]), detail }),
  )
  const egress = new Egress({ clock, guard, ...egressOptions(config) })
  const inflight = new InflightBytes(config.egressMaxInflightBytes)
  const kinds = [...builtInKinds({ egress, limits: fetchLimits(config), inflight }), ...custom]
  const source = () => counts.readings(inflight)
  const engine = { ...engineOptions(config, { clock, logger, kinds, guard, egress }), traces }
  return { egress, kinds, onRefused, source, engine }
}

function engineOptions(
  config: Config,
  parts: { clock: Clock; logger: FastifyBaseLogger; kinds: readonly JobKind[]; guard: Guard; egress: Egress },
): Works['engine'] {
  const { clock, logger, kinds, guard, egress } = parts
  return {
    clock,
    kinds: new Map(kinds.map((kind) => [kind.name, kind])),
    maxConcurrency: config.maxConcurrency,
    hostConcurrency: config.hostConcurrency,
    tenantDefaults: {
      maxConcurrency: config.tenantConcurrency,
      maxQueuedJobs: config.maxQueuedJobs,
      maxBatchJobs: config.maxBatchJobs,
      maxLiveBatches: config.maxLiveBatches,
      maxStoredBytes: config.maxTenantBytes || null,
      weight: 1,
      rate: { jobsPerSecond: config.jobsPerSecond || null, requestsPerMinute: config.requestsPerMinute || null },
    },
    retentionMs: config.retentionMs,
    onTenant: (id, { egress: rules }) => narrow(guard, id, rules),
    onTenantDeleted: (id) => {
      guard.narrow(id, undefined)
      egress.forget(id)
    },
    events: {
      stuck: (facts) => logger.warn(facts, 'job ignores its abort'),
      commitFailed: (err) => logger.error({ err, reason: reasonOf(err) }, 'commit failed, will be tried again'),
      retentionFailed: (err) =>
        logger.error({ err, reason: reasonOf(err) }, 'deleting old batches failed, will be tried again'),
      secretUnreadable: (facts) => logger.warn(facts, 'secrets cannot be read with this key'),
    },
  }
}

function warnOfIdle(settings: EgressSettings, logger: FastifyBaseLogger): void {
  for (const { field, entry, why } of idleEntries(settings))
    logger.warn({ name: ALLOWING[field], reason: `${JSON.stringify(entry)} ${why}.` }, 'an entry opens nothing')
}

const ALLOWING = { allow: 'GATHERD_EGRESS_ALLOW', allowHosts: 'GATHERD_EGRESS_ALLOW_HOSTS' } as const

/** A tenant's own rules, as they are kept: an entry that this version cannot use is no reason to let the tenant go everywhere. */
function narrow(guard: Guard, tenantId: string, rules: EgressRules | undefined): void {
  try {
    guard.narrow(tenantId, rules)
  } catch (cause) {
    if (!(cause instanceof EgressRulesError)) throw cause
    throw new StoreUnusableError(`The egress rules of tenant "${tenantId}" cannot be used: ${cause.message}`, { cause })
  }
}

/** Of the store's errors: SQLite names tables and columns, and quotes no values. */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}

/** The operator's rules. What the addresses of this machine are is looked at once. */
function egressSettings(config: Config): EgressSettings {
  const own = Object.values(networkInterfaces()).flatMap((addresses = []) => addresses.map(({ address }) => address))
  return {
    mode: config.egressMode,
    allow: config.egressAllow,
    allowHosts: config.egressAllowHosts,
    deny: config.egressDeny,
    denyHosts: config.egressDenyHosts,
    nat64: config.egressNat64,
    own,
  }
}

function egressOptions(config: Config): EgressOptions {
  return {
    connectTimeoutMs: config.egressConnectTimeoutMs,
    hostConcurrency: config.hostConcurrency,
    addressConcurrency: config.addressConcurrency,
    maxHeaderBytes: config.egressMaxHeaderBytes,
    resolve: nameResolver({ servers: config.egressDns }),
  }
}

/** The caps of a fetch, out of the settings. */
export function fetchLimits(config: Config): FetchLimits {
  return {
    maxResponseBytes: config.egressMaxResponseBytes,
    maxWireBytes: config.egressMaxWireBytes,
    maxRequestBytes: config.egressMaxRequestBytes,
    maxResponseHeaders: config.egressMaxHeaders,
    headersTimeoutMs: config.egressHeadersTimeoutMs,
    idleTimeoutMs: config.egressIdleTimeoutMs,
  }
}
