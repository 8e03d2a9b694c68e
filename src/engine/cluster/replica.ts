import { hostname } from 'node:os'
import type { Redis } from 'ioredis'
import type { Clock } from '../../clock.ts'
import type { ReplicaGauges } from '../../metrics/cluster-counts.ts'
import { RedisStore } from '../../store/redis/store.ts'
import type { LocalEngine } from '../local/engine.ts'
import { within } from '../local/within.ts'
import { Bus } from './bus.ts'
import type { ConnectionReport, Connections } from './connections.ts'
import { ClusterEngine } from './engine.ts'
import { Holdings, type HoldingsTenancy } from './holdings.ts'
import { Membership } from './membership.ts'
import type { Watches } from './observe.ts'
import { openRedis } from './open-redis.ts'
import { ORPHANS_CHANNEL, Ownership } from './ownership.ts'
import { BusPeers } from './peers.ts'
import { SharedClock } from './shared-clock.ts'
import type { Spread } from './spread/spread.ts'
import { Sweep } from './sweep.ts'

/** A tenant may be without an owner for a lease, and a little more until the next one has found it. */
const BEYOND_LEASE_MS = 5_000

/** A clock that is further off than this is worth a word. */
const SKEW_MS = 1_000

/** How long an observer waits for Redis to listen; it looks at the record all the same. */
const WATCH_MS = 1_000

/** What whoever runs the service should hear of. */
export interface ReplicaEvents {
  connection(report: ConnectionReport): void
  /** The server is set up so that it could lose what it was told. */
  risky?(reason: string): void
  joined(facts: { replicaId: string }): void
  /** It has no lease any more: all that ran here was told to stop, and goes on elsewhere. */
  lost(facts: { replicaId: string; tenants: number }): void
  /** A tenant's work went on elsewhere while this replica still ran it. */
  stale(facts: { tenantId: string }): void
  /** Another replica has died: its heartbeat is gone, and it has not left. One of those that live hears of it. */
  gone?(facts: { replicaId: string }): void
  /** A tenant's work goes on here, of so many batches. `replicaId`: of the replica that had it and has died. */
  tookUp?(facts: { tenantId: string; batches: number; replicaId?: string }): void
  /** A tenant's work stopped here, to go on at another replica. */
  gaveUp?(facts: { tenantId: string }): void
  /** Its clock is more than a second off Redis': its work goes by Redis'. Positive: ahead. */
  skewed?(facts: { ms: number }): void
  /** A job's attempt runs on another replica, which had a slot free. */
  sent?(facts: { batchId: string; index: number; replicaId: string }): void
  failed(error: unknown): void
}

/** What the engine of a replica is built over. */
export interface LocalParts {
  store: RedisStore
  redis: Redis
  clock: SharedClock
  beforeStart: () => void
}

/** What a replica is made of. */
export interface ReplicaOptions {
  /** `redis://` or `rediss://`. */
  url: string
  leaseMs: number
  clock: Clock
  /** Builds the engine that runs the tenants that this replica owns, by `clock`. */
  local(parts: LocalParts): Promise<LocalEngine>
  events: ReplicaEvents
  /** Whether jobs that wait for a slot may run on other replicas, and those of others here. Default true. */
  spread?: boolean
}

/** One of several processes that share a Redis: its connections, its lease, its tenants, and the engine over them. */
export class Replica {
  readonly store: RedisStore
  readonly connections: Connections
  readonly bus: Bus
  readonly engine: ClusterEngine
  /** Attempts on other replicas; null: everything runs where its tenant is. */
  readonly spread: Spread | null
  readonly #local: LocalEngine
  readonly #membership: Membership
  readonly #holdings: Holdings
  readonly #ownership: Ownership
  readonly #sweep: Sweep
  /** Of a tenant that was claimed and is not taken up yet, the replica that had it when it died. */
  readonly #orphanOf = new Map<string, string>()
  readonly #lost = { leasesLost: 0, tenantsStale: 0 }

