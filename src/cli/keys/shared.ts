import { systemClock } from '../../clock.ts'
import { atStart, openRedis } from '../../engine/cluster/open-redis.ts'
import { Connection } from '../../store/redis/connection.ts'
import { Directory } from '../../store/redis/directory.ts'
import type { KeyDesk } from './desk.ts'
import { storeDesk } from './store-desk.ts'

/**
 * The keys that replicas share, whether any of them runs or not: they hear of each change.
 * @throws {StoreUnusableError} when the Redis cannot be used; so does each call.
 */
export async function sharedKeys(url: string): Promise<KeyDesk> {
  const { connections } = await openRedis({ url, clock: systemClock })
  const store = new Directory(new Connection(connections.commands))
  const close = () => connections.close()
  try {
    const desk = await storeDesk({ store, place: 'the Redis of GATHERD_REDIS_URL', close })
    return {
      create: (...args) => told(desk.create(...args), url),
      list: (...args) => told(desk.list(...args), url),
      revoke: (...args) => told(desk.revoke(...args), url),
      close,
    }
  } catch (error) {
    await close()
    throw atStart(error, url)
  }
}

/** What Redis has against it, in words. */
function told<T>(done: Promise<T>, url: string): Promise<T> {
  return done.catch((error: unknown) => {
    throw atStart(error, url)
  })
}
