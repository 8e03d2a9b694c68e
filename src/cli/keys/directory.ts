import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../../config.ts'
import { ConfigError, StoreUnusableError } from '../../errors.ts'
import { DATABASE_FILE, IN_MEMORY } from '../../store/sqlite/open.ts'
import { SqliteStore } from '../../store/sqlite/store.ts'
import type { KeyDesk } from './desk.ts'
import { storeDesk } from './store-desk.ts'

/**
 * The keys of a data directory that no service runs on. With `mayCreate` it is made where there is none.
 * @throws {ConfigError} {StoreUnusableError} when a service runs on it, with what to do then.
 */
export async function directoryKeys(config: Config, mayCreate: boolean): Promise<KeyDesk> {
  const { dataDir } = config
  if (dataDir === IN_MEMORY)
    throw new ConfigError(`GATHERD_DATA_DIR is ${IN_MEMORY}, which keeps no keys. For a running service, use --url.`)
  if (!mayCreate && !existsSync(join(dataDir, DATABASE_FILE)))
    throw new ConfigError(
      `There is no database in ${dataDir}, so there are no keys. GATHERD_DATA_DIR says where it is.`,
    )
  const store = await open(config)
  return await storeDesk({ store, place: dataDir, close: () => store.close() })
}

async function open({ dataDir, host, port }: Config): Promise<SqliteStore> {
  try {
    // A thread that dies fails the call that waits for it.
    return await SqliteStore.open({ dataDir, onDeath: () => undefined })
  } catch (error) {
    if (!(error instanceof StoreUnusableError)) throw error
    const hint =
      `If that is the service, ask it instead: GATHERD_ADMIN_KEY=… gatherd keys … --url ${serviceUrl(host, port)} (it must run ` +
      'with the same GATHERD_ADMIN_KEY; the admin API under /v1/admin/tenants does the same).'
    throw new StoreUnusableError(`${error.message}\n${hint}`, { cause: error })
  }
}

/** Where a service of these settings is, for somebody on this machine. */
function serviceUrl(host: string, port: number): string {
  const reached = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host
  return `http://${reached.includes(':') ? `[${reached}]` : reached}:${port === 0 ? '<its port>' : port}`
}
