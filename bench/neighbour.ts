import { quantile } from './figures.ts'
import { holdingOrigin } from './origin.ts'
import { type BenchService, call, startService } from './service.ts'

const ADMIN_KEY = 'the-operators-key-of-a-benchmark-run'
const REQUESTS = 300
/** A job of the noisy tenant holds its slot for this long. */
const TURN_MS = 50

/** A server whose cap the noisy tenant can reach, or not. */
const SERVERS = [
  { name: 'slots left', env: { GATHERD_MAX_CONCURRENCY: '256' } },
  { name: 'server cap reached', env: { GATHERD_MAX_CONCURRENCY: '64' } },
]

/**
 * P5: how long one job of tenant B waits for its slot, on an idle server and while tenant A has 100,000 jobs queued. B's own
 * jobs come one after the other; the wait is the service's own measure, `timing.queuedMs`.
 */
export async function neighbour(rounds: number): Promise<void> {
  const table = new Map<string, number[]>()
  const note = (name: string, waits: number[]) => table.set(name, [...(table.get(name) ?? []), ...waits])
  for (let round = 1; round <= rounds; round++) {
    for (const { name, env } of SERVERS) {
      await using origin = await holdingOrigin()
      origin.release()
      await using service = await startService({ env: { GATHERD_ADMIN_KEY: ADMIN_KEY, ...env } })
      const [a, b] = [await tenant(service, 'noisy', 64), await tenant(service, 'quiet', 16)]
      note(`${name}, idle`, await waits(b, origin.url))
      await fill(a)
      note(`${name}, 100,000 queued beside it`, await waits(b, origin.url))
    }
  }
  for (const [name, each] of table)
    console.log(
      `P5 ${name.padEnd(46)} p50 / p99 ${quantile(each, 0.5).toFixed(2)} / ${quantile(each, 0.99).toFixed(2)} ms`,
    )
}

type Caller = Pick<BenchService, 'url' | 'key'>

async function tenant({ url }: BenchService, name: string, maxConcurrency: number): Promise<Caller> {
  const admin = { url, key: ADMIN_KEY }
  await call(admin, 'PUT', `/v1/admin/tenants/${name}`, { maxConcurrency })
  // The answer of this route.
  const { key } = (await call(admin, 'POST', `/v1/admin/tenants/${name}/keys`, {})) as { key: string }
  return { url, key }
}

async function fill(caller: Caller): Promise<void> {
  const jobs = Array.from({ length: 10_000 }, () => ({ kind: 'sleep', durationMs: TURN_MS }))
  for (let i = 0; i < 10; i++) await call(caller, 'POST', '/v1/batches', { jobs: i < 9 ? jobs : jobs.slice(0, 9_000) })
}

async function waits(caller: Caller, url: string): Promise<number[]> {
  const took: number[] = []
  for (let i = -20; i < REQUESTS; i++) {
    const body = { jobs: [{ kind: 'fetch', url }] }
    const answer = await call(caller, 'POST', '/v1/batches', body, { prefer: 'wait=10' })
    // A settled batch has its jobs.
    const [job] = (answer as { jobs: { result: { timing: { queuedMs: number } } }[] }).jobs
    if (i >= 0) took.push(job.result.timing.queuedMs)
  }
  return took
}
