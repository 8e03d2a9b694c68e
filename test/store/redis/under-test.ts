import { RedisStore } from '../../../src/store/redis/store.ts'
import type { RedisServer } from '../../support/redis.ts'
import type { StoreUnderTest } from '../contract.ts'

/** A store in an emptied Redis; opened again by another client, as a new process would. */
export async function underTest(server: RedisServer): Promise<StoreUnderTest> {
  const redis = server.client()
  await redis.flushall()
  let store = await RedisStore.open({ redis })
  const reopen = async () => {
    await store.close()
    store = await RedisStore.open({ redis: server.client() })
    return store
  }
  return {
    store,
    reopen,
    async [Symbol.asyncDispose]() {
      await store.close()
      redis.disconnect()
    },
  }
}
