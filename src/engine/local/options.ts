import type { Clock } from '../../clock.ts'
import type { JobKind } from '../../jobs/kind.ts'
import type { Vault } from '../../secrets/vault.ts'
import type { Store } from '../../store/store.ts'
import type { TenantSettings } from '../engine.ts'
import type { RuntimeEvents } from './runtime.ts'
import type { SealEvents } from './sealer.ts'
import type { TenantDefaults } from './tenants.ts'
import type { EngineTraces } from './traces.ts'

/** What a local engine is made of. It does not own the store: whoever opened it closes it, after the engine. */
export interface LocalEngineOptions {
  store: Store
  /** Seals the secrets of jobs on their way into the store. */
  vault: Vault
  clock: Clock
  kinds: ReadonlyMap<string, JobKind>
  /** Jobs at once over all tenants. */
  maxConcurrency: number
  /** Jobs at once for one target host; 0: no cap. */
  hostConcurrency: number
  /** What holds for a tenant without settings of its own. */
  tenantDefaults: TenantDefaults
  /** How long a drained batch can be read. */
  retentionMs: number
  /** Whether what was running at the end is there at the next start. */
  durable: boolean
  /** Told of a tenant's settings before they act, at each change and at the start. May throw to refuse them. */
  onTenant?: (id: string, settings: TenantSettings) => void
  /**
   * Told of a deleted tenant in the turn in which all of its attempts, also those that ignore it, were told to stop: before anybody can
   * come under its name.
   */
  onTenantDeleted?: (id: string) => void
  /** Called before each start of an attempt. An engine that shares its store may find out here that a tenant has moved. */
  beforeStart?: () => void
  /** Absent: nothing is traced. */
  traces?: EngineTraces | undefined
  events: RuntimeEvents & SealEvents
}
