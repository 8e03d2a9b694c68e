import type { TenantSettings } from '../engine/engine.ts'

/** A tenant as kept. `createdAt` in milliseconds since the epoch. */
export interface TenantRow {
  id: string
  settings: TenantSettings
  createdAt: number
}

/** An API key as kept: never the secret, only its SHA-256 in hex. Instants in milliseconds since the epoch. */
export interface KeyRow {
  id: string
  tenantId: string
  name: string | null
  hash: string
  scopes: string[]
  createdAt: number
  expiresAt: number | null
  revokedAt: number | null
}

/** Tenants and keys: few, read once at the start and written rarely. Every write is on disk when its promise resolves. */
export interface DirectoryStore {
  tenants(): Promise<TenantRow[]>
  keys(): Promise<KeyRow[]>
  /** Insert or replace by `id`. */
  putTenant(row: TenantRow): Promise<void>
  /** Insert or replace by `id`. */
  putKey(row: KeyRow): Promise<void>
}
