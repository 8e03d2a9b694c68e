import { describe, expect, it } from 'vitest'
import { type Answered, HttpCounts, httpReadings } from '../../src/metrics/http-counts.ts'
import { Metrics } from '../../src/metrics/metrics.ts'
import { parseScrape, type Scrape, seriesOf, sumOf } from './parse.ts'

/** A scrape after these answers; what is not said of one is that of a good read. */
async function scrapeAfter(...answers: Partial<Answered>[]): Promise<Scrape> {
  const counts = new HttpCounts()
  const usual = { method: 'GET', route: '/v1/batches', status: 200, ms: 3, problem: undefined }
  for (const answer of answers) counts.answered({ ...usual, ...answer })
  const metrics = new Metrics()
  metrics.add(() => counts.readings())
  return parseScrape(await metrics.text('text/plain'))
}

const REQUESTS = 'gatherd_http_requests_total'
const SECONDS = 'gatherd_http_request_duration_seconds'

describe('HttpCounts', () => {
  it('counts answers by route, method and class of status', async () => {
    const scrape = await scrapeAfter({}, { status: 204 }, { status: 429 }, { method: 'POST', status: 202 })

    expect(seriesOf(scrape, REQUESTS, { route: '/v1/batches', method: 'GET', status: '2xx' })).toBe(2)
    expect(seriesOf(scrape, REQUESTS, { route: '/v1/batches', method: 'GET', status: '4xx' })).toBe(1)
    expect(seriesOf(scrape, REQUESTS, { route: '/v1/batches', method: 'POST', status: '2xx' })).toBe(1)
  })

  it('has durations in seconds', async () => {
    const scrape = await scrapeAfter({ ms: 250 }, { ms: 4 })

    expect(seriesOf(scrape, `${SECONDS}_sum`)).toBeCloseTo(0.254)
    expect(seriesOf(scrape, `${SECONDS}_bucket`, { le: '0.005' })).toBe(1)
    expect(seriesOf(scrape, `${SECONDS}_bucket`, { le: '0.25' })).toBe(2)
  })

  it('counts who left before the end of an answer apart, with the time that it took', async () => {
    const counts = new HttpCounts()
    counts.left({ method: 'GET', route: '/v1/batches', ms: 250 })
    counts.left({ method: 'GET', route: undefined, ms: 1 })
    const metrics = new Metrics()
    metrics.add(() => counts.readings())

    const scrape = parseScrape(await metrics.text('text/plain'))

    expect(seriesOf(scrape, REQUESTS, { route: '/v1/batches', method: 'GET', status: 'left' })).toBe(1)
    expect(seriesOf(scrape, REQUESTS, { route: 'none', method: 'GET', status: 'left' })).toBe(1)
    expect(seriesOf(scrape, `${SECONDS}_sum`, { route: '/v1/batches' })).toBeCloseTo(0.25)
  })

  it('counts problems by their code', async () => {
    const scrape = await scrapeAfter({ status: 404, problem: 'not_found' }, {}, { status: 404, problem: 'not_found' })

    expect(seriesOf(scrape, 'gatherd_http_problems_total', { code: 'not_found' })).toBe(2)
    expect(sumOf(scrape, 'gatherd_http_problems_total')).toBe(2)
  })

  it('counts what never became a request by its problem alone, and connections that were dropped', async () => {
    const counts = new HttpCounts()
    const metrics = new Metrics()
    metrics.add(() => counts.readings())
    const dropped = async () =>
      seriesOf(parseScrape(await metrics.text('text/plain')), 'gatherd_connections_dropped_total')
    expect(await dropped()).toBe(0)

    counts.noRequest('bad_request')
    counts.connectionDropped()
    counts.connectionDropped()

    const scrape = parseScrape(await metrics.text('text/plain'))
    expect(seriesOf(scrape, 'gatherd_http_problems_total', { code: 'bad_request' })).toBe(1)
    expect(seriesOf(scrape, 'gatherd_submissions_refused_total', { code: 'bad_request' })).toBeUndefined()
    expect(seriesOf(scrape, REQUESTS)).toBeUndefined()
    expect(await dropped()).toBe(2)
  })

  it('has at zero, before the first, what alerts look for the first of', async () => {
    const scrape = await scrapeAfter({})

    const codes = ['internal', 'queue_full', 'overloaded', 'rate_limited']
    expect(codes.map((code) => seriesOf(scrape, 'gatherd_http_problems_total', { code }))).toEqual([0, 0, 0, 0])
    expect(codes.map((code) => seriesOf(scrape, 'gatherd_submissions_refused_total', { code }))).toEqual([
      undefined,
      0,
      0,
      0,
    ])
  })

  it.each([
    ['POST', '/v1/batches', 1],
    ['POST', '/v1/batches/:batchId/jobs', 1],
    ['GET', '/v1/batches', 0],
    ['POST', '/v1/batches/validate', 0],
    ['POST', '/v1/batches/:batchId/cancel', 0],
  ])('a refusal of %s %s is that of so many submissions: %d', async (method, route, expected) => {
    const scrape = await scrapeAfter({ method, route, status: 429, problem: 'queue_full' })

    expect(sumOf(scrape, 'gatherd_submissions_refused_total')).toBe(expected)
  })

  it('has one place for what is no route', async () => {
    const scrape = await scrapeAfter(
      { route: undefined, status: 404 },
      { route: undefined, status: 404, method: 'PURGE' },
    )

    expect(seriesOf(scrape, REQUESTS, { route: 'none', method: 'GET', status: '4xx' })).toBe(1)
    expect(seriesOf(scrape, REQUESTS, { route: 'none', method: 'none', status: '4xx' })).toBe(1)
  })

  it('has a bound on its series, whatever comes', async () => {
    const scrape = await scrapeAfter(...Array.from({ length: 1_000 }, (_, i) => ({ route: `/r${i}` })))
    const routes = new Set(scrape.samples.flatMap(({ name, labels }) => (name === REQUESTS ? [labels.route] : [])))

    expect(routes.size).toBe(201)
    expect(seriesOf(scrape, REQUESTS, { route: 'none' })).toBe(800)
    expect(sumOf(scrape, REQUESTS)).toBe(1_000)
  })
})

describe('httpReadings', () => {
  it('shows what is there now', () => {
    const readings = httpReadings({
      observers: { size: 5, streams: 3 },
      bodies: { used: 10, limit: 100 },
      unread: { total: 20, limit: 200, waiting: 2 },
      isPressed: () => true,
    })

    expect(Object.fromEntries([...readings].map(([name, , value]) => [name, value]))).toEqual({
      gatherd_http_under_pressure: 1,
      gatherd_observers: 5,
      gatherd_streams_open: 3,
      gatherd_request_body_bytes: 10,
      gatherd_request_body_limit_bytes: 100,
      gatherd_unread_bytes: 20,
      gatherd_unread_limit_bytes: 200,
      gatherd_unread_pages_waiting: 2,
    })
  })
})
