// P9: a cap is a cap, and a slot comes back, whatever becomes of the jobs.
import { setTimeout as sleep } from 'node:timers/promises'
import { untilDrained } from '../machine/batches.ts'
import { type CountingOrigin, countingOrigin } from '../machine/counting-origin.ts'
import { type BenchService, call, startService } from '../machine/service.ts'
import type { Measure } from '../report/measure.ts'

const CAP = 16
/** Batches under way at once, and jobs in each. */
const [AT_ONCE, JOBS] = [8, 60]

/** P9: counted at the target, which sees more than `CAP` requests at once if a slot is given back before its socket is closed. */
export const caps: Measure = {
  id: 'P9',
  title: `a cap of ${CAP}, over answers, timeouts, cancels and resets, counted at the target`,
  targets: [
    { series: 'requests beyond the cap', most: 0, always: true },
    { series: 'slots lost', most: 0, always: true },
  ],
  async run(book, plan) {
    for (let round = 1; round <= plan.rounds; round++) {
      await using origin = await countingOrigin(CAP)
      await using service = await startService({ env: { GATHERD_TENANT_CONCURRENCY: `${CAP}` } })
      const until = performance.now() + (plan.quick ? 2_000 : 15_000)
      await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => batches(service, origin.url, i, until)))
      const { requests, peak, violations } = origin
      const lost = CAP - (await fillAgain(service, origin))
      plan.say(
        `  round ${round}: ${requests} requests, at most ${peak} at once, ${violations} beyond the cap, ${lost} lost`,
      )
      book.add('requests beyond the cap', 'count', violations)
      book.add('slots lost', 'count', lost)
      book.add('requests at once, at most', 'count', peak)
      book.add('requests', 'requests', requests)
    }
  },
}

/** One batch after the other; every second one is cancelled on its way. */
async function batches(service: BenchService, url: string, offset: number, until: number): Promise<void> {
  for (let i = offset; performance.now() < until; i++) {
    const jobs = Array.from({ length: JOBS }, (_, n) => jobOf(url, n + i))
    // The service answers a submission with the batch.
    const { id } = (await call(service, 'POST', '/v1/batches', { jobs })) as { id: string }
    if (i % 2 === 0) {
      await sleep(20 + ((i * 37) % 150))
      await call(service, 'POST', `/v1/batches/${id}/cancel`)
    }
    await untilDrained(service, id)
  }
}

function jobOf(url: string, n: number): object {
  const kinds = [
    { path: '/ok' },
    { path: '/hang', timeoutMs: 20 },
    { path: '/reset' },
    { path: '/drip' },
    { path: '/drip', timeoutMs: 25 },
    { path: '/ok' },
  ]
  const { path, ...more } = kinds[n % kinds.length]
  return { kind: 'fetch', url: `${url}${path}`, ...more }
}

/** How many run at once when more than the cap want to, and none of them ends. */
async function fillAgain(service: BenchService, origin: CountingOrigin): Promise<number> {
  origin.forget()
  const jobs = Array.from({ length: 2 * CAP }, () => ({ kind: 'fetch', url: `${origin.url}/hang` }))
  // The service answers a submission with the batch.
  const { id } = (await call(service, 'POST', '/v1/batches', { jobs })) as { id: string }
  for (let tries = 0; tries < 100 && origin.open < CAP; tries++) await sleep(20)
  await sleep(200)
  const { open } = origin
  await call(service, 'POST', `/v1/batches/${id}/cancel`)
  return open
}
