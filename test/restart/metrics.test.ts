import { describe, expect, it } from 'vitest'
import { parseScrape, type Scrape, seriesOf } from '../metrics/parse.ts'
import { ADMIN_KEY, Installation } from '../support/process.ts'

const HEADERS = { authorization: `Bearer ${ADMIN_KEY}`, 'content-type': 'application/json' }

async function scrape({ url }: Installation): Promise<Scrape> {
  return parseScrape(await (await fetch(`${url}/metrics`, { headers: HEADERS })).text())
}

/** A batch of a tenant that is paused, of jobs of two kinds. */
async function leave({ url }: Installation): Promise<void> {
  const send = async (method: string, path: string, body: unknown, authorization = HEADERS.authorization) =>
    await fetch(url + path, { method, headers: { ...HEADERS, authorization }, body: JSON.stringify(body) })
  await send('PUT', '/v1/admin/tenants/acme', { paused: true })
  const made = await send('POST', '/v1/admin/tenants/acme/keys', {})
  const { key } = (await made.json()) as { key: string } // What the API answers with.
  const sleep = { kind: 'sleep', durationMs: 1 }
  const jobs = [sleep, { kind: 'fetch', url: 'http://127.0.0.1:1234/' }, sleep, { ...sleep, delayMs: 60_000 }]
  const answer = await send('POST', '/v1/batches', { policy: 'race', jobs }, `Bearer ${key}`)
  expect(answer.status).toBe(202)
}

describe('what a restart takes up', () => {
  it('is counted under its own kinds, and as what was recovered', async () => {
    await using installation = new Installation()
    await installation.start()
    await leave(installation)
    const before = await scrape(installation)

    await installation.restart()
    const after = await scrape(installation)

    const queued = (at: Scrape) => ['sleep', 'fetch'].map((kind) => seriesOf(at, 'gatherd_jobs_queued', { kind }))
    const waiting = (at: Scrape) =>
      ['paused', 'delay'].map((reason) => seriesOf(at, 'gatherd_jobs_waiting', { reason }))
    expect([queued(before), waiting(before)]).toEqual([
      [3, 1],
      [3, 1],
    ])
    expect([queued(after), waiting(after)]).toEqual([queued(before), waiting(before)])
    expect(seriesOf(after, 'gatherd_batches_recovered_total')).toBe(1)
    expect(seriesOf(after, 'gatherd_jobs_recovered_total')).toBe(4)
    expect(seriesOf(before, 'gatherd_batches_recovered_total')).toBe(0)
    expect(seriesOf(after, 'gatherd_jobs_accepted_total', { kind: 'sleep' })).toBe(0)
  })
})

describe('GATHERD_METRICS_PORT', () => {
  it('has the metrics without a key, and what the process says of itself', async () => {
    await using installation = new Installation({ GATHERD_METRICS_PORT: '0', GATHERD_LOG_LEVEL: 'info' })
    const { stdout } = await installation.start()
    const url = /"listeningOn":"(http:\/\/127\.0\.0\.1:\d+\/metrics)"/.exec(stdout)?.[1] ?? ''

    const scraped = parseScrape(await (await fetch(url)).text())

    expect(new URL(url).port).not.toBe(new URL(installation.url).port)
    expect(seriesOf(scraped, 'gatherd_build_info', { store: 'sqlite' })).toBe(1)
    expect(seriesOf(scraped, 'process_resident_memory_bytes')).toBeGreaterThan(0)
    expect((await fetch(`${installation.url}/metrics`)).status).toBe(401)
  })

  it('that is taken stops the start, by its name', async () => {
    await using installation = new Installation({ GATHERD_METRICS_PORT: '0', GATHERD_LOG_LEVEL: 'info' })
    const { stdout } = await installation.start()
    const taken = /127\.0\.0\.1:(\d+)\/metrics/.exec(stdout)?.[1] ?? ''
    await using second = new Installation({ GATHERD_METRICS_PORT: taken })

    await expect(second.start()).rejects.toThrow(/GATHERD_METRICS_HOST, GATHERD_METRICS_PORT/)
  })
})
