import { randomBytes, scrypt } from 'node:crypto'
import { promisify } from 'node:util'
import { makeKeyFile, readKeyFile } from './key-file.ts'
import { KEY_BYTES, Vault } from './vault.ts'

/** About 0.1 s and 32 MiB a key, once at the start: what it costs to try a guess against a stolen database. */
const COST = { N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 1_024 * 1_024 }

/** Where the keys of a store come from. */
export interface VaultOptions {
  /** `GATHERD_SECRET_KEY`: texts with commas between them, the newest first. */
  setting: string | undefined
  /** The store's directory; null: there is none, and without a setting the key is in memory alone. */
  dataDir: string | null
  /** Of this store alone, no secret: one text gives another key in another store. */
  salt: Uint8Array
}

/**
 * The vault of a store: the keys of the setting, then those of the key file in its directory, which is made when there
 * is neither. So what the file's key has sealed stays readable when a setting comes in its place.
 * @throws {ConfigError} when the file cannot be used.
 */
export async function openVault({ setting, dataDir, salt }: VaultOptions): Promise<Vault> {
  const filed = dataDir === null ? null : readKeyFile(dataDir)
  if (setting === undefined)
    return new Vault(dataDir === null ? [randomBytes(KEY_BYTES)] : (filed ?? makeKeyFile(dataDir)))
  const set = await Promise.all(setting.split(',').map((text) => keyOf(text, salt)))
  return new Vault([...set, ...(filed ?? [])])
}

const stretch = promisify<string, Uint8Array, number, typeof COST, Buffer>(scrypt)

function keyOf(text: string, salt: Uint8Array): Promise<Uint8Array> {
  return stretch(text, salt, KEY_BYTES, COST)
}
