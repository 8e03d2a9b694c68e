// Where the time of a fetch goes on the event loop, stage by stage. Needs nginx.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BATCH } from '../machine/batches.ts'
import { startNginx } from '../machine/nginx.ts'
import { cpuMs, mainThreadCpuMs } from '../machine/proc.ts'
import { busyBetween, profileOf } from '../machine/profile.ts'
import { rateOfService, WARM_BATCHES } from '../machine/rate.ts'
import { startService } from '../machine/service.ts'
import { STAGE_NAMES, stageOf } from '../machine/stages.ts'
import type { Book } from '../report/book.ts'
import type { Measure, Plan } from '../report/measure.ts'

const LOOP = 'the event loop'

/** Of P1's jobs, once what is hot has been compiled. */
export const stages: Measure = {
  id: 'stages',
  title: 'where the time of a fetch goes on the event loop',
  base: LOOP,
  targets: [],
  async run(book, plan) {
    await using nginx = await startNginx()
    for (let round = 1; round <= plan.rounds; round++) {
      await take(book, { kind: 'fetch', url: nginx.url }, plan)
      plan.say(`  round ${round}`)
    }
  },
}

/** Shares are the profile's, and how much they are shares of is the kernel's word: a profile has samples and no CPU. */
async function take(book: Book, job: object, { count }: Plan): Promise<void> {
  const dir = await mkdtemp(join(tmpdir(), 'gatherd-profile-'))
  try {
    await using service = await startService({
      env: { GATHERD_TENANT_CONCURRENCY: '64' },
      nodeArgs: ['--cpu-prof', `--cpu-prof-dir=${dir}`],
    })
    const { pid } = service.process
    await rateOfService(service, job, count)
    const before = { at: now(), loop: mainThreadCpuMs(pid), all: cpuMs(pid) }
    await rateOfService(service, job, count)
    const after = { at: now(), loop: mainThreadCpuMs(pid), all: cpuMs(pid) }
    // It writes the profile when it ends.
    await service[Symbol.asyncDispose]()
    const busy = busyBetween(profileOf(dir, pid), before.at, after.at, stageOf)
    tell(book, busy, {
      loop: after.loop - before.loop,
      all: after.all - before.all,
      jobs: count + WARM_BATCHES * BATCH,
    })
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/** Of the monotonic clock, in microseconds, as profiles have it. */
function now(): number {
  return Number(process.hrtime.bigint() / 1_000n)
}

function tell(book: Book, busy: Map<string, number>, { loop, all, jobs }: { loop: number; all: number; jobs: number }) {
  const sum = [...busy.values()].reduce((sum, us) => sum + us, 0)
  const aJob = (ms: number) => (ms * 1_000) / jobs
  for (const stage of STAGE_NAMES) book.add(stage, 'µs of CPU a job', aJob((loop * (busy.get(stage) ?? 0)) / sum))
  book.add(LOOP, 'µs of CPU a job', aJob(loop))
  book.add("all other threads: the store's, V8's", 'µs of CPU a job', aJob(all - loop))
}
