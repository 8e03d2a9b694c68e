import { Worker } from 'node:worker_threads'
import { quantile } from './figures.ts'
import { CASES, type Case, type NoiseOptions } from './noise.ts'
import { holdingOrigin } from './origin.ts'
import { type BenchService, call, startService } from './service.ts'

const ADMIN_KEY = 'the-operators-key-of-a-benchmark-run'
const REQUESTS = Number(process.env.BENCH_REQUESTS ?? 300)

/** What one job of the quiet tenant took, in milliseconds. */
interface Sample {
  /** In the queue, as the service says. */
  queued: number
  /** From its submission to its result, as its caller sees it. */
  whole: number
}

/** A noisy tenant, and whether it can fill the server. */
interface Scene {
  name: string
  kind: Case
  env: Record<string, string>
  noisySlots: number
}

const FREE = { GATHERD_MAX_CONCURRENCY: '256' }
const SCENES: Scene[] = [
  ...CASES.map((kind) => ({ name: kind, kind, env: FREE, noisySlots: kind === 'bodies' ? 16 : 64 })),
  { name: 'sleeps at the server cap', kind: 'sleeps', env: { GATHERD_MAX_CONCURRENCY: '64' }, noisySlots: 64 },
]

/**
 * P5: how long one job of a quiet tenant takes, on an idle server and on one where another tenant has 100,000 jobs queued
 * and keeps its slots busy. The two servers run side by side and are asked in turns, so that both have what the machine
 * has at that moment: what is left between them is the service's own.
 */
export async function neighbour(rounds: number, only: readonly string[] = []): Promise<void> {
  for (const scene of SCENES) {
    if (only.length > 0 && !only.includes(scene.kind)) continue
    const idle: Sample[] = []
    const beside: Sample[] = []
    for (let round = 1; round <= rounds; round++) await measure(scene, idle, beside)
    report(scene.name, idle, beside)
  }
}

async function measure({ kind, env, noisySlots }: Scene, idle: Sample[], beside: Sample[]): Promise<void> {
  await using origin = await holdingOrigin()
  origin.release()
  // Late or not, it is to be measured.
  const settings = { env: { GATHERD_ADMIN_KEY: ADMIN_KEY, GATHERD_MAX_EVENT_LOOP_DELAY_MS: '0', ...env } }
  await using quiet = await startService(settings)
  await using busy = await startService(settings)
  const noisy = await tenant(busy, 'noisy', noisySlots)
  const callers = [await tenant(quiet, 'quiet', 16), await tenant(busy, 'quiet', 16)]
  const noise = await startNoise({ kind, ...noisy })
  try {
    for (let i = -20; i < REQUESTS; i++) {
      const [alone, together] = [await sample(callers[0], origin.url), await sample(callers[1], origin.url)]
      if (i >= 0) idle.push(alone)
      if (i >= 0) beside.push(together)
    }
  } finally {
    await noise.terminate()
  }
}

function report(name: string, idle: Sample[], beside: Sample[]): void {
  const cells = (['whole', 'queued'] as const).map((what) => {
    const of = (samples: Sample[], q: number) =>
      quantile(
        samples.map((each) => each[what]),
        q,
      )
    const [a50, a99, b50, b99] = [of(idle, 0.5), of(idle, 0.99), of(beside, 0.5), of(beside, 0.99)]
    const shown = [a50, a99, b50, b99].map((ms) => ms.toFixed(1))
    return `${what} idle ${shown[0]} / ${shown[1]}, beside ${shown[2]} / ${shown[3]} ms (${(b50 / a50).toFixed(2)}x / ${(b99 / a99).toFixed(2)}x)`
  })
  console.log(`P5 ${name.padEnd(26)} p50 / p99: ${cells.join('; ')}`)
}

type Caller = Pick<BenchService, 'url' | 'key'>

/** Resolves when the noisy tenant has its jobs queued and its slots taken. */
async function startNoise(options: NoiseOptions): Promise<Worker> {
  const worker = new Worker(new URL('./noise.ts', import.meta.url), { workerData: options })
  await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  worker.removeAllListeners('error')
  worker.on('error', (error) => console.error(`the noise ended: ${error}`))
  return worker
}

async function tenant({ url }: BenchService, name: string, maxConcurrency: number): Promise<Caller> {
  const admin = { url, key: ADMIN_KEY }
  await call(admin, 'PUT', `/v1/admin/tenants/${name}`, { maxConcurrency })
  // The answer of this route.
  const { key } = (await call(admin, 'POST', `/v1/admin/tenants/${name}/keys`, {})) as { key: string }
  return { url, key }
}

async function sample(caller: Caller, url: string): Promise<Sample> {
  const began = performance.now()
  const answer = await call(caller, 'POST', '/v1/batches', { jobs: [{ kind: 'fetch', url }] }, { prefer: 'wait=10' })
  const whole = performance.now() - began
  // A settled batch has its jobs.
  const [job] = (answer as { jobs: { result: { timing: { queuedMs: number } } }[] }).jobs
  return { queued: job.result.timing.queuedMs, whole }
}
