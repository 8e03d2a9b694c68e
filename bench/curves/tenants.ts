import { quantile } from '../figures.ts'
import { oneJob, submit } from '../machine/batches.ts'
import { holdingOrigin } from '../machine/origin.ts'
import { startService } from '../machine/service.ts'
import { ADMIN_KEY, newTenant } from '../machine/tenants.ts'
import type { Book } from '../report/book.ts'
import type { Measure } from '../report/measure.ts'
import { sizes } from './sizes.ts'

/** One of them runs, for as long as this takes; the others are queued. */
const [JOBS, LONG_MS, CLIENTS] = [10, 3_600_000, 16]

const ENV = {
  GATHERD_ADMIN_KEY: ADMIN_KEY,
  GATHERD_MAX_CONCURRENCY: '20000',
}

/** How long one job takes among so many tenants, each with a job that runs and nine that are queued; and on a server without them, in turns. */
export const tenantCurve: Measure = {
  id: 'tenants',
  title: 'one job, by how many other tenants have work',
  axis: 'tenants, each with 1 job running and 9 queued',
  targets: [],
  async run(book, { rounds, quick, say }) {
    for (let round = 1; round <= rounds; round++) {
      await using origin = await holdingOrigin()
      origin.release()
      await using busy = await startService({ env: ENV })
      await using idle = await startService({ env: ENV })
      const callers = { busy: await newTenant(busy, 'quiet', {}), idle: await newTenant(idle, 'quiet', {}) }
      let there = 0
      for (const tenants of sizes(quick)) {
        await add(busy.url, there, tenants)
        there = tenants
        const took = await inTurns(callers, origin.url, quick ? 60 : 200)
        for (const [line, figures] of Object.entries(took)) report(book, line, tenants, figures)
        say(`  round ${round}: ${tenants} tenants`)
      }
    }
  },
}

async function add(url: string, from: number, to: number): Promise<void> {
  let next = from
  const client = async () => {
    while (next < to) {
      const caller = await newTenant({ url }, `crowd-${next++}`, { maxConcurrency: 1 })
      await submit(caller, { kind: 'sleep', durationMs: LONG_MS }, JOBS)
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, client))
}

type Callers = Record<'busy' | 'idle', Parameters<typeof oneJob>[0]>

async function inTurns({ busy, idle }: Callers, url: string, samples: number): Promise<Record<string, number[]>> {
  const [among, alone]: number[][] = [[], []]
  for (let i = -20; i < samples; i++) {
    const [beside, without] = [await oneJob(busy, url), await oneJob(idle, url)]
    if (i < 0) continue
    among.push(beside.whole)
    alone.push(without.whole)
  }
  return { 'among them': among, 'without them, in turns': alone }
}

function report(book: Book, line: string, x: number, figures: readonly number[]): void {
  for (const q of [0.5, 0.99]) {
    const name = `${line}, p${q * 100}`
    book.add(`${name}, ${x.toLocaleString('en')}`, 'ms', quantile(figures, q), { line: name, x })
  }
}
