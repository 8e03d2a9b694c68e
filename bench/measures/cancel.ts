// P6: a large batch is cancelled.
import { quantile } from '../figures.ts'
import { ask } from '../machine/ask.ts'
import { submit, untilDrained } from '../machine/batches.ts'
import { type HoldingOrigin, holdingOrigin } from '../machine/origin.ts'
import { type BenchService, call, startService } from '../machine/service.ts'
import type { Book } from '../report/book.ts'
import type { Measure } from '../report/measure.ts'

const [RUNNING, QUEUED, PART] = [64, 100_000, 10_000]

const ENV = {
  GATHERD_TENANT_CONCURRENCY: `${RUNNING}`,
  GATHERD_MAX_BATCH_JOBS: `${QUEUED + RUNNING}`,
  GATHERD_MAX_QUEUED_JOBS: `${2 * QUEUED}`,
}

/**
 * P6: one batch of 100,000 queued jobs and 64 running fetches. How late the event loop gets is the service's own figure, from the cancel to the
 * last event; when a socket is closed is what the target sees, from before the cancel was sent.
 */
export const cancelling: Measure = {
  id: 'P6',
  title: 'cancel of a batch with 100,000 jobs queued and 64 running',
  targets: [
    { series: 'event loop blocked, at most', most: 50, always: true },
    { series: 'sockets closed, p99', most: 20 },
    { series: 'jobs without an end', most: 0, always: true },
  ],
  async run(book, plan) {
    for (let round = 1; round <= plan.rounds; round++) {
      await using origin = await holdingOrigin()
      await using service = await startService({ env: ENV, inside: true })
      for (let i = 0; i < (plan.quick ? 1 : 3); i++) await once(book, service, origin)
    }
  },
}

async function once(book: Book, service: BenchService, origin: HoldingOrigin): Promise<void> {
  const id = await large(service, origin.url)
  await origin.holds(RUNNING)
  await ask(service, 'reset')
  const began = performance.now()
  await call(service, 'POST', `/v1/batches/${id}/cancel`)
  const answered = performance.now() - began
  const { counts } = await untilDrained(service, id)
  const drained = performance.now() - began
  const { lag } = await ask(service, 'look')
  const closed = origin.gone.map((at) => at - began)
  origin.forget()
  book.add('event loop blocked, at most', 'ms', lag.maxMs)
  book.add('sockets closed, p50', 'ms', quantile(closed, 0.5))
  book.add('sockets closed, p99', 'ms', quantile(closed, 0.99))
  book.add('cancel answered', 'ms', answered)
  book.add('drained', 'ms', drained)
  book.add('jobs without an end', 'jobs', counts.total - counts.cancelled + (RUNNING - closed.length))
}

/** In parts, as the body of a request has a limit of its own. */
async function large(service: BenchService, url: string): Promise<string> {
  const job = { kind: 'fetch', url }
  const id = await submit(service, job, PART + RUNNING)
  const jobs = Array.from({ length: PART }, () => job)
  for (let there = PART; there < QUEUED; there += PART) await call(service, 'POST', `/v1/batches/${id}/jobs`, { jobs })
  return id
}
