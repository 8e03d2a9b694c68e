import type { Clock } from '../../clock.ts'
import { STUCK_AFTER_MS } from './attempts.ts'
import type { Recovery } from './recovery.ts'
import type { Runtime } from './runtime.ts'
import type { Tenant, Tenants } from './tenants.ts'
import { within } from './within.ts'

/**
 * Whose work runs here, where several engines share one store: a tenant's is taken up from the record, given to another
 * engine with nothing lost, or let go at once. Nothing here says whose a tenant is: the caller knows.
 */
export class Tenancy {
  readonly #runtime: Runtime
  readonly #tenants: Tenants
  readonly #recovery: Recovery
  readonly #clock: Clock
  /** Of tenants that are no longer here: settles when their last attempt has stopped. */
  readonly #stopping = new Map<string, Promise<void>>()

  constructor(options: { runtime: Runtime; tenants: Tenants; recovery: Recovery; clock: Clock }) {
    this.#runtime = options.runtime
    this.#tenants = options.tenants
    this.#recovery = options.recovery
    this.#clock = options.clock
  }

  /**
   * Go on with what the record has of a tenant, as after a restart; resolves with the number of batches, once they run. What ran here
   * before it was lost has its places until it has stopped: nothing starts before that, unless it ignores its abort.
   * @param announce - Done before the record is read.
   * @throws {TenantMovedError} it was lost since the call, and nothing of it runs here.
   */
  async adopt(tenantId: string, announce: () => Promise<void> = () => Promise.resolve()): Promise<number> {
    // Whoever comes under its name after a loss is taken up by another call.
    const tenant = this.#tenants.get(tenantId)
    await announce()
    const stopped = this.#stopping.get(tenantId)
    if (stopped !== undefined) await within(this.#clock, STUCK_AFTER_MS, stopped)
    return await this.#recovery.run(tenant)
  }

  /** Whether the tenant has a batch here that has not drained. */
  hasWork(tenantId: string): boolean {
    const { deleted, live } = this.#tenants.look(tenantId)
    return !deleted && live.batches > 0
  }

  /**
   * Let another engine have the tenant: start nothing more of it, let what runs end for `graceMs`, then abort that, and leave
   * the rest as the record has it. Resolves once nothing of it runs here, with whether it has work left. What it accepts
   * until its last attempt has ended is on record as well; after that, asking for more is a {@link TenantMovedError}.
   */
  async handOver(tenantId: string, graceMs: number): Promise<boolean> {
    const tenant = this.#tenants.get(tenantId)
    tenant.leaving = true
    tenant.queue.paused = true
    this.#runtime.fair.refresh(tenant.queue)
    await within(this.#clock, graceMs, this.#runtime.whenIdle(tenant))
    tenant.moved = 'handed over'
    tenant.closed = true
    // What was let in by now is on record before it leaves memory.
    await this.#runtime.journal.committed()
    const hasWork = this.hasWork(tenantId)
    const stopped = this.#runtime.whenIdle(tenant)
    this.#discard(tenant)
    await within(this.#clock, STUCK_AFTER_MS, stopped)
    return hasWork
  }

  /** The tenant is another engine's already, which goes on from the record: abort its attempts, and write nothing more of it. */
  lose(tenantId: string): void {
    const tenant = this.#tenants.get(tenantId)
    tenant.moved = 'lost'
    this.#discard(tenant)
  }

  /** Its settings stay, for when it comes back. */
  #discard(tenant: Tenant): void {
    const { id, settings } = tenant
    this.#tenants.forget(tenant)
    this.#tenants.apply(id, settings)
    void this.#runtime.discard(tenant)
    this.#awaitStopped(tenant)
  }

  #awaitStopped(tenant: Tenant): void {
    const { id } = tenant
    const all = Promise.all([this.#stopping.get(id), this.#runtime.whenIdle(tenant)])
    const stopped = all.then(() => {
      if (this.#stopping.get(id) === stopped) this.#stopping.delete(id)
    })
    this.#stopping.set(id, stopped)
  }
}
