import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { KeyRing } from './auth/keyring.ts'
import type { Clock } from './clock.ts'
import type { Config } from './config.ts'
import { findProblems } from './egress/guard/settings.ts'
import type { Engine } from './engine/engine.ts'
import type { EngineTraces } from './engine/local/traces.ts'
import { StoreUnusableError } from './errors.ts'
import type { RequestTraces } from './http/traces.ts'
import { loadKinds } from './jobs/custom.ts'
import type { JobKind } from './jobs/kind.ts'
import { buildWorks, machinery } from './machinery.ts'
import { engineReadings } from './metrics/engine-counts.ts'
import { Metrics, type Reading, type Source } from './metrics/metrics.ts'
import type { OnRefused } from './refusals.ts'
import type { EgressEntryCheck } from './schema/requests.ts'
import { checkKey } from './secrets/mark.ts'
import { openVault } from './secrets/open.ts'
import type { Vault } from './secrets/vault.ts'
import { StoreError } from './store/error.ts'
import { IN_MEMORY } from './store/sqlite/open.ts'
import { SqliteStore } from './store/sqlite/store.ts'
import type { Store } from './store/store.ts'

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
  /** Who makes traces; whoever made it closes it, after the service. Absent: nothing is traced. */
  traces?: (EngineTraces & RequestTraces) | undefined
  /** The service cannot go on: the store's thread died. */
  onFatal: (error: Error) => void
}

/** The engine with all it runs on, and how to give it back. */
export interface EngineParts {
  engine: Engine
  store: Store
  kinds: JobKind[]
  /** The one place that every refusal of a destination goes through. */
  onRefused: OnRefused
  /** What is measured of them. */
  sources: Source[]
  /** Call back after each change of tenants or keys by another process, until the returned function is called; absent: there is none. */
  onDirectory?: (changed: () => Promise<void>) => () => void
  /** The error of a start that the store has ended: in words, if it is one that an operator can mend. */
  atStart(error: unknown): unknown
  /** Close in reverse order of building. May be called twice. */
  close(): Promise<void>
}

/** The whole service, not listening yet. */
export interface Service extends EngineParts {
  app: FastifyInstance
  metrics: Metrics
  keys: KeyRing
  /** The key of a first start, to be shown once; null at every other. */
  firstKey: string | null
}

/** Build the engine and what is under it. @throws {StoreUnusableError} */
export async function wireEngine(config: Config, around: Surroundings): Promise<EngineParts> {
  const { clock, logger, onFatal, cwd, traces } = around
  const custom = config.kinds === undefined ? [] : await loadKinds(config.kinds, cwd ?? '.')
  const { redisUrl } = config
  if (redisUrl !== undefined) {
    const { wireReplica } = await import('./wiring-replica.ts')
    return await wireReplica({ ...config, redisUrl }, { clock, logger, custom, traces })
  }
  // The store's threads start while this one loads: whatever was left by the last process waits for both.
  const opening = SqliteStore.open({ dataDir: config.dataDir, onDeath: onFatal })
  const [store, modules] = await Promise.all([opening, machinery()]).catch((error: unknown) => {
    throw atStart(error, config)
  })
  logger.debug({}, 'store open, engine loaded')
  const vault = await vaultOf(config, store, logger)
  const works = buildWorks(config, { clock, logger, custom, traces }, modules)
  const { egress, kinds, onRefused } = works
  const durable = config.dataDir !== IN_MEMORY
  const engine = new modules.LocalEngine({ ...works.engine, store, vault, durable })
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
  const sources = [() => engineReadings(engine.counts, engine.census()), works.source]
  return { engine, store, kinds, onRefused, sources, atStart: (error) => atStart(error, config), close }
}

/** A store that cannot be read when the service starts needs words: what is wrong, and what says more. */
function atStart(error: unknown, { dataDir }: Pick<Config, 'dataDir'>): unknown {
  if (!(error instanceof StoreError)) return error
  const advice = '"gatherd check" says more'
  return new StoreUnusableError(`The data directory ${dataDir} cannot be used: ${error.message}; ${advice}.`, {
    cause: error,
  })
}

async function vaultOf({ secretKey, dataDir }: Config, store: SqliteStore, logger: FastifyBaseLogger): Promise<Vault> {
  try {
    const directory = dataDir === IN_MEMORY ? null : dataDir
    const setting = directory === null ? undefined : secretKey
    const vault = await openVault({ setting, dataDir: directory, salt: store.secret })
    if (directory !== null) await checkKey(vault, store, () => sayKeyGone(logger))
    return vault
  } catch (error) {
    await store.close()
    throw atStart(error, { dataDir })
  }
}

function sayKeyGone(logger: FastifyBaseLogger): boolean {
  logger.warn({ reason: KEY_GONE }, 'the key of this database is not there')
  return true
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
    const { clock, logger, version, memoryLimitBytes, traces } = around
    const keys = new KeyRing({
      store,
      clock,
      adminKey: config.adminKey,
      auth: config.auth,
      shared: parts.onDirectory !== undefined,
    })
    const firstKey = await keys.load({ first: !around.firstKeyLater })
    // Not before: what was left runs again while the HTTP side is loaded.
    const { buildApp } = await import('./app.ts')
    const egressProblem: EgressEntryCheck = (list, entry) => findProblems({ [list]: [entry] })[0]?.detail
    const metrics = new Metrics()
    for (const source of [() => aboutBuild(config, version), ...parts.sources]) metrics.add(source)
    const outside = { clock, logger, version, memoryLimitBytes, traces }
    const app = buildApp({
      engine,
      keys,
      directory: store,
      config,
      kinds,
      egressProblem,
      onRefused,
      metrics,
      ...outside,
    })
    const unfollow = parts.onDirectory?.(() => keys.reload())
    const close = async () => {
      unfollow?.()
      await engine.drain(0)
      await app.close()
      await parts.close()
    }
    return { ...parts, app, metrics, keys, firstKey, close }
  } catch (error) {
    await parts.close()
    throw parts.atStart(error)
  }
}

function aboutBuild({ redisUrl, dataDir }: Config, version: string): Reading[] {
  const store = redisUrl !== undefined ? 'redis' : dataDir === IN_MEMORY ? 'memory' : 'sqlite'
  return [['gatherd_build_info', { version, store }, 1]]
}
