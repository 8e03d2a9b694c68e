import { tmpdir } from 'node:os'
import { cpuMs } from '../machine/proc.ts'
import { type BenchService, call, startService } from '../machine/service.ts'
import { type BenchRedis, startRedis } from './redis.ts'
import type { Job, Shape, System } from './system.ts'

const ADMIN_KEY = 'the-operators-key-of-a-benchmark-run'

/** Requests that are under way at once. */
const CLIENTS = 16

/** Jobs in a batch, at most. */
const BATCH = 1_000

/** A tenant by its key. */
export interface Caller {
  name: string
  key: string
}

/** Replicas of gatherd over one Redis. */
export class Gatherd implements System {
  readonly redis: BenchRedis
  readonly replicas: readonly BenchService[]
  readonly callers: readonly Caller[]
  #batches: { url: string; key: string; id: string }[] = []
  #turn = 0
  readonly #ends: AsyncDisposableStack

  private constructor(parts: {
    redis: BenchRedis
    replicas: BenchService[]
    callers: Caller[]
    ends: AsyncDisposableStack
  }) {
    this.redis = parts.redis
    this.replicas = parts.replicas
    this.callers = parts.callers
    this.#ends = parts.ends
  }

  /** Start the replicas, and make the tenants. */
  static async start({ processes, tenants, cap }: Shape): Promise<Gatherd> {
    await using stack = new AsyncDisposableStack()
    const redis = stack.use(await startRedis())
    const env = {
      GATHERD_REDIS_URL: redis.url,
      GATHERD_ADMIN_KEY: ADMIN_KEY,
      GATHERD_TENANT_CONCURRENCY: `${cap}`,
      // Late or not, it is to be measured.
      GATHERD_MAX_EVENT_LOOP_DELAY_MS: '0',
    }
    const first = stack.use(await startService({ env }))
    const names = Array.from({ length: tenants }, (_, i) => `tenant-${i}`)
    const callers = await inParallel(names, (name) => newCaller(first, name))
    // Only the first has a first key to say; the others are called with the tenants' keys.
    const kept = { dataDir: tmpdir(), key: first.key }
    const replicas = [first]
    while (replicas.length < processes) replicas.push(stack.use(await startService({ env, kept })))
    return new Gatherd({ redis, replicas, callers, ends: stack.move() })
  }

  cpuMs(): number {
    return this.replicas.reduce((sum, { process }) => sum + cpuMs(process.pid), 0)
  }

  async run(job: Job, count: number): Promise<void> {
    const share = count / this.callers.length
    const batches = this.callers.flatMap((caller) => sizes(share).map((size) => ({ caller, size })))
    await inParallel(batches, ({ caller, size }) => this.#submit(caller, job, size))
    await this.drained()
  }

  async pause(): Promise<void> {
    await this.#paused(true)
  }

  async rest(): Promise<void> {
    // Idle replicas are none.
  }

  async resume(): Promise<void> {
    await this.#paused(false)
  }

  async enqueue(job: Job, count: number): Promise<void> {
    await this.#submit(this.callers[0], job, count)
  }

  async drained(): Promise<void> {
    await inParallel(this.#batches, untilDrained)
    this.#batches = []
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ends.disposeAsync()
  }

  /** To the replicas in turns, as a balancer would. */
  async #submit({ key }: Caller, job: Job, count: number): Promise<void> {
    const { url } = this.replicas[this.#turn++ % this.replicas.length]
    const jobs = Array.from({ length: count }, () => job)
    // The service answers a submission with the batch.
    const { id } = (await call({ url, key }, 'POST', '/v1/batches', { jobs })) as { id: string }
    this.#batches.push({ url, key, id })
  }

  async #paused(paused: boolean): Promise<void> {
    const [{ url }] = this.replicas
    const [{ name }] = this.callers
    await call({ url, key: ADMIN_KEY }, 'PUT', `/v1/admin/tenants/${name}`, { paused })
  }
}

async function newCaller({ url }: BenchService, name: string): Promise<Caller> {
  const admin = { url, key: ADMIN_KEY }
  await call(admin, 'PUT', `/v1/admin/tenants/${name}`, {})
  // The answer of this route.
  const { key } = (await call(admin, 'POST', `/v1/admin/tenants/${name}/keys`, {})) as { key: string }
  return { name, key }
}

/** With the default policy a batch drains as it settles, so holding the read until then is enough. */
async function untilDrained({ url, key, id }: { url: string; key: string; id: string }): Promise<void> {
  for (;;) {
    const prefer = { prefer: 'wait=60' }
    // Of the batch only this matters.
    const batch = (await call({ url, key }, 'GET', `/v1/batches/${id}`, undefined, prefer)) as {
      drainedAt: string | null
    }
    if (batch.drainedAt !== null) return
  }
}

function sizes(count: number): number[] {
  const full = Array.from({ length: Math.floor(count / BATCH) }, () => BATCH)
  return count % BATCH === 0 ? full : [...full, count % BATCH]
}

/** As many at once as there are clients; results in order. */
export async function inParallel<T, R>(items: readonly T[], act: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  let next = 0
  const client = async () => {
    for (let i = next++; i < items.length; i = next++) results[i] = await act(items[i])
  }
  await Promise.all(Array.from({ length: CLIENTS }, client))
  return results
}
