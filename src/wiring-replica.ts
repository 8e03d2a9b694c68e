import { randomBytes } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import type { Clock } from './clock.ts'
import type { Config } from './config.ts'
import { atStart } from './engine/cluster/open-redis.ts'
import { Refresh } from './engine/cluster/refresh.ts'
import { Replica } from './engine/cluster/replica.ts'
import type { Engine } from './engine/engine.ts'
import type { JobKind } from './jobs/kind.ts'
import { buildWorks, machinery, type WorksAround } from './machinery.ts'
import { replicaReadings } from './metrics/cluster-counts.ts'
import { engineReadings } from './metrics/engine-counts.ts'
import type { Source } from './metrics/metrics.ts'
import type { OnRefused } from './refusals.ts'
import { replicaLog } from './replica-log.ts'
import { checkKey } from './secrets/mark.ts'
import { openVault } from './secrets/open.ts'
import type { Vault } from './secrets/vault.ts'
import { DIRECTORY_CHANNEL } from './store/redis/keys.ts'
import type { DirectoryStore, Store } from './store/store.ts'

/** A message may be lost with a connection: tenants and keys are read again after this long without one. */
const READ_AGAIN_MS = 10_000

/** The key that seals secrets when no setting has one: it is where the sealed is, so it keeps nobody out who has that. */
const SHARED_KEY = 'gatherd:secret-key'

/** One replica's parts. */
export interface ReplicaParts {
  engine: Engine
  store: Store
  kinds: JobKind[]
  onRefused: OnRefused
  /** What is measured of them. */
  sources: Source[]
  /** Call back after each change of tenants or keys, here or elsewhere, until the returned function is called. */
  onDirectory(changed: () => Promise<void>): () => void
  atStart(error: unknown): unknown
  close(): Promise<void>
}

/** What a replica is told beside its settings. */
type Around = WorksAround

/** Build the engine of a replica and what is under it. @throws {StoreUnusableError} when there is no Redis that will do. */
export async function wireReplica(config: Config & { redisUrl: string }, around: Around): Promise<ReplicaParts> {
  try {
    return await build(config, around)
  } catch (error) {
    throw atStart(error, config.redisUrl)
  }
}

async function build(config: Config & { redisUrl: string }, around: Around): Promise<ReplicaParts> {
  const { clock, logger } = around
  const modules = await machinery()
  const events = replicaLog(logger, clock)
  const works = buildWorks(config, around, modules)
  let vault: Vault | undefined
  const sources = [works.source]
  const replica = await Replica.start({
    url: config.redisUrl,
    leaseMs: config.leaseMs,
    clock,
    events,
    spread: config.spread === 'on',
    async local({ store, redis, clock, beforeStart }) {
      const setting = config.secretKey ?? (await sharedKey(redis, logger))
      vault = await openVault({ setting, dataDir: null, salt: store.secret })
      const local = new modules.LocalEngine({ ...works.engine, clock, store, vault, durable: true, beforeStart })
      sources.push(() =>
        engineReadings(local.counts, {
          ...local.census((id) => replica.owns(id)),
          // What Redis takes, too: as /readyz has it.
          writable: replica.engine.healthy,
        }),
      )
      return local
    },
  })
  sources.push(() => replicaReadings(replica.gauges))
  const { engine, store } = replica
  const tenants = new TenantSync(store, engine, (id) => replica.spread?.lent.forget(id))
  const close = async () => {
    await replica.close()
    await works.egress.close()
  }
  try {
    if (vault !== undefined) await checkKey(vault, store, () => sayOtherKey(replica, logger))
    await tenants.read()
    await replica.begin()
  } catch (error) {
    await close()
    throw error
  }
  return {
    engine,
    store,
    kinds: works.kinds,
    onRefused: works.onRefused,
    sources,
    onDirectory: (changed) =>
      follow(replica, clock, async () => {
        try {
          await tenants.read()
          await changed()
        } catch (error) {
          events.failed(error)
        }
      }),
    atStart: (error) => atStart(error, config.redisUrl),
    close,
  }
}

/** Whether this replica's key is the right one from now on: while others go by theirs, it is this one that is wrong. */
async function sayOtherKey(replica: Replica, logger: FastifyBaseLogger): Promise<boolean> {
  logger.warn({ name: 'GATHERD_SECRET_KEY', reason: OTHER_KEY }, 'the other replicas have another key')
  return (await replica.others()) === 0
}

const OTHER_KEY =
  'GATHERD_SECRET_KEY is not that of the replicas that use this Redis, or used it last. What they have sealed cannot be read here, and what is ' +
  'sealed here cannot be read there: jobs with secret headers end as secret_unreadable where they are taken up, and repeated Idempotency-Keys ' +
  'are refused as idempotency_mismatch. Give all replicas the same key; to change it, give all of them "new,old" first.'

/** All replicas have the same, whoever came first. */
async function sharedKey(redis: Replica['connections']['commands'], logger: FastifyBaseLogger): Promise<string> {
  await redis.set(SHARED_KEY, randomBytes(32).toString('hex'), 'NX')
  const key = await redis.get(SHARED_KEY)
  logger.info({ name: 'GATHERD_SECRET_KEY' }, 'the key for secrets is kept in Redis: set one to keep it elsewhere')
  if (key === null) throw new Error('Redis has lost the key that it was given.')
  return key
}

/** Tells the engine of the tenants as they are in the store, when they are not what it was told last. */
class TenantSync {
  readonly #store: DirectoryStore
  readonly #engine: Engine
  readonly #onGone: (tenantId: string) => void
  #known = new Map<string, string>()

  constructor(store: DirectoryStore, engine: Engine, onGone: (tenantId: string) => void) {
    this.#store = store
    this.#engine = engine
    this.#onGone = onGone
  }

  async read(): Promise<void> {
    const rows = await this.#store.tenants()
    const now = new Map(rows.map(({ id, settings }) => [id, JSON.stringify(settings)]))
    for (const { id, settings } of rows) if (this.#known.get(id) !== now.get(id)) this.#engine.applyTenant(id, settings)
    for (const id of this.#known.keys()) {
      if (now.has(id)) continue
      // Before what it must not do is forgotten.
      this.#onGone(id)
      this.#engine.applyTenant(id, {})
    }
    this.#known = now
  }
}

/** Calls of `read`, one after the other: after each message, after a gap, and now and then. */
function follow({ bus }: Replica, clock: Clock, read: () => Promise<void>): () => void {
  const refresh = new Refresh({ clock, read })
  const subscription = bus.on(DIRECTORY_CHANNEL, () => refresh.wake())
  const stop = bus.onResubscribed(() => refresh.wake())
  let timer = clock.after(READ_AGAIN_MS, function tick() {
    refresh.wake()
    timer = clock.after(READ_AGAIN_MS, tick)
  })
  return () => {
    refresh.stop()
    subscription.close()
    stop()
    timer.cancel()
  }
}
