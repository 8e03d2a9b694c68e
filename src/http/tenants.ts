import { DEFAULT_TENANT, type KeyRing } from '../auth/keyring.ts'
import type { Session } from '../auth/sessions.ts'
import { type Clock, stamp } from '../clock.ts'
import type { EgressRules, Engine, TenantSettings } from '../engine/engine.ts'
import { NotFoundError, OverloadedError, ServiceError, TenantInUseError } from '../errors.ts'
import { isObject } from '../json/object.ts'
import type { KeyBody } from '../schema/requests.ts'
import type { DirectoryStore, KeyRow, TenantRow } from '../store/store.ts'
import type { RequestLimits } from './rate-limit.ts'

/** Values as they come in: null says the same as being absent. */
type Nullable<T> = { [K in keyof T]?: T[K] | null | undefined }

/** Settings as they come in. */
export type SettingsBody = Nullable<Omit<TenantSettings, 'egress'>> & {
  egress?: Nullable<EgressRules> | null | undefined
}

/** What the operator does to tenants and their keys, one change after the other, each on disk and in effect when it resolves. */
export class TenantDesk {
  readonly #engine: Engine
  readonly #directory: DirectoryStore
  readonly #keys: KeyRing
  readonly #clock: Clock
  readonly #limits: Pick<RequestLimits, 'forget'>
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: {
    engine: Engine
    directory: DirectoryStore
    keys: KeyRing
    clock: Clock
    limits: Pick<RequestLimits, 'forget'>
  }) {
    this.#engine = options.engine
    this.#directory = options.directory
    this.#keys = options.keys
    this.#clock = options.clock
    this.#limits = options.limits
  }

  /** Create a tenant, or replace all its settings. */
  put(id: string, body: SettingsBody): Promise<{ row: TenantRow; isNew: boolean }> {
    return this.#serially(async () => {
      const before = (await this.#directory.tenants()).find((row) => row.id === id)
      const createdAt = before?.createdAt ?? Math.floor(this.#clock.now())
      const row = await this.#keep({ id, settings: merged({}, body) as TenantSettings, createdAt })
      return { row, isNew: before === undefined }
    })
  }

  /** Change the settings that `change` names. @throws {NotFoundError} */
  patch(id: string, change: SettingsBody): Promise<TenantRow> {
    return this.#serially(async () => {
      const row = await findTenant(this.#directory, id)
      return await this.#keep({ ...row, settings: merged({ ...row.settings }, change) as TenantSettings })
    })
  }

  /**
   * Delete a tenant with its keys and work.
   *
   * @param callerId - The tenant of the key that asks for it; empty: of none.
   * @throws {NotFoundError}
   * @throws {TenantInUseError} for the caller's own tenant, so that whoever deletes can go on: there is always a next admin.
   */
  remove(id: string, callerId: string): Promise<void> {
    return this.#serially(async () => {
      await findTenant(this.#directory, id)
      if (id === callerId) throw new TenantInUseError('The key that asks for it belongs to this tenant.')
      if (this.#keys.isOpen && id === DEFAULT_TENANT)
        throw new TenantInUseError('While authentication is off, every caller is this tenant.')
      await this.#engine.deleteTenant(id)
      this.#keys.forget(id)
      // Not before its keys: a request with one would be counted again.
      this.#limits.forget(id)
    })
  }

  /** Make a key; a body that says nothing makes a nameless one for jobs that never expires. @throws {NotFoundError} */
  createKey(id: string, body: KeyBody): Promise<{ row: KeyRow; text: string }> {
    const { name = null, scopes = ['jobs'], expiresAt } = body ?? {}
    return this.#serially(async () => {
      const { id: tenantId } = await findTenant(this.#directory, id)
      const expiry = expiresAt ? Date.parse(expiresAt) : null
      return await this.#keys.create({ tenantId, name, scopes: [...new Set(scopes)], expiresAt: expiry })
    })
  }

  /**
   * Make a key useless: at once, and on disk when it resolves, behind the changes before it.
   *
   * @param by - The request that asks for it: it is answered, whatever its own key is.
   * @throws {NotFoundError}
   * @throws {OverloadedError} when it could not be written down, and is to be asked for again.
   */
  async revokeKey(id: string, keyId: string, by: Session | null): Promise<void> {
    this.#keys.disable(id, keyId, by)
    await this.#serially(() => this.#keys.recordRevoked(keyId))
  }

  async #keep(row: TenantRow): Promise<TenantRow> {
    await this.#directory.putTenant(row)
    this.#engine.applyTenant(row.id, row.settings)
    return row
  }

  /** A key must not be made for a tenant that is being deleted, nor one change undo another. */
  #serially<T>(change: () => Promise<T>): Promise<T> {
    const changed = this.#last.then(change).catch((cause: unknown) => {
      if (cause instanceof ServiceError) throw cause
      throw new OverloadedError('The store cannot write now; nothing was changed.', 5, { cause })
    })
    this.#last = changed.catch(() => {
      // The next one does not depend on this one: its caller has the error.
    })
    return changed
  }
}

/**
 * A JSON merge patch (RFC 7396): null removes, objects are merged, anything else replaces. Of settings and settings as they come in
 * come settings.
 */
function merged(target: Record<string, unknown>, patch: object): Record<string, unknown> {
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete target[name]
    else if (isObject(value)) target[name] = merged(isObject(target[name]) ? { ...target[name] } : {}, value)
    else if (value !== undefined) target[name] = value
  }
  return target
}

/** A tenant as kept. @throws {NotFoundError} */
export async function findTenant(directory: DirectoryStore, tenantId: string): Promise<TenantRow> {
  const row = (await directory.tenants()).find(({ id }) => id === tenantId)
  if (!row) throw new NotFoundError()
  return row
}

/** A tenant as the operator sees it. */
export async function adminTenant(engine: Engine, { id, settings, createdAt }: TenantRow) {
  const { limits, usage } = await engine.inspect(id)
  const none = { mode: null, allow: null, allowHosts: null, deny: null, denyHosts: null }
  const egress = { ...none, ...settings.egress }
  const rate = { jobsPerSecond: null, requestsPerMinute: null, ...settings.rate }
  const { maxConcurrency = null, maxQueuedJobs = null, maxBatchJobs = null } = settings
  const { maxLiveBatches = null, maxStoredBytes = null, weight = null, paused = false } = settings
  const caps = { maxConcurrency, maxQueuedJobs, maxBatchJobs, maxLiveBatches, maxStoredBytes }
  return { id, ...caps, weight, rate, egress, paused, createdAt: stamp(createdAt), limits, usage }
}

/** A key as the operator sees it: without its digest. */
export function keyView({ hash: _, ...row }: KeyRow) {
  const { createdAt, expiresAt, revokedAt } = row
  return { ...row, createdAt: stamp(createdAt), expiresAt: stampOrNull(expiresAt), revokedAt: stampOrNull(revokedAt) }
}

function stampOrNull(ms: number | null): string | null {
  return ms === null ? null : stamp(ms)
}
