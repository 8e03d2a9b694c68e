// P10: a crash, and how soon jobs run again.
import { rm } from 'node:fs/promises'
import { BATCH, look, submit, untilDrained } from '../machine/batches.ts'
import { type HoldingOrigin, holdingOrigin } from '../machine/origin.ts'
import { type BenchService, call, ended, newDataDir, startService } from '../machine/service.ts'
import type { Measure } from '../report/measure.ts'

const RUNNING = 64
const QUEUED = 100_000
const FIRST_REQUEST = 'first request at the target'

/** The queue has room for all jobs, and the log says when each stage of the start was over. */
const ENV = {
  GATHERD_TENANT_CONCURRENCY: `${RUNNING}`,
  GATHERD_MAX_QUEUED_JOBS: `${QUEUED + RUNNING}`,
  GATHERD_LOG_LEVEL: 'debug',
}

/** What the log says of a start, in order; it says more. */
const LOGGED = new Set(['starting', 'store open, engine loaded', 'went on with what was left'])

/** When each stage of a start was over, in milliseconds after the process was spawned; in order. */
type Stages = Map<string, number>

/**
 * P10: `kill -9` with 100,000 jobs queued and 64 running, to the first job started again. What counts is when the target
 * of the jobs sees its first request, by its own clock: that cannot be claimed too early, as the stamp in the record can.
 */
export const recovery: Measure = {
  id: 'P10',
  title: 'kill -9 with 100,000 jobs queued and 64 running, to the first job started again',
  quickTitle: 'kill -9 with 10,000 jobs queued and 64 running, to the first job started again',
  targets: [
    { series: FIRST_REQUEST, most: 1_000 },
    { series: 'jobs lost', most: 0, always: true },
  ],
  async run(book, { rounds, quick, say }) {
    const queued = quick ? QUEUED / 10 : QUEUED
    if (quick) book.skip(`${QUEUED} queued jobs`, `--quick has ${queued}`)
    for (let round = 1; round <= rounds; round++) {
      const { stages, lost } = await crashAndRecover(queued)
      for (const [stage, at] of stages) book.add(stage, 'ms', at)
      book.add('jobs lost', 'jobs', lost)
      say(
        `  round ${round}: ${Array.from(stages, ([stage, at]) => `${stage} ${Math.round(at)}`).join(', ')} ms; lost: ${lost}`,
      )
    }
  },
}

async function crashAndRecover(queued: number): Promise<{ stages: Stages; lost: number }> {
  const dataDir = await newDataDir()
  try {
    await using origin = await holdingOrigin()
    await using before = await startService({ env: ENV, kept: { dataDir } })
    const ids = await fill(before, origin, queued)
    await ended(before.process, 'SIGKILL')
    origin.forget()
    const firstRequest = origin.holds(RUNNING)
    await using service = await startService({ env: ENV, kept: { dataDir, key: before.key } })
    const stages = await stagesOf(service, ids[0], await firstRequest)
    return { stages, lost: await lost(service, ids, origin, queued + RUNNING) }
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
}

/** Submit all jobs; resolves when as many run as may, with the ids of the batches. */
async function fill(service: BenchService, { url, holds }: HoldingOrigin, queued: number): Promise<string[]> {
  const ids: string[] = []
  for (let left = queued + RUNNING; left > 0; left -= BATCH)
    ids.push(await submit(service, { kind: 'fetch', url }, Math.min(BATCH, left)))
  await holds(RUNNING)
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
  stages.set(FIRST_REQUEST, seenByTarget - spawnedAt)
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
async function lost(service: BenchService, ids: string[], origin: HoldingOrigin, jobs: number): Promise<number> {
  const seen = await Promise.all(ids.map((id) => look(service, id)))
  const there = seen.reduce((sum, { counts }) => sum + counts.running + counts.queued, 0)
  origin.release()
  let done = 0
  for (const id of ids) done += (await untilDrained(service, id)).counts.succeeded
  return Math.max(jobs - there, jobs - done)
}
