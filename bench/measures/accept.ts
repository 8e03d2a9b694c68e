// P7: how long an acceptance takes.
import { Agent, type Dispatcher } from 'undici'
import { quantile } from '../figures.ts'
import { holdingOrigin } from '../machine/origin.ts'
import { type BenchService, call, startService } from '../machine/service.ts'
import { ADMIN_KEY, pause } from '../machine/tenants.ts'
import type { Measure } from '../report/measure.ts'

/** Submissions of one size: so many requests, one after the other, and what their 202 may take. */
interface Series {
  name: string
  jobs: number
  requests: number
  /** Drained after this many requests: the queue has a bound. */
  drainEvery: number
}

const SERIES: Series[] = [
  { name: '1,000 jobs', jobs: 1_000, requests: 200, drainEvery: 20 },
  { name: '1 job', jobs: 1, requests: 2_000, drainEvery: 2_000 },
]

/**
 * P7: how long the 202 of a batch takes, fsynced, on one kept connection, one request after the other. `paused`: nothing
 * of it runs, so that it is acceptance alone that is measured; `running`: the fetches of the batches before run meanwhile.
 */
export const acceptance: Measure = {
  id: 'P7',
  title: '202 of a batch, fsynced',
  targets: [
    { series: '1,000 jobs, paused, p50', most: 8 },
    { series: '1,000 jobs, paused, p99', most: 25 },
    { series: '1 job, paused, p50', most: 2 },
    { series: '1 job, paused, p99', most: 8 },
  ],
  async run(book, { rounds, quick, say }) {
    for (let round = 1; round <= rounds; round++) {
      await using origin = await holdingOrigin()
      origin.release()
      await using service = await startService({ env: { GATHERD_ADMIN_KEY: ADMIN_KEY } })
      for (const paused of [true, false]) {
        await pause(service, paused)
        for (const series of SERIES) {
          const requests = quick ? series.requests / 10 : series.requests
          const took = await submitAll(
            service,
            { ...series, requests },
            { url: origin.url, paused, warm: quick ? 5 : 20 },
          )
          const name = `${series.name}, ${paused ? 'paused' : 'running'}`
          for (const q of [0.5, 0.99]) book.add(`${name}, p${q * 100}`, 'ms', quantile(took, q))
          say(`  round ${round}: ${name}: ${took.length} requests`)
        }
      }
    }
  },
}

async function submitAll(service: BenchService, series: Series, how: { url: string; paused: boolean; warm: number }) {
  await using connection = new Connection(service)
  const jobs = Array.from({ length: series.jobs }, () => ({ kind: 'fetch', url: how.url }))
  const body = JSON.stringify({ jobs })
  const took: number[] = []
  let ids: string[] = []
  // The first ones warm up what the measured ones use.
  for (let i = -how.warm; i < series.requests; i++) {
    const start = performance.now()
    ids.push(await connection.submit(body))
    if (i >= 0) took.push(performance.now() - start)
    if (ids.length < series.drainEvery && i < series.requests - 1) continue
    await end(service, ids, how.paused)
    ids = []
  }
  return took
}

/** What is paused is cancelled, what runs is awaited: in order, so that few are left when the last is asked. */
async function end(service: BenchService, ids: readonly string[], paused: boolean): Promise<void> {
  for (const id of ids) {
    if (paused) await call(service, 'POST', `/v1/batches/${id}/cancel`)
    else await call(service, 'GET', `/v1/batches/${id}`, undefined, { prefer: 'wait=60' })
  }
}

/** One kept connection, and nothing of a client's own on it but the request. */
class Connection implements AsyncDisposable {
  readonly #agent = new Agent({ connections: 1 })
  readonly #options: Dispatcher.RequestOptions

  constructor({ url, key }: BenchService) {
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
    this.#options = { origin: url, path: '/v1/batches', method: 'POST', headers }
  }

  /** Resolves with the id of the batch when its 202 has been read. */
  async submit(body: string): Promise<string> {
    const answer = await this.#agent.request({ ...this.#options, body })
    const text = await answer.body.text()
    if (answer.statusCode !== 202) throw new Error(`${answer.statusCode} ${text.slice(0, 500)}`)
    return JSON.parse(text).id
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.close()
  }
}
