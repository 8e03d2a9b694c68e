import { IN_MEMORY } from '../../../src/store/sqlite/open.ts'
import { storeContract } from '../contract.ts'
import { directStore } from './direct-store.ts'
import { openSqlite, underTest } from './under-test.ts'

storeContract('SqliteStore in memory', () => underTest(IN_MEMORY, openSqlite))
storeContract('SqliteService in memory', () => underTest(IN_MEMORY, async (dataDir) => directStore(dataDir)))
