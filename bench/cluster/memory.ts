import { BullMq } from './bullmq.ts'
import { Gatherd } from './gatherd.ts'
import { costOf, type Job, type System } from './system.ts'
import type { Table } from './table.ts'

/** Jobs that are submitted at once. */
const AT_ONCE = 10_000

const SHAPE = { processes: 1, tenants: 1, cap: 64 }

/** What a queued and an ended job of each kind take in Redis, how long 10,000 take to be durable, and how fast what is queued runs. */
export async function memory(table: Table, count: number, url: string): Promise<void> {
  const starts: [string, () => Promise<System>][] = [
    ['gatherd', () => Gatherd.start(SHAPE)],
    ['BullMQ', () => BullMq.start(SHAPE, 'workers')],
  ]
  const jobs: Job[] = [
    { kind: 'sleep', durationMs: 0 },
    { kind: 'fetch', url },
  ]
  for (const [name, start] of starts) {
    await using system = await start()
    // A first batch makes what there is one of.
    await system.run(jobs[0], 1_000)
    for (const job of jobs) await fill(table, { name, system, job, count })
  }
}

async function fill(
  table: Table,
  { name, system, job, count }: { name: string; system: System; job: Job; count: number },
): Promise<void> {
  await system.pause()
  const empty = (await system.redis.usage()).bytes
  for (let left = count; left > 0; left -= AT_ONCE) {
    const began = performance.now()
    await system.enqueue(job, AT_ONCE)
    table.add('enqueue of 10,000, ms', job.kind, name, performance.now() - began)
  }
  const full = (await system.redis.usage()).bytes
  table.add('bytes of a queued job', job.kind, name, (full - empty) / count)
  const cost = await costOf(system, count, async () => {
    await system.resume()
    await system.drained()
  })
  table.add('jobs/s of what is queued already', job.kind, name, cost.jobsPerSecond)
  table.add('Redis CPU, µs a job that is queued already', job.kind, name, cost.redisUs)
  table.add('process CPU, µs a job that is queued already', job.kind, name, cost.processUs)
  table.add('bytes of an ended job', job.kind, name, ((await system.redis.usage()).bytes - empty) / count)
}