  /** Connect. Nothing is taken up before `begin`. @throws {StoreUnusableError} {ConfigError} */
  static async start(options: ReplicaOptions): Promise<Replica> {
    const { url, clock, events } = options
    const { connections, risks } = await openRedis({ url, clock, onState: (report) => events.connection(report) })
    for (const reason of risks) events.risky?.(reason)
    try {
      return await Replica.#assemble(options, connections)
    } catch (cause) {
      await connections.close()
      throw cause
    }
  }

  static async #assemble(options: ReplicaOptions, connections: Connections): Promise<Replica> {
    const { clock, leaseMs, events } = options
    const redis = connections.commands
    const late: { replica?: Replica } = {}
    const membership: Membership = new Membership({
      redis,
      clock,
      leaseMs,
      info: () => ({ host: hostname(), tenants: late.replica?.tenants ?? 0 }),
      onJoined: (replicaId) => late.replica?.joined(replicaId, events),
      onLost: (replicaId) => late.replica?.lost(replicaId, events),
      onGone: (replicaId) => events.gone?.({ replicaId }),
      onError: (error) => events.failed(error),
    })
    const store = await RedisStore.open({
      redis,
      owner: (tenantId) => (late.replica?.owns(tenantId) ? membership.id : null),
      onStale: (tenantId) => late.replica?.stale(tenantId, events),
      clock,
    })
    const shared = await SharedClock.of(clock, redis)
    if (Math.abs(shared.aheadMs) > SKEW_MS) events.skewed?.({ ms: Math.round(shared.aheadMs) })
    const local = await options.local({ store, redis, clock: shared, beforeStart: () => void membership.isValid() })
    // BullMQ is loaded where it is used.
    const spreading = options.spread === false ? null : await import('./spread/spread.ts')
    late.replica = new Replica({ options, connections, membership, store, shared, local, spreading })
    return late.replica
  }

  private constructor(parts: {
    options: ReplicaOptions
    connections: Connections
    membership: Membership
    store: RedisStore
    shared: SharedClock
    local: LocalEngine
    spreading: { Spread: typeof Spread } | null
  }) {
    const { connections, membership, store, shared, local, spreading } = parts
    const { clock, leaseMs, events } = parts.options
    const onError = (error: unknown) => events.failed(error)
    const { commands: redis, subscriber, bulk } = connections
    const ownership = new Ownership({
      redis,
      clock,
      membership,
      onOrphan: (tenantId, replicaId) => this.#orphanOf.set(tenantId, replicaId),
    })
    const holdings = new Holdings({
      owners: ownership,
      tenancy: this.#announced(local, events),
      clock,
      isValid: () => membership.isValid(),
      onError,
    })
    const bus = new Bus({ commands: redis, subscriber, bulk, clock, onError })
    const peers = new BusPeers({ bus, redis, clock, onMoved: (tenantId) => ownership.forget(tenantId) })
    const adopt = async (tenantId: string) => void (await holdings.take(tenantId))
    const onStray = (tenantId: string) => this.stale(tenantId, events)
    this.#sweep = new Sweep({ ownership, clock, leaseMs, adopt, onStray, onError })
    this.engine = new ClusterEngine({
      local,
      store,
      holdings,
      peers,
      watches: watchesOf(bus, clock),
      clock,
      patienceMs: leaseMs + BEYOND_LEASE_MS,
      connected: () => connections.ready && membership.isValid() && !membership.full,
      beforeDrain: () => this.#sweep.stop(),
      handBack: async (graceMs) => this.spread?.leave(graceMs),
    })
    const onSent = (facts: { batchId: string; index: number; replicaId: string }) => events.sent?.(facts)
    const around = { redis, bus, membership, clock: shared, leaseMs, onSent, onError }
    this.spread = spreading === null ? null : new spreading.Spread({ ...around, exchange: local.exchange })
    peers.serve(this.engine.router)
    bus.on(ORPHANS_CHANNEL, (tenantId) => {
      ownership.forget(tenantId)
      this.#sweep.hint()
      holdings.regain(tenantId).catch(onError)
    })
    bus.onResubscribed(() => this.#sweep.hint())
    // A Redis that was away may have lost its last second: what is ours is held against what it says.
    connections.commands.on('ready', () => this.#sweep.hint({ own: true }))
    this.connections = connections
    this.store = store
    this.bus = bus
    this.#local = local
    this.#membership = membership
    this.#holdings = holdings
    this.#ownership = ownership
  }

  /** What is measured of it, now. */
  get gauges(): ReplicaGauges {
    const { tenants, spread } = this
    const connected = this.connections.ready && this.#membership.isValid()
    return {
      tenants,
      spread,
      connected,
      calls: this.bus.calls,
      ...this.#lost,
      leaseLeftMs: this.#membership.leaseLeftMs,
    }
  }

  /** How many tenants it owns. */
  get tenants(): number {
    return this.#holdings.size
  }

  /** How many other replicas live. */
  async others(): Promise<number> {
    return (await this.#membership.replicas()).filter(({ id }) => id !== this.#membership.id).length
  }

  owns(tenantId: string): boolean {
    return this.#holdings.isOwner(tenantId)
  }

  joined(replicaId: string, events: ReplicaEvents): void {
    events.joined({ replicaId })
    this.bus.listenAs(replicaId).catch((error: unknown) => events.failed(error))
    this.spread?.lent.hint()
  }

  lost(replicaId: string, events: ReplicaEvents): void {
    this.#lost.leasesLost++
    events.lost({ replicaId, tenants: this.tenants })
    this.#holdings.loseAll()
    this.#orphanOf.clear()
    this.spread?.lost()
    this.bus.listenAs(null).catch((error: unknown) => events.failed(error))
  }

  stale(tenantId: string, events: ReplicaEvents): void {
    // Nothing of it can be here, and nothing of it may: what is not written must not be taken for accepted.
    if (!this.owns(tenantId)) return this.#local.tenancy.lose(tenantId)
    this.#lost.tenantsStale++
    events.stale({ tenantId })
    this.#holdings.lose(tenantId)
    // Still ours by what Redis says, when it has lost data and not us: then its work wants an owner, who reads what is left.
    this.#ownership.release(tenantId, { hasWork: true }).catch((error: unknown) => events.failed(error))
  }

  /** Leave: what runs is handed over, then everything is given back. May be called twice. */
  async close(): Promise<void> {
    await this.#sweep.stop()
    await this.engine.shutdown()
    await this.spread?.close()
    await this.#membership.leave()
    this.bus.close()
    await this.store.close()
    await this.connections.close()
  }

  /** Join the others: from now on tenants may be owned here. */
  async begin(): Promise<void> {
    await this.#local.start({ takeUp: false })
    await this.#membership.start()
    this.#holdings.start()
    this.#sweep.start()
    this.spread?.start()
  }

  /** Where a tenant's work is taken up, what the owner before has sent elsewhere is told to stop. */
  #announced({ tenancy }: LocalEngine, events: ReplicaEvents): HoldingsTenancy {
    return {
      adopt: async (tenantId) => {
        const replicaId = this.#orphanOf.get(tenantId)
        this.#orphanOf.delete(tenantId)
        this.store.leaveBe(tenantId)
        const batches = await tenancy.adopt(tenantId, async () => this.spread?.adopting(tenantId))
        if (batches > 0) events.tookUp?.({ tenantId, batches, ...(replicaId === undefined ? {} : { replicaId }) })
        return batches
      },
      hasWork: (tenantId) => tenancy.hasWork(tenantId),
      handOver: async (tenantId, graceMs) => {
        const hasWork = await tenancy.handOver(tenantId, graceMs)
        await this.store.makeCertain(tenantId)
        if (hasWork) events.gaveUp?.({ tenantId })
        return hasWork
      },
      lose: (tenantId) => tenancy.lose(tenantId),
    }
  }
}

function watchesOf(bus: Bus, clock: Clock): Watches {
  return {
    async watch(batchId, listener) {
      const subscription = bus.watch(batchId, listener)
      const stop = bus.onResubscribed(listener)
      await within(clock, WATCH_MS, subscription.ready)
      return () => {
        subscription.close()
        stop()
      }
    },
  }
}
