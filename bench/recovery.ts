import { rm } from 'node:fs/promises'
import { spread } from './figures.ts'
import { type HoldingOrigin, holdingOrigin } from './origin.ts'
import { type BenchService, call, ended, newDataDir, startService } from './service.ts'

const RUNNING = 64
const QUEUED = 100_000
const BATCH = 1_000

/** The queue has room for all jobs, and the log says when each stage of the start was over. */
const ENV = {
  GATHERD_TENANT_CONCURRENCY: `${RUNNING}`,
  GATHERD_MAX_QUEUED_JOBS: `${QUEUED + RUNNING}`,
  GATHERD_LOG_LEVEL: 'debug',
}

/** What the log says of a start, in order; it says more. */
const LOGGED = new Set(['starting', 'store open, engine loaded', 'went on with what was left'])

/** What of a batch matters here. */
interface BatchSeen {
  id: string
  counts: { total: number; running: number; queued: number; succeeded: number }
  drainedAt: string | null
}

/** When each stage of a start was over, in milliseconds after the process was spawned; in order. */
type Stages = Map<string, number>

/**
 * P10: `kill -9` with 100,000 jobs queued and 64 running, to the first job started again. What counts is when the target
 * of the jobs sees its first request, by its own clock: that cannot be claimed too early, as the stamp in the record can.
 */
export async function recovery(rounds: number): Promise<void> {
  const table = new Map<string, number[]>()
  for (let round = 1; round <= rounds; round++) {
    const { stages, lost } = await crashAndRecover()
    for (const [stage, at] of stages) table.set(stage, [...(table.get(stage) ?? []), at])
    const told = Array.from(stages, ([stage, at]) => `${stage} ${Math.round(at)}`).join(', ')
    console.error(`round ${round}: ${told} ms; lost: ${lost}`)
  }
  for (const [stage, figures] of table) console.log(`P10 ${stage.padEnd(44)} ${spread(figures)}`)
}

async function crashAndRecover(): Promise<{ stages: Stages; lost: number }> {
  const dataDir = await newDataDir()
  try {
    await using origin = await holdingOrigin()
    const before = await startService({ env: ENV, kept: { dataDir } })
    const ids = await fill(before, origin)
    await ended(before.process, 'SIGKILL')
    origin.forget()
    const firstRequest = origin.holds(RUNNING)
    await using service = await startService({ env: ENV, kept: { dataDir, key: before.key } })
    const stages = await stagesOf(service, ids[0], await firstRequest)
    return { stages, lost: await lost(service, ids, origin) }
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
}

/** Submit all jobs; resolves when as many run as may, with the ids of the batches. */
async function fill(service: BenchService, origin: HoldingOrigin): Promise<string[]> {
  const ids: string[] = []
  for (let left = QUEUED + RUNNING; left > 0; left -= BATCH) {
    const jobs = Array.from({ length: Math.min(BATCH, left) }, (_, i) => ({ kind: 'fetch', url: `${origin.url}${i}` }))
    // The service answers a submission with the batch.
    ids.push(((await call(service, 'POST', '/v1/batches', { jobs })) as BatchSeen).id)
  }
  await origin.holds(RUNNING)
  return ids
}

async function stagesOf(service: BenchService, firstBatch: string, seenByTarget: number): Promise<Stages> {
  const startedAt = await firstStart(service, firstBatch)
  const { spawnedAt, listeningAt, printed } = service
  const logged = printed.split('\n').filter((line) => line.startsWith('{'))
  // Our own log: each line has its time and its message.
  const lines = logged.map((line) => JSON.parse(line) as { time: string; msg: string })
  const known = lines.filter(({ msg }) => LOGGED.has(msg))
  const stages = new Map(known.map(({ time, msg }) => [msg, Date.parse(time) - spawnedAt]))
  stages.set('first job.started, by its stamp', startedAt - spawnedAt)
  stages.set('first request at the target (P10)', seenByTarget - spawnedAt)
  return stages.set('listening', listeningAt - spawnedAt)
}

/** The earliest start of an attempt that was made again. */
async function firstStart(service: BenchService, batchId: string): Promise<number> {
  const page = await call(service, 'GET', `/v1/batches/${batchId}/jobs?limit=${RUNNING}`)
  const { data } = page as { data: { attempts: number; startedAt: string }[] }
  const again = data.filter(({ attempts }) => attempts === 2).map(({ startedAt }) => Date.parse(startedAt))
  if (again.length !== RUNNING) throw new Error(`${again.length} jobs run again, not ${RUNNING}`)
  return Math.min(...again)
}

/** How many of the jobs are not there any more, or do not come to a good end when their target answers. */
async function lost(service: BenchService, ids: string[], origin: HoldingOrigin): Promise<number> {
  const jobs = QUEUED + RUNNING
  const seen = await Promise.all(ids.map((id) => batchOf(service, id)))
  const there = sum(seen, ({ counts }) => counts.running + counts.queued)
  origin.release()
  let done = 0
  for (const id of ids) done += (await drained(service, id)).counts.succeeded
  return Math.max(jobs - there, jobs - done)
}

async function batchOf(service: BenchService, id: string, wait = 0): Promise<BatchSeen> {
  // Of the batch only these fields matter.
  return (await call(service, 'GET', `/v1/batches/${id}`, undefined, { prefer: `wait=${wait}` })) as BatchSeen
}

async function drained(service: BenchService, id: string): Promise<BatchSeen> {
  for (;;) {
    const batch = await batchOf(service, id, 60)
    if (batch.drainedAt !== null) return batch
  }
}

function sum<T>(items: readonly T[], figure: (item: T) => number): number {
  return items.reduce((total, item) => total + figure(item), 0)
}
