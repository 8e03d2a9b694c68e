import { describe, expect, it } from 'vitest'
import { CATALOG, type Declaration } from '../../src/metrics/catalog.ts'
import { Metrics, type Reading } from '../../src/metrics/metrics.ts'
import { Buckets } from '../../src/metrics/tally.ts'
import { parseScrape, seriesOf } from './parse.ts'

/** Metrics that have these series. */
function metricsOf(...readings: Reading[]): Metrics {
  const metrics = new Metrics()
  metrics.add(() => readings)
  return metrics
}

const queued: Reading = ['gatherd_jobs_queued', { kind: 'fetch' }, 7]
const started: Reading = ['gatherd_attempts_total', { kind: 'fetch' }, 3]

function waits(...seconds: number[]): Reading {
  const buckets = new Buckets([0.1, 1])
  for (const each of seconds) buckets.observe(each)
  return ['gatherd_job_wait_seconds', { kind: 'fetch' }, buckets]
}

describe('the catalog', () => {
  const all = Object.entries<Declaration>(CATALOG)

  it.each(all)('%s has a name of its type and unit', (name, { type }) => {
    expect(name).toMatch(/^gatherd_[a-z]+(?:_[a-z]+)*$/)
    expect(name.endsWith('_total')).toBe(type === 'counter')
    // A histogram without a unit is of things that are counted.
    if (type === 'histogram') expect(name).toMatch(/_(?:seconds|bytes|rows)$/)
    expect(name).not.toMatch(/_(?:ms|millis|milliseconds|kb|kib|mb|minutes|percent)(?:_|$)/)
  })

  it.each(all)('%s has labels that are no id, no URL and nobody’s name', (_, { labels }) => {
    const closed = ['kind', 'reason', 'state', 'code', 'cap', 'policy', 'stage', 'route', 'method', 'status']

    expect(labels.filter((label) => ![...closed, 'version', 'store'].includes(label))).toEqual([])
  })

  it.each(all)('%s says in a sentence what it is', (_, { help }) => {
    // OpenMetrics would want quotes escaped, which nobody does here.
    expect(help).toMatch(/^[A-Z0-9][^"\\\n]+\.$/)
  })
})

describe('a scrape', () => {
  it('has each series with what it is', async () => {
    const scrape = parseScrape(await metricsOf(queued, started).text('text/plain'))

    expect(seriesOf(scrape, 'gatherd_jobs_queued', { kind: 'fetch' })).toBe(7)
    expect(seriesOf(scrape, 'gatherd_attempts_total', { kind: 'fetch' })).toBe(3)
    expect([scrape.types.get('gatherd_jobs_queued'), scrape.types.get('gatherd_attempts_total')]).toEqual([
      'gauge',
      'counter',
    ])
    expect(scrape.helps.get('gatherd_jobs_queued')).toBe(CATALOG.gatherd_jobs_queued.help)
  })

  it('has a distribution as a histogram that adds up', async () => {
    const scrape = parseScrape(await metricsOf(waits(0.05, 0.5, 5)).text('text/plain'))
    const buckets = scrape.samples.filter(({ name }) => name === 'gatherd_job_wait_seconds_bucket')

    expect(buckets.map(({ labels, value }) => [labels.kind, labels.le, value])).toEqual([
      ['fetch', '0.1', 1],
      ['fetch', '1', 2],
      ['fetch', '+Inf', 3],
    ])
    expect(seriesOf(scrape, 'gatherd_job_wait_seconds_sum')).toBeCloseTo(5.55)
    expect(seriesOf(scrape, 'gatherd_job_wait_seconds_count')).toBe(3)
    expect(scrape.types.get('gatherd_job_wait_seconds')).toBe('histogram')
  })

  it('leaves out of what there is no series', async () => {
    const text = await metricsOf(queued).text('text/plain')

    expect(text).not.toContain('gatherd_cluster')
  })

  it('reads anew each time, from all sources', async () => {
    const metrics = new Metrics()
    let jobs = 1
    metrics.add(() => [['gatherd_jobs_queued', { kind: 'a' }, jobs]])
    metrics.add(() => [['gatherd_jobs_queued', { kind: 'b' }, jobs * 10]])

    await metrics.text('text/plain')
    jobs = 2
    const scrape = parseScrape(await metrics.text('text/plain'))

    expect(seriesOf(scrape, 'gatherd_jobs_queued', { kind: 'a' })).toBe(2)
    expect(seriesOf(scrape, 'gatherd_jobs_queued', { kind: 'b' })).toBe(20)
  })

  it('has what Node says of the process, once, whoever asks', async () => {
    await metricsOf(queued).text('text/plain')
    const scrape = parseScrape(await metricsOf(queued).text('text/plain'))

    expect(scrape.types.get('process_cpu_seconds_total')).toBe('counter')
    expect(seriesOf(scrape, 'process_resident_memory_bytes')).toBeGreaterThan(1e6)
    expect(seriesOf(scrape, 'nodejs_eventloop_lag_p99_seconds')).toBeDefined()
  })
})

describe('a scrape as OpenMetrics', () => {
  it('declares counters without _total, and counts with it', async () => {
    const text = await metricsOf(started).text('application/openmetrics-text')

    expect(text).toContain('# TYPE gatherd_attempts counter\n')
    expect(text).toContain('# HELP gatherd_attempts Attempts started.\n')
    expect(text).toContain('\ngatherd_attempts_total{kind="fetch"} 3\n')
  })

  it('has no empty line, and ends with EOF', async () => {
    const lines = (await metricsOf(queued, started).text('application/openmetrics-text')).split('\n')

    expect(lines.indexOf('')).toBe(lines.length - 1)
    expect(lines.at(-2)).toBe('# EOF')
    expect(lines.filter((line) => line === '# EOF')).toHaveLength(1)
  })

  it('says the same as the other format', async () => {
    const metrics = metricsOf(queued, started, waits(0.5))
    const ours = ({ name }: { name: string }) => name.startsWith('gatherd_')

    const open = parseScrape(await metrics.text('application/openmetrics-text')).samples.filter(ours)
    const plain = parseScrape(await metrics.text('text/plain')).samples.filter(ours)

    expect(open).toEqual(plain)
  })

  it('leaves alone what only looks like a counter', async () => {
    const text = await metricsOf(queued).text('application/openmetrics-text')

    expect(text).toContain('# TYPE nodejs_active_handles_total gauge')
  })
})
