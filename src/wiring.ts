import { networkInterfaces } from 'node:os'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { KeyRing } from './auth/keyring.ts'
import type { Clock } from './clock.ts'
import type { Config } from './config.ts'
import type { EgressOptions } from './egress/egress.ts'
import type { Guard } from './egress/guard/guard.ts'
import { idleEntries } from './egress/guard/idle-entries.ts'
import { nameResolver } from './egress/guard/resolver.ts'
import { EgressRulesError, type EgressSettings, findProblems } from './egress/guard/settings.ts'
import type { EgressRules, Engine } from './engine/engine.ts'
import { StoreUnusableError } from './errors.ts'
import { loadKinds } from './jobs/custom.ts'
import type { FetchLimits } from './jobs/fetch/limits.ts'
import type { JobKind } from './jobs/kind.ts'
import { logRefusals, type OnRefused } from './refusals.ts'
import type { EgressEntryCheck } from './schema/requests.ts'
import { openVault } from './secrets/open.ts'
import type { Vault } from './secrets/vault.ts'
import { StoreError } from './store/error.ts'
import { IN_MEMORY } from './store/sqlite/open.ts'
import { SqliteStore } from './store/sqlite/store.ts'

/** What the parts need from outside. */
export interface Surroundings {
  clock: Clock
  logger: FastifyBaseLogger
  version: string
  /** What a relative `GATHERD_KINDS` is relative to. Default: the working directory of the process. */
  cwd?: string
  /** Leave the first key to a call of `keys.first()`: whoever is to see it must be there. Default false. */
  firstKeyLater?: boolean
  /** What the container of the process may have in memory, as Node tells it; absent: nobody knows. */
  memoryLimitBytes?: number | undefined
  /** The service cannot go on: the store's thread died. */
  onFatal: (error: Error) => void
}

/** The engine with all it runs on, and how to give it back. */
export interface EngineParts {
  engine: Engine
  store: SqliteStore
  kinds: JobKind[]
  /** The one place that every refusal of a destination goes through. */
  onRefused: OnRefused
  /** Close in reverse order of building. May be called twice. */
  close(): Promise<void>
}

/** The whole service, not listening yet. */
export interface Service extends EngineParts {
  app: FastifyInstance
  keys: KeyRing
  /** The key of a first start, to be shown once; null at every other. */
  firstKey: string | null
}

/** Build the engine and what is under it. @throws {StoreUnusableError} */
export async function wireEngine(config: Config, { clock, logger, onFatal, cwd }: Surroundings): Promise<EngineParts> {
  const custom = config.kinds === undefined ? [] : await loadKinds(config.kinds, cwd ?? '.')
  // The store's threads start while this one loads: whatever was left by the last process waits for both.
  const opening = SqliteStore.open({ dataDir: config.dataDir, onDeath: onFatal })
  const [store, { LocalEngine, Egress, Guard, builtInKinds }] = await Promise.all([opening, machinery()]).catch(
    (error: unknown) => {
      throw atStart(error, config)
    },
  )
  logger.debug({}, 'store open, engine loaded')
  const vault = await vaultOf(config, store, logger)
  const settings = egressSettings(config)
  warnOfIdle(settings, logger)
  const onRefused = logRefusals(logger)
  const guard = new Guard(settings, ({ tenantId, kind, detail }) =>
    onRefused({ tenantId, stage: 'attempt', kinds: new Map([[kind, 1]]), detail }),
  )
  const egress = new Egress({ clock, guard, ...egressOptions(config) })
  const kinds = [
    ...builtInKinds({ egress, limits: fetchLimits(config), maxInflightBytes: config.egressMaxInflightBytes }),
    ...custom,
  ]
  const engine = new LocalEngine({
    store,
    vault,
    clock,
    kinds: new Map(kinds.map((kind) => [kind.name, kind])),
    maxConcurrency: config.maxConcurrency,
    hostConcurrency: config.hostConcurrency,
    tenantDefaults: {
      maxConcurrency: config.tenantConcurrency,
      maxQueuedJobs: config.maxQueuedJobs,
      maxBatchJobs: config.maxBatchJobs,
      maxStoredBytes: config.maxTenantBytes || null,
      weight: 1,
      rate: { jobsPerSecond: config.jobsPerSecond || null, requestsPerMinute: config.requestsPerMinute || null },
    },
    retentionMs: config.retentionMs,
    durable: config.dataDir !== IN_MEMORY,
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
  })
  const close = async () => {
    await engine.shutdown()
    await egress.close()
    await store.close()
  }
  try {
    // Before the first job starts: what tenants may do holds for it as well.
    for (const { id, settings } of await store.tenants()) engine.applyTenant(id, settings)
    const recovered = await engine.start()
    if (recovered > 0) logger.info({ batches: recovered }, 'went on with what was left')
  } catch (error) {
    await close()
    throw atStart(error, config)
  }
  return { engine, store, kinds, onRefused, close }
}

