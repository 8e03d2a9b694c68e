import { KeyRing } from '../../auth/keyring.ts'
import { systemClock } from '../../clock.ts'
import { ConfigError, NotFoundError } from '../../errors.ts'
import { findTenant, keyView } from '../../http/tenants.ts'
import type { DirectoryStore } from '../../store/store.ts'
import { type KeyDesk, noSuchKey } from './desk.ts'

/**
 * The keys of a store that is open.
 * @param options.place - Where they are, for people: `in <place>`.
 * @param options.close - Gives the store back.
 */
export async function storeDesk(options: {
  store: DirectoryStore
  place: string
  close: () => Promise<void>
}): Promise<KeyDesk> {
  const { store, place, close } = options
  const ring = new KeyRing({ store, clock: systemClock })
  await ring.load({ first: false })
  return {
    async create(tenantId, { name, scopes, expiresAt }) {
      const isNewTenant = !(await store.tenants()).some(({ id }) => id === tenantId)
      if (isNewTenant) await store.putTenant({ id: tenantId, settings: {}, createdAt: Math.floor(systemClock.now()) })
      const expiry = expiresAt === null ? null : Date.parse(expiresAt)
      const { row, text } = await ring.create({ tenantId, name, scopes, expiresAt: expiry })
      return { made: { ...keyView(row), key: text }, isNewTenant }
    },
    async list(tenantId) {
      await findTenant(store, tenantId).catch((error: unknown) => {
        throw error instanceof NotFoundError ? new ConfigError(`There is no tenant "${tenantId}" in ${place}.`) : error
      })
      return ring.list(tenantId).map(keyView)
    },
    async revoke(tenantId, keyId) {
      await ring.revoke(tenantId, keyId).catch((error: unknown) => {
        throw error instanceof NotFoundError ? noSuchKey(tenantId, keyId) : error
      })
    },
    close,
  }
}
