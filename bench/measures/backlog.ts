// P3 and P4: what a long queue costs, in CPU and in memory.
import { setTimeout as sleep } from 'node:timers/promises'
import { shown } from '../figures.ts'
import { BATCH, submit, untilDrained } from '../machine/batches.ts'
import { cpuMs, rssBytes } from '../machine/proc.ts'
import { type BenchService, call, startService } from '../machine/service.ts'
import { ADMIN_KEY, pause } from '../machine/tenants.ts'
import type { Measure, Plan } from '../report/measure.ts'

const MILLION = 1_000_000

/** Room for all of them. */
const ENV = {
  GATHERD_ADMIN_KEY: ADMIN_KEY,
  GATHERD_TENANT_CONCURRENCY: '64',
  GATHERD_MAX_QUEUED_JOBS: `${2 * MILLION}`,
}

const EMPTY = { kind: 'sleep', durationMs: 0 }

/** Batches that are waited for at a time: as many drain as are submitted, also while the service runs them faster than one caller looks. */
const CALLERS = 8

/**
 * P3: the CPU of all the service's threads for one empty job, accepted, run and recorded, while so many are queued: each batch that drains is
 * followed by another, so that the queue stays as long as it is.
 */
export const backlogCpu: Measure = {
  id: 'P3',
  title: 'CPU of a job, by how many are queued',
  axis: 'jobs queued',
  targets: [{ series: nameOf(MILLION), per: nameOf(10_000), most: 1.25 }],
  async run(book, plan) {
    const sizes = [1_000, 10_000, 100_000, ...(plan.quick ? [] : [MILLION])]
    for (let round = 1; round <= plan.rounds; round++) {
      for (const queued of sizes) {
        const us = await cpuAJob(queued, plan)
        plan.say(`  round ${round}: ${nameOf(queued)}: ${us.toFixed(1)} µs a job`)
        book.add(nameOf(queued), 'µs of CPU a job', us, { line: 'sleep 0', x: queued })
      }
    }
  },
}

async function cpuAJob(queued: number, { quick, count }: Plan): Promise<number> {
  await using service = await startService({ env: ENV })
  await warmUp(service)
  await pause(service, true)
  const ids = await fill(service, queued, EMPTY)
  await pause(service, false)
  // While a million were accepted nothing ran, and V8 has forgotten what it had compiled for that; and of a long queue those are
  // to be measured that are read back from the disk, not the first, whose specs are still in memory.
  await turnOver(service, ids, quick ? 8 : 150)
  const batches = Math.ceil((quick ? count : 40_000) / BATCH)
  const [left, before] = [await queuedNow(service), cpuMs(service.process.pid)]
  await turnOver(service, ids, batches)
  // Those that ran: the queue may have become a little shorter or longer.
  const jobs = batches * BATCH + left - (await queuedNow(service))
  const us = ((cpuMs(service.process.pid) - before) * 1_000) / jobs
  // Nobody waits for the rest.
  service.process.kill('SIGKILL')
  return us
}

/** For each batch that drains, the oldest first, one more. */
async function turnOver(service: BenchService, ids: string[], batches: number): Promise<void> {
  let left = batches
  const caller = async () => {
    while (left-- > 0) {
      await untilDrained(service, ids.shift() ?? '')
      ids.push(await submit(service, EMPTY))
    }
  }
  await Promise.all(Array.from({ length: Math.min(CALLERS, ids.length) }, caller))
}

/** Jobs of the tenant that have not started. */
async function queuedNow(service: BenchService): Promise<number> {
  // The answer of this route.
  return ((await call(service, 'GET', '/v1/tenant')) as { usage: { queued: number } }).usage.queued
}

/** P4: the memory of the process with so many fetches queued, above what it has without them. */
export const backlogMemory: Measure = {
  id: 'P4',
  title: 'resident memory of a queued job',
  targets: [{ series: 'a queued job', most: 200 }],
  async run(book, plan) {
    const queued = plan.quick ? 200_000 : MILLION
    for (let round = 1; round <= plan.rounds; round++) {
      const { idle, full } = await memory(queued)
      plan.say(
        `  round ${round}: ${shown(idle / 2 ** 20)} MiB idle, ${shown(full / 2 ** 20)} MiB with ${shown(queued)}`,
      )
      book.add('a queued job', 'bytes', (full - idle) / queued)
      book.add('idle', 'MiB', idle / 2 ** 20)
      book.add(`${shown(queued)} queued`, 'MiB', full / 2 ** 20)
    }
  },
}

async function memory(queued: number): Promise<{ idle: number; full: number }> {
  await using service = await startService({ env: ENV })
  await warmUp(service)
  await pause(service, true)
  const idle = await settled(service)
  await fill(service, queued, { kind: 'fetch', url: 'http://127.0.0.1:8080/a/path' })
  const full = await settled(service)
  service.process.kill('SIGKILL')
  return { idle, full }
}

/** Its memory once it has nothing to do: the mean of a few looks. */
async function settled({ process: child }: BenchService): Promise<number> {
  await sleep(1_500)
  const looks: number[] = []
  for (let i = 0; i < 5; i++) {
    looks.push(rssBytes(child.pid))
    await sleep(100)
  }
  return looks.reduce((sum, bytes) => sum + bytes, 0) / looks.length
}

/** What is hot gets compiled, and what there is one of made. */
async function warmUp(service: BenchService): Promise<void> {
  for (let i = 0; i < 10; i++) await untilDrained(service, await submit(service, EMPTY))
}

/** Four submissions at a time, in order. */
async function fill(service: BenchService, jobs: number, job: object): Promise<string[]> {
  const ids: string[] = []
  for (let left = jobs / BATCH; left > 0; left -= 4)
    ids.push(...(await Promise.all(Array.from({ length: Math.min(4, left) }, () => submit(service, job)))))
  return ids
}

function nameOf(queued: number): string {
  return `${queued.toLocaleString('en')} queued`
}