/** A store that cannot be read when the service starts needs words: what is wrong, and what says more. */
function atStart(error: unknown, { dataDir }: Pick<Config, 'dataDir'>): unknown {
  if (!(error instanceof StoreError)) return error
  const advice = '"gatherd check" says more'
  return new StoreUnusableError(`The data directory ${dataDir} cannot be used: ${error.message}; ${advice}.`, {
    cause: error,
  })
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
function reasonOf(thrown: unknown): string {
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
  }
}

/** What runs jobs, and all that it imports. */
async function machinery() {
  const [{ LocalEngine }, { Egress }, { Guard }, { builtInKinds }] = await Promise.all([
    import('./engine/local/engine.ts'),
    import('./egress/egress.ts'),
    import('./egress/guard/guard.ts'),
    import('./jobs/index.ts'),
  ])
  return { LocalEngine, Egress, Guard, builtInKinds }
}

async function vaultOf({ secretKey, dataDir }: Config, store: SqliteStore, logger: FastifyBaseLogger): Promise<Vault> {
  try {
    const directory = dataDir === IN_MEMORY ? null : dataDir
    const vault = await openVault({ setting: secretKey, dataDir: directory, salt: store.secret })
    if (directory !== null) await checkKey(vault, store, logger)
    return vault
  } catch (error) {
    await store.close()
    throw atStart(error, { dataDir })
  }
}

/** No reason to stop: whoever has lost the key goes on without it. But nobody should find out by what fails. */
async function checkKey(vault: Vault, store: SqliteStore, logger: FastifyBaseLogger): Promise<void> {
  const mark = await store.keyMark()
  if (mark === vault.mark) return
  if (mark !== null && !vault.knows(mark)) logger.warn({ reason: KEY_GONE }, 'the key of this database is not there')
  await store.putKeyMark(vault.mark)
}

const KEY_GONE =
  'The database was last used with another key. What that has sealed cannot be read: jobs with secret headers that have not run end as ' +
  'secret_unreadable, and requests that repeat an Idempotency-Key from before are refused as idempotency_mismatch. If the key is not lost, ' +
  'stop the service and put it back: its line under that of gatherd.key, or "new,old" in GATHERD_SECRET_KEY. This is said once.'

/** Build everything, in order. @throws {StoreUnusableError} */
export async function wire(config: Config, around: Surroundings): Promise<Service> {
  const parts = await wireEngine(config, around)
  try {
    const { engine, store, kinds, onRefused } = parts
    const { clock, logger, version, memoryLimitBytes } = around
    const keys = new KeyRing({ store, clock, adminKey: config.adminKey, auth: config.auth })
    const firstKey = await keys.load({ first: !around.firstKeyLater })
    // Not before: what was left runs again while the HTTP side is loaded.
    const { buildApp } = await import('./app.ts')
    const egressProblem: EgressEntryCheck = (list, entry) => findProblems({ [list]: [entry] })[0]?.detail
    const outside = { clock, logger, version, memoryLimitBytes }
    const app = buildApp({ engine, keys, directory: store, config, kinds, egressProblem, onRefused, ...outside })
    const close = async () => {
      await engine.drain(0)
      await app.close()
      await parts.close()
    }
    return { ...parts, app, keys, firstKey, close }
  } catch (error) {
    await parts.close()
    throw error
  }
}
