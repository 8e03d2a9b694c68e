// P8: how soon the end of a job is on the streams that follow its batch.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { quantile } from '../figures.ts'
import { submit } from '../machine/batches.ts'
import { holdingOrigin } from '../machine/origin.ts'
import { startService } from '../machine/service.ts'
import { openStreams } from '../machine/streams.ts'
import type { Book } from '../report/book.ts'
import type { Measure } from '../report/measure.ts'

const SIZES = [1, 1_000]
const WARM = 5
const HOP = fileURLToPath(new URL('../rivals/fsync-hop.ts', import.meta.url))

/**
 * P8: from the moment at which the target answers a job to the moment at which a stream has its end, committed and read back from the
 * store: what the response takes on its way is in it. Of all subscribers and all jobs; one job at a time.
 */
export const delivery: Measure = {
  id: 'P8',
  title: 'the end of a job on the streams of its batch',
  targets: [
    { series: '1 subscriber, p99', most: 5 },
    { series: '1,000 subscribers, p99', most: 100 },
  ],
  async run(book, plan) {
    for (let round = 1; round <= plan.rounds; round++) {
      hop(book, samplesOf(1, plan.quick))
      for (const subscribers of SIZES) {
        const took = await deliveries(subscribers, samplesOf(subscribers, plan.quick))
        const name = subscribers === 1 ? '1 subscriber' : `${subscribers.toLocaleString('en')} subscribers`
        plan.say(`  round ${round}: ${name}: p99 ${quantile(took, 0.99).toFixed(1)} ms of ${took.length}`)
        book.add(`${name}, p50`, 'ms', quantile(took, 0.5))
        book.add(`${name}, p99`, 'ms', quantile(took, 0.99))
      }
    }
  },
}

/** What one durable hop takes on this machine at this moment: a delivery has two of them, the response and the commit, and a read. */
function hop(book: Book, samples: number): void {
  const ran = spawnSync(process.execPath, [HOP, `${samples}`], { encoding: 'utf8' })
  if (ran.status !== 0) throw new Error(`the hop ended with ${ran.status}: ${ran.stderr}`)
  const [p50, p99] = JSON.parse(ran.stdout)
  book.add('one hop to a thread that fsyncs, p50', 'ms', p50)
  book.add('one hop to a thread that fsyncs, p99', 'ms', p99)
}

function samplesOf(subscribers: number, quick: boolean): number {
  if (subscribers === 1) return quick ? 200 : 500
  return quick ? 15 : 60
}

/** What each delivery took, in milliseconds. */
async function deliveries(subscribers: number, samples: number): Promise<number[]> {
  await using origin = await holdingOrigin()
  await using service = await startService({ env: { GATHERD_TENANT_CONCURRENCY: '1' } })
  const id = await submit(service, { kind: 'fetch', url: origin.url }, samples + WARM)
  await using streams = await openStreams(service, [id], subscribers)
  const took: number[] = []
  for (let i = -WARM; i < samples; i++) {
    await origin.holds(1)
    const answered = origin.answerOne()
    const seen = await streams.next()
    if (i >= 0) for (const at of seen) took.push(at - answered)
  }
  return took
}
