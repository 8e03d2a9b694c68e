import type { Redis } from 'ioredis'
import type { Clock } from '../../clock.ts'
import { TenantMovedError } from '../../errors.ts'
import { type Bus, rpcChannel } from './bus.ts'
import { BusLostError, BusTimeoutError, NoReplicaError } from './errors.ts'
import { type AskOptions, type OwnersMethod, type Peers, type Router, UnreachableError } from './router.ts'

/** A replica that has not answered for so long is looked at: its connection ends with it, its lease does not. */
const LOOK_AFTER_MS = 400

/** The other replicas, over the bus. */
export class BusPeers implements Peers {
  readonly #bus: Bus
  readonly #redis: Redis
  readonly #clock: Clock
  readonly #onMoved: (tenantId: string) => void

  /** @param options.onMoved - A tenant is not where it was thought to be. */
  constructor(options: { bus: Bus; redis: Redis; clock: Clock; onMoved: (tenantId: string) => void }) {
    this.#bus = options.bus
    this.#redis = options.redis
    this.#clock = options.clock
    this.#onMoved = options.onMoved
  }

  /** Answer the others with what a router does here. */
  serve(router: Router): void {
    this.#bus.handle<[OwnersMethod, string, ...unknown[]]>('ask', ([method, tenantId, ...args], { signal }) =>
      router.answer(method, tenantId, args, signal),
    )
  }

  async ask(replicaId: string, method: OwnersMethod, args: unknown[], options: AskOptions): Promise<unknown> {
    const gone = new AbortController()
    const stop = this.#lookAfter(replicaId, gone)
    const signal = options.signal === undefined ? gone.signal : AbortSignal.any([options.signal, gone.signal])
    try {
      return await this.#bus.call(replicaId, 'ask', [method, ...args], { timeoutMs: options.timeoutMs, signal })
    } catch (error) {
      throw this.#meaning(error, String(args[0]))
    } finally {
      stop()
    }
  }

  /** Nothing was done where nobody listened; of what was cut off nobody knows. */
  #meaning(error: unknown, tenantId: string): unknown {
    if (error instanceof TenantMovedError || error instanceof NoReplicaError) {
      this.#onMoved(tenantId)
      return new TenantMovedError()
    }
    const isUnknown = error instanceof BusTimeoutError || error instanceof BusLostError
    return isUnknown ? new UnreachableError('The replica has not answered.', { cause: error }) : error
  }

  #lookAfter(replicaId: string, gone: AbortController): () => void {
    let isOver = false
    const look = async (): Promise<void> => {
      // While Redis itself does not answer nothing is known of the replica; the call has its timeout.
      const isThere = await isListening(this.#redis, replicaId).catch(() => true)
      if (isOver) return
      if (isThere) timer = this.#clock.after(LOOK_AFTER_MS, () => void look())
      else gone.abort(new BusLostError({ cause: 'the replica is gone' }))
    }
    let timer = this.#clock.after(LOOK_AFTER_MS, () => void look())
    return () => {
      isOver = true
      timer.cancel()
    }
  }
}

async function isListening(redis: Redis, replicaId: string): Promise<boolean> {
  const [, count] = await redis.pubsub('NUMSUB', rpcChannel(replicaId))
  return Number(count) > 0
}
