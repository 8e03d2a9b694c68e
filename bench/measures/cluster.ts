// The cluster engine beside plain BullMQ: npm run bench -- --only cluster. Needs redis-server and nginx.
import { loadavg } from 'node:os'
import { BullMq, type Pattern } from '../cluster/bullmq.ts'
import { Gatherd } from '../cluster/gatherd.ts'
import { cancels, firstStarts } from '../cluster/latency.ts'
import { memory } from '../cluster/memory.ts'
import { type Cost, costOf, type Job, type Shape, type System, type Work } from '../cluster/system.ts'
import { SHARE, Table } from '../cluster/table.ts'
import { startNginx } from '../machine/nginx.ts'
import type { Measure } from '../report/measure.ts'
import { turns } from './turns.ts'

/** How much is measured. */
interface Size {
  rounds: number
  /** Jobs in each run. */
  jobs: number
  /** Samples of each latency. */
  samples: number
  /** Jobs in the runs that look at memory. */
  kept: number
  shapes: readonly Shape[]
}

/** Jobs that go first, unmeasured: one at least of each tenant. */
const WARM = 1_000

const PARTS = ['throughput', 'memory', 'latency', 'cancel']

const WORKS = ['sleep', 'fetch'] as const

const SHAPES: Shape[] = [
  { processes: 1, tenants: 1, cap: 64 },
  { processes: 2, tenants: 1, cap: 64 },
  { processes: 1, tenants: 1_000, cap: 2 },
  { processes: 2, tenants: 1_000, cap: 2 },
]

/** With `--quick`: what has a target, at its smallest; of parts that are named a short round of everything. */
const GLANCE = { jobs: 2_000, samples: 10, kept: 10_000, shapes: SHAPES.slice(0, 1) }
const QUICK = { jobs: 10_000, samples: 50, kept: 10_000, shapes: SHAPES }
const WHOLE = { jobs: 15_000, samples: 300, kept: 20_000, shapes: SHAPES }

/** In parts, which `--cases` chooses from. */
export const cluster: Measure = {
  id: 'cluster',
  title: 'replicas over Redis beside plain BullMQ',
  cases: PARTS,
  targets: SHAPES.flatMap((shape) => WORKS.map((work) => ({ series: `${rowOf(work, shape)}: ${SHARE}`, least: 0.7 }))),
  async run(book, { rounds, quick, cases, say }) {
    const named = cases.length > 0
    const size: Size = { ...(quick ? (named ? QUICK : GLANCE) : WHOLE), rounds }
    const table = new Table()
    const wanted = (part: string) => (named ? cases.includes(part) : !quick || part === 'throughput')
    await using nginx = await startNginx()
    if (wanted('throughput')) for (const shape of size.shapes) await throughput(table, shape, size, nginx.url)
    for (let round = 1; round <= rounds; round++) {
      say(`  round ${round}, load ${loadavg()[0].toFixed(1)}`)
      if (wanted('memory')) await memory(table, size.kept, nginx.url)
      if (wanted('latency')) await firstStarts(table, size.samples)
      if (wanted('cancel')) await cancels(table, size.samples)
    }
    table.write(book)
  },
}

/** All systems of one shape in turns, round by round, each with both kinds of work. Who does not have its turn is paused. */
async function throughput(table: Table, shape: Shape, { rounds, jobs: count }: Size, url: string): Promise<void> {
  const jobs: Record<Work, Job> = { sleep: { kind: 'sleep', durationMs: 0 }, fetch: { kind: 'fetch', url } }
  await using stack = new AsyncDisposableStack()
  const systems: [string, System][] = []
  for (const [name, start] of systemsOf(shape)) systems.push([name, stack.use(await start())])
  for (let round = 1; round <= rounds; round++) {
    for (const [name, system] of turns(systems, round)) {
      // Each tenant has its owner, each connection is open, and what is hot compiled.
      for (const work of WORKS) await system.run(jobs[work], WARM)
      for (const work of WORKS) {
        const cost = await costOf(system, count, () => system.run(jobs[work], count))
        report(table, { work, shape, name, cost })
      }
      await system.rest()
    }
  }
}

function systemsOf(shape: Shape): [string, () => Promise<System>][] {
  const bullMq = (pattern: Pattern) => () => BullMq.start(shape, pattern)
  const systems: [string, () => Promise<System>][] = [
    ['gatherd', () => Gatherd.start(shape)],
    ['BullMQ', bullMq('workers')],
  ]
  return shape.tenants === 1 ? systems : [...systems, ['BullMQ ring', bullMq('ring')]]
}

function report(table: Table, { work, shape, name, cost }: { work: Work; shape: Shape; name: string; cost: Cost }) {
  const row = rowOf(work, shape)
  console.error(`  ${row}: ${name}: ${Math.round(cost.jobsPerSecond)} jobs/s`)
  table.add('jobs/s', row, name, cost.jobsPerSecond)
  table.add('Redis CPU, µs a job', row, name, cost.redisUs)
  table.add('process CPU, µs a job', row, name, cost.processUs)
  table.add('bytes over the sockets of Redis a job', row, name, cost.networkBytes)
  table.add('scripts a job', row, name, cost.scripts)
}

function rowOf(work: Work, { processes, tenants }: Shape): string {
  return `${work}, ${tenants} tenant${tenants === 1 ? '' : 's'}, ${processes} process${processes === 1 ? '' : 'es'}`
}
