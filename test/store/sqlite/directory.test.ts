import { storeContract } from '../contract.ts'
import { directStore } from './direct-store.ts'
import { openSqlite, underTest } from './under-test.ts'

storeContract('SqliteStore in a directory', () => underTest(null, openSqlite))
storeContract('SqliteService in a directory', () => underTest(null, async (dataDir) => directStore(dataDir)))
