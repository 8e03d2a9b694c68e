import { stamp } from '../clock.ts'
import type { Engine, TenantSettings } from '../engine/engine.ts'
import { NotFoundError } from '../errors.ts'
import type { DirectoryStore, KeyRow, TenantRow } from '../store/store.ts'

/** Settings as they come in: null says the same as being absent. */
export type SettingsBody = { [K in keyof TenantSettings]?: TenantSettings[K] | null | undefined }

/** A tenant as kept. @throws {NotFoundError} */
export async function findTenant(directory: DirectoryStore, tenantId: string): Promise<TenantRow> {
  const row = (await directory.tenants()).find(({ id }) => id === tenantId)
  if (!row) throw new NotFoundError()
  return row
}

/** A tenant as the operator sees it. */
export function adminTenant(engine: Engine, { id, settings, createdAt }: TenantRow) {
  const { limits, usage } = engine.tenant(id)
  const rate = { jobsPerSecond: null, requestsPerMinute: null, ...settings.rate }
  const { maxConcurrency = null, maxQueuedJobs = null, maxBatchJobs = null, weight = null, paused = false } = settings
  const own = { maxConcurrency, maxQueuedJobs, maxBatchJobs, weight, rate, paused }
  return { id, ...own, createdAt: stamp(createdAt), limits, usage }
}

/** The settings that a body sets; the others follow the service. */
export function settingsOf(body: SettingsBody): TenantSettings {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null && value !== undefined))
}

/** A key as the operator sees it: without its digest. */
export function keyView({ hash: _, ...row }: KeyRow) {
  const { createdAt, expiresAt, revokedAt } = row
  return { ...row, createdAt: stamp(createdAt), expiresAt: stampOrNull(expiresAt), revokedAt: stampOrNull(revokedAt) }
}

function stampOrNull(ms: number | null): string | null {
  return ms === null ? null : stamp(ms)
}
