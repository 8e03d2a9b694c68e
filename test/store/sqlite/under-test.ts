import { IN_MEMORY } from '../../../src/store/sqlite/open.ts'
import { SqliteStore } from '../../../src/store/sqlite/store.ts'
import type { Store } from '../../../src/store/store.ts'
import { tempDir } from '../../support/temp-dir.ts'
import type { StoreUnderTest } from '../contract.ts'

/** No thread of these tests is to end by itself. */
export function onDeath(error: Error): void {
  throw error
}

/** The real store, with its threads. */
export function openSqlite(dataDir: string): Promise<SqliteStore> {
  return SqliteStore.open({ dataDir, onDeath })
}

/** A store in a directory of its own (null) or in memory. */
export async function underTest(
  dataDir: string | null,
  open: (dataDir: string) => Promise<Store>,
): Promise<StoreUnderTest> {
  const dir = dataDir === null ? tempDir() : null
  let store = await open(dir?.path ?? IN_MEMORY)
  const reopen = async () => {
    await store.close()
    store = await open(dir?.path ?? IN_MEMORY)
    return store
  }
  return {
    store,
    reopen: dir === null ? null : reopen,
    async [Symbol.asyncDispose]() {
      await store.close()
      dir?.[Symbol.dispose]()
    },
  }
}
