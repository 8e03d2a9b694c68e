// The cluster engine beside plain BullMQ: npm run bench -- --only cluster. Needs redis-server and nginx.
import { loadavg } from 'node:os'
import { BullMq, type Pattern } from './cluster/bullmq.ts'
import { Gatherd } from './cluster/gatherd.ts'
import { cancels, firstStarts } from './cluster/latency.ts'
import { memory } from './cluster/memory.ts'
import { type Cost, costOf, type Job, type Shape, type System, type Work } from './cluster/system.ts'
import { Table } from './cluster/table.ts'
import { startNginx } from './nginx.ts'

/** What is measured, and how much of it. */
export interface ClusterOptions {
  rounds: number
  /** Jobs in each run. */
  jobs: number
  /** Samples of each latency. */
  samples: number
  /** Jobs in the runs that look at memory. */
  kept: number
  /** The parts that are wanted: throughput, memory, latency, cancel; none: all. */
  parts: readonly string[]
}

/** See `--quick`. */
export const QUICK: ClusterOptions = { rounds: 1, jobs: 10_000, samples: 50, kept: 10_000, parts: [] }

/** Everything that is measured by default. */
export const WHOLE: ClusterOptions = { rounds: 3, jobs: 15_000, samples: 300, kept: 20_000, parts: [] }

/** Jobs that go first, unmeasured: one at least of each tenant. */
const WARM = 1_000

const WORKS = ['sleep', 'fetch'] as const

const SHAPES: Shape[] = [
  { processes: 1, tenants: 1, cap: 64 },
  { processes: 2, tenants: 1, cap: 64 },
  { processes: 1, tenants: 1_000, cap: 2 },
  { processes: 2, tenants: 1_000, cap: 2 },
]

/** Print tables of jobs/s, costs, latencies and memory, and the same as one line of JSON. */
export async function cluster(options: ClusterOptions): Promise<void> {
  const { rounds, parts } = options
  const table = new Table()
  const wanted = (part: string) => parts.length === 0 || parts.includes(part)
  await using nginx = await startNginx()
  if (wanted('throughput')) for (const shape of SHAPES) await throughput(table, shape, options, nginx.url)
  for (let round = 1; round <= rounds; round++) {
    console.error(`round ${round} of ${rounds}, load ${loadavg()[0].toFixed(1)}`)
    if (wanted('memory')) await memory(table, options.kept, nginx.url)
    if (wanted('latency')) await firstStarts(table, options.samples)
    if (wanted('cancel')) await cancels(table, options.samples)
  }
  table.print()
}

/** All systems of one shape in turns, round by round, each with both kinds of work. Who does not have its turn is paused. */
async function throughput(
  table: Table,
  shape: Shape,
  { rounds, jobs: count }: ClusterOptions,
  url: string,
): Promise<void> {
  const jobs: Record<Work, Job> = { sleep: { kind: 'sleep', durationMs: 0 }, fetch: { kind: 'fetch', url } }
  await using stack = new AsyncDisposableStack()
  const systems: [string, System][] = []
  for (const [name, start] of systemsOf(shape)) systems.push([name, stack.use(await start())])
  for (let round = 1; round <= rounds; round++) {
    console.error(`round ${round} of ${rounds}, load ${loadavg()[0].toFixed(1)}`)
    for (const [name, system] of systems) {
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
  const { processes, tenants } = shape
  const row = `${work}, ${tenants} tenant${tenants === 1 ? '' : 's'}, ${processes} process${processes === 1 ? '' : 'es'}`
  console.error(`  ${row}: ${name}: ${Math.round(cost.jobsPerSecond)} jobs/s`)
  table.add('jobs/s', row, name, cost.jobsPerSecond)
  table.add('Redis CPU, us a job', row, name, cost.redisUs)
  table.add('process CPU, us a job', row, name, cost.processUs)
  table.add('bytes over the sockets of Redis a job', row, name, cost.networkBytes)
  table.add('scripts a job', row, name, cost.scripts)
}
