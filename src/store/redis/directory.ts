import { StoreError } from '../error.ts'
import type { DirectoryStore, KeyRow, TenantRow } from '../store.ts'
import type { Connection } from './connection.ts'
import { DIRECTORY_CHANNEL, KEYS, sharedChannel } from './keys.ts'
import { foreign, objectOf, textOf, textsOf } from './replies.ts'

/** Tenants and keys, a hash each. Every write is told to the other replicas on {@link DIRECTORY_CHANNEL}. */
export class Directory implements DirectoryStore {
  readonly #connection: Connection

  constructor(connection: Connection) {
    this.#connection = connection
  }

  async tenants(): Promise<TenantRow[]> {
    const rows = await this.#rows(KEYS.tenants, isTenantRow)
    return rows.sort((a, b) => (a.id < b.id ? -1 : 1))
  }

  async keys(): Promise<KeyRow[]> {
    const rows = await this.#rows(KEYS.keys, isKeyRow)
    return rows.sort((a, b) => a.createdAt - b.createdAt || (a.id < b.id ? -1 : 1))
  }

  async hadKeys(): Promise<boolean> {
    return (await this.#connection.call('EXISTS', KEYS.hadKeys)) === 1
  }

  async putTenant(row: TenantRow): Promise<void> {
    await this.#connection.call('HSET', KEYS.tenants, row.id, JSON.stringify(row))
    await this.#tell(row.id)
  }

  async putKey(row: KeyRow): Promise<void> {
    if (!isKeyRow(row)) throw new StoreError('A key needs an id, a tenant, a hash, scopes and the instant it was made.')
    await this.#connection.call('SET', KEYS.hadKeys, '1', 'NX')
    await this.#connection.call('HSET', KEYS.keys, row.id, JSON.stringify(row))
    await this.#tell(row.tenantId)
  }

  async putFirstKey(row: KeyRow): Promise<boolean> {
    if ((await this.#connection.call('SET', KEYS.hadKeys, '1', 'NX')) === null) return false
    await this.putKey(row)
    return true
  }

  /** The mark of the key that secrets are sealed with, which is not here; null: of none yet. */
  async keyMark(): Promise<string | null> {
    const mark = await this.#connection.call('GET', KEYS.keyMark)
    return mark === null ? null : textOf(mark, KEYS.keyMark)
  }

  async putKeyMark(mark: string): Promise<void> {
    await this.#connection.call('SET', KEYS.keyMark, mark)
  }

  /** Forget a tenant with its keys. */
  async removeTenant(tenantId: string): Promise<void> {
    const keys = (await this.keys()).filter((row) => row.tenantId === tenantId).map(({ id }) => id)
    if (keys.length > 0) await this.#connection.call('HDEL', KEYS.keys, ...keys)
    await this.#connection.call('HDEL', KEYS.tenants, tenantId)
    await this.#tell(tenantId)
  }

  async #tell(tenantId: string): Promise<void> {
    await this.#connection.call('PUBLISH', sharedChannel(this.#connection.redis, DIRECTORY_CHANNEL), tenantId)
  }

  async #rows<T>(key: string, isRow: (row: unknown) => row is T): Promise<T[]> {
    const texts = textsOf(await this.#connection.call('HVALS', key), key)
    return texts.map((text) => {
      const row: unknown = objectOf(textOf(text, key), key)
      if (!isRow(row)) throw foreign(key)
      return row
    })
  }
}

/** Written by `putTenant`: what has these has the rest. */
function isTenantRow(row: unknown): row is TenantRow {
  return has(row, { id: 'string', settings: 'object', createdAt: 'number' })
}

/** Written by `putKey`, likewise. */
function isKeyRow(row: unknown): row is KeyRow {
  return has(row, { id: 'string', tenantId: 'string', hash: 'string', scopes: 'object', createdAt: 'number' })
}

function has(row: unknown, types: Record<string, string>): boolean {
  return (
    typeof row === 'object' &&
    row !== null &&
    Object.entries(types).every(
      ([name, type]) => typeof Reflect.get(row, name) === type && Reflect.get(row, name) !== null,
    )
  )
}
