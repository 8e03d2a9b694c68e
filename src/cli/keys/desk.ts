import type { Scope } from '../../auth/keyring.ts'
import { ConfigError } from '../../errors.ts'

/** A key as shown: never its secret. The admin API's view. */
export interface KeyInfo {
  id: string
  tenantId: string
  name: string | null
  scopes: string[]
  createdAt: string
  expiresAt: string | null
  revokedAt: string | null
}

/** Where keys are made, listed and revoked: a data directory, a Redis, or a running service. */
export interface KeyDesk {
  /** Makes the tenant as well, when there is none: `isNewTenant`. `expiresAt` is ISO 8601 UTC; null: never. */
  create(
    tenantId: string,
    options: { name: string | null; scopes: Scope[]; expiresAt: string | null },
  ): Promise<{ made: KeyInfo & { key: string }; isNewTenant: boolean }>
  /** @throws a `ServiceError` when there is no such tenant; so does `revoke`, for the key too. */
  list(tenantId: string): Promise<KeyInfo[]>
  revoke(tenantId: string, keyId: string): Promise<void>
  close(): Promise<void>
}

/** Keys as lines of columns under a heading, for people. */
export function keyTable(keys: readonly KeyInfo[]): string {
  const rows = keys.map(({ id, name, scopes, createdAt, expiresAt, revokedAt }) => [
    id,
    name ?? '-',
    scopes.join(','),
    createdAt,
    expiresAt ?? '-',
    revokedAt ?? '-',
  ])
  const lines = [['ID', 'NAME', 'SCOPES', 'CREATED', 'EXPIRES', 'REVOKED'], ...rows]
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)))
  return lines
    .map(
      (line) =>
        `${line
          .map((cell, i) => cell.padEnd(widths[i]))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('')
}

/** There is no such key to revoke: says where it was looked for, as `--tenant` may have been left out. */
export function noSuchKey(tenantId: string, keyId: string): ConfigError {
  return new ConfigError(
    `Tenant "${tenantId}" has no key ${keyId}. For a key of another tenant, name it: --tenant <id>.`,
  )
}
