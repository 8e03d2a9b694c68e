// P5: a job of one tenant beside the hundred thousand of another.
import { Worker } from 'node:worker_threads'
import { quantile } from '../figures.ts'
import { oneJob, type Took } from '../machine/batches.ts'
import { holdingOrigin } from '../machine/origin.ts'
import { startService } from '../machine/service.ts'
import { ADMIN_KEY, newTenant } from '../machine/tenants.ts'
import type { Book } from '../report/book.ts'
import type { Measure, Plan } from '../report/measure.ts'
import type { Target } from '../report/verdict.ts'
import { CASES, type Case, type NoiseOptions } from './noise.ts'

/** A noisy tenant, and whether it can fill the server. */
interface Scene {
  name: string
  kind: Case
  env: Record<string, string>
  noisySlots: number
}

const FREE = { GATHERD_MAX_CONCURRENCY: '256' }
const FULL = 'sleeps at the server cap'
const SCENES: Scene[] = [
  ...CASES.map((kind) => ({ name: kind, kind, env: FREE, noisySlots: kind === 'bodies' ? 16 : 64 })),
  { name: FULL, kind: 'sleeps', env: { GATHERD_MAX_CONCURRENCY: '64' }, noisySlots: 64 },
]

/** How long a slot of the noisy tenant is taken, and what its turn may be late. */
const TURN_MS = 50

const besideIdle: Target[] = CASES.map((kind) => ({
  series: `${kind}: beside, p99`,
  per: `${kind}: idle, p99`,
  most: 1.5,
}))

/**
 * P5: how long one job of a quiet tenant takes, on an idle server and on one where another tenant has 100,000 jobs queued
 * and keeps its slots busy. The two servers run side by side and are asked in turns, so that both have what the machine
 * has at that moment: what is left between them is the service's own.
 */
export const neighbours: Measure = {
  id: 'P5',
  title: 'one job beside 100,000 queued ones of another tenant',
  cases: CASES,
  targets: [...besideIdle, { series: `${FULL}: in the queue, p99`, most: TURN_MS }],
  async run(book, plan) {
    const { rounds, quick, cases } = plan
    // With --quick only the one that the target names, unless others are asked for.
    const wanted = quick && cases.length === 0 ? ['sleeps'] : cases
    for (const scene of SCENES) {
      if (wanted.length > 0 && !wanted.includes(scene.kind)) continue
      for (let round = 1; round <= rounds; round++) await measure(scene, book, plan)
    }
  },
}

async function measure({ name, kind, env, noisySlots }: Scene, book: Book, { quick, say }: Plan): Promise<void> {
  const [idle, beside]: Took[][] = [[], []]
  await using origin = await holdingOrigin()
  origin.release()
  const settings = { env: { GATHERD_ADMIN_KEY: ADMIN_KEY, ...env } }
  await using quiet = await startService(settings)
  await using busy = await startService(settings)
  const noisy = await newTenant(busy, 'noisy', { maxConcurrency: noisySlots })
  const callers = [
    await newTenant(quiet, 'quiet', { maxConcurrency: 16 }),
    await newTenant(busy, 'quiet', { maxConcurrency: 16 }),
  ]
  const noise = await startNoise({ kind, ...noisy })
  try {
    for (let i = quick ? -5 : -20; i < samplesOf(kind, quick); i++) {
      const [alone, together] = [await oneJob(callers[0], origin.url), await oneJob(callers[1], origin.url)]
      if (i >= 0) idle.push(alone)
      if (i >= 0) beside.push(together)
    }
  } finally {
    await noise.terminate()
  }
  report(name, idle, beside, book)
  say(`  ${name}: ${idle.length} jobs in turns`)
}

/** Of bodies and batches one takes long, beside them. */
function samplesOf(kind: Case, quick: boolean): number {
  if (process.env.BENCH_REQUESTS !== undefined) return Number(process.env.BENCH_REQUESTS)
  if (kind === 'bodies' || kind === 'submissions') return quick ? 10 : 60
  return quick ? 60 : 300
}

function report(name: string, idle: readonly Took[], beside: readonly Took[], book: Book): void {
  for (const q of [0.5, 0.99]) {
    for (const [where, samples] of [
      ['idle', idle],
      ['beside', beside],
    ] as const)
      book.add(
        `${name}: ${where}, p${q * 100}`,
        'ms',
        quantile(
          samples.map(({ whole }) => whole),
          q,
        ),
      )
    book.add(
      `${name}: in the queue, p${q * 100}`,
      'ms',
      quantile(
        beside.map(({ queued }) => queued),
        q,
      ),
    )
  }
}

/** Resolves when the noisy tenant has its jobs queued and its slots taken. */
async function startNoise(options: NoiseOptions): Promise<Worker> {
  const worker = new Worker(new URL('./noise.ts', import.meta.url), { workerData: options })
  await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  worker.removeAllListeners('error')
  worker.on('error', (error) => console.error(`the noise ended: ${error}`))
  return worker
}
