import { quantile } from '../figures.ts'
import { append, oneJob, submit } from '../machine/batches.ts'
import { type HoldingOrigin, holdingOrigin } from '../machine/origin.ts'
import { startService } from '../machine/service.ts'
import { openStreams, type Streams } from '../machine/streams.ts'
import { ADMIN_KEY, newTenant } from '../machine/tenants.ts'
import type { Book } from '../report/book.ts'
import type { Measure } from '../report/measure.ts'
import { sizes } from './sizes.ts'

const ENV = {
  GATHERD_ADMIN_KEY: ADMIN_KEY,
  GATHERD_MAX_OBSERVERS: '20000',
  GATHERD_MAX_CONNECTIONS: '30000',
  GATHERD_MAX_CONNECTIONS_PER_ADDRESS: '0',
}

/** So many streams follow one batch: how long one job of another tenant takes while they are silent, and how soon all of them have an end. */
export const streamCurve: Measure = {
  id: 'streams',
  title: 'one job, by how many streams are open',
  axis: 'open streams of one batch',
  targets: [],
  async run(book, { rounds, quick, say }) {
    for (let round = 1; round <= rounds; round++) {
      for (const streams of sizes(quick)) {
        const failure = await once(book, streams, quick).catch(String)
        say(`  round ${round}: ${streams} streams${failure === undefined ? '' : `: ${failure}`}`)
        // What the smaller ones found is kept.
        if (failure !== undefined) book.skip(`${streams.toLocaleString('en')} streams, round ${round}`, failure)
      }
    }
  },
}

async function once(book: Book, count: number, quick: boolean): Promise<undefined> {
  const ends = quick ? 5 : 20
  await using held = await holdingOrigin()
  await using open = await holdingOrigin()
  open.release()
  await using service = await startService({ env: ENV })
  const [watched, quiet] = [
    await newTenant(service, 'watched', { maxConcurrency: 1 }),
    await newTenant(service, 'quiet', {}),
  ]
  const id = await submit(watched, {}, 0, { open: true })
  await using streams = await openStreams(watched, [id], count)
  const beside: number[] = []
  for (let i = -20; i < (quick ? 60 : 200); i++) {
    const { whole } = await oneJob(quiet, open.url)
    if (i >= 0) beside.push(whole)
  }
  // One after the other, for a target has 15 seconds for its answer, and to open the streams can take longer.
  const next = () => append(watched, id, { kind: 'fetch', url: held.url })
  const [first, last] = await deliveries(held, streams, ends, next)
  report(book, 'a job beside them, p50', count, quantile(beside, 0.5))
  report(book, 'a job beside them, p99', count, quantile(beside, 0.99))
  report(book, 'an end to the first of them, p50', count, quantile(first, 0.5))
  report(book, 'an end to all of them, p50', count, quantile(last, 0.5))
}

/** How soon the first stream and the last had each end, in milliseconds. */
async function deliveries(
  origin: HoldingOrigin,
  streams: Streams,
  ends: number,
  next: () => Promise<unknown>,
): Promise<[number[], number[]]> {
  const [first, last]: number[][] = [[], []]
  for (let i = 0; i < ends; i++) {
    await next()
    await origin.holds(1)
    const answered = origin.answerOne()
    const seen = await streams.next()
    first.push(seen[0] - answered)
    last.push(seen[seen.length - 1] - answered)
  }
  return [first, last]
}

function report(book: Book, line: string, x: number, figure: number): void {
  book.add(`${line}, ${x.toLocaleString('en')}`, 'ms', figure, { line, x })
}
