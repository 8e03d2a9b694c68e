import { describe, expect, it } from 'vitest'
import { CallCounts, replicaReadings } from '../../src/metrics/cluster-counts.ts'
import { EgressCounts } from '../../src/metrics/egress-counts.ts'
import { EngineCounts, UNLOADED } from '../../src/metrics/engine-counts.ts'
import { Metrics, type Source } from '../../src/metrics/metrics.ts'
import { parseScrape, type Scrape, seriesOf, sumOf } from './parse.ts'

async function scraped(source: Source): Promise<Scrape> {
  const metrics = new Metrics()
  metrics.add(source)
  return parseScrape(await metrics.text('text/plain'))
}

describe('EgressCounts', () => {
  it('counts each rule as often as it was the reason, by stage', async () => {
    const counts = new EgressCounts()
    const kinds = new Map([
      ['own', 2],
      ['port', 1],
    ])

    counts.onRefused({ tenantId: 'acme', stage: 'submission', kinds })
    counts.onRefused({ tenantId: 'acme', stage: 'attempt', kinds: new Map([['own', 1]]), detail: '10.0.0.1' })
    const scrape = await scraped(() => counts.readings({ total: 1, limit: 9, waiting: 4 }))

    const refused = (stage: string, kind: string) => seriesOf(scrape, 'gatherd_egress_refusals_total', { stage, kind })
    expect([refused('submission', 'own'), refused('submission', 'port'), refused('attempt', 'own')]).toEqual([2, 1, 1])
    expect(seriesOf(scrape, 'gatherd_response_body_bytes')).toBe(1)
    expect(seriesOf(scrape, 'gatherd_response_body_limit_bytes')).toBe(9)
    expect(seriesOf(scrape, 'gatherd_response_bodies_waiting')).toBe(4)
  })
})

describe('CallCounts', () => {
  it('times calls by method, and counts those without an answer', async () => {
    const calls = new CallCounts()

    calls.ended('engine', 20, false)
    calls.ended('engine', 2_000, true)
    calls.ended('next', 1, false)
    const scrape = await scraped(() => calls.readings())

    const seconds = 'gatherd_cluster_request_duration_seconds'
    expect(seriesOf(scrape, `${seconds}_sum`, { method: 'engine' })).toBeCloseTo(2.02)
    expect(seriesOf(scrape, `${seconds}_count`, { method: 'next' })).toBe(1)
    expect(seriesOf(scrape, 'gatherd_cluster_request_failures_total', { method: 'engine' })).toBe(1)
    expect(seriesOf(scrape, 'gatherd_cluster_request_failures_total', { method: 'next' })).toBe(0)
  })
})

describe('replicaReadings', () => {
  const replica = {
    tenants: 3,
    leaseLeftMs: 9_500,
    leasesLost: 1,
    tenantsStale: 2,
    connected: true,
    calls: new CallCounts(),
    spread: null,
  }

  it('has the lease in seconds', async () => {
    const scrape = await scraped(() => replicaReadings(replica))

    expect(seriesOf(scrape, 'gatherd_cluster_lease_seconds')).toBe(9.5)
    expect(seriesOf(scrape, 'gatherd_cluster_tenants_owned')).toBe(3)
    expect(seriesOf(scrape, 'gatherd_cluster_leases_lost_total')).toBe(1)
    expect(seriesOf(scrape, 'gatherd_cluster_tenants_stale_total')).toBe(2)
    expect(seriesOf(scrape, 'gatherd_cluster_connected')).toBe(1)
  })

  it('says nothing of lending where nobody lends', async () => {
    const scrape = await scraped(() => replicaReadings(replica))

    expect(scrape.samples.filter(({ name }) => /slots_|attempts_/.test(name))).toEqual([])
  })

  it('tells what was lent from what was borrowed', async () => {
    const counts = { sent: 5, interrupted: 6, taken: 7, orphaned: 8 }
    const spread = { lent: { size: 1 }, borrowed: { size: 2 }, counts }
    const scrape = await scraped(() => replicaReadings({ ...replica, connected: false, spread }))

    const values = ['connected', 'slots_lent', 'slots_borrowed'].map((name) =>
      seriesOf(scrape, `gatherd_cluster_${name}`),
    )
    expect(values).toEqual([0, 1, 2])
    const attempts = Object.keys(counts).map((name) => seriesOf(scrape, `gatherd_cluster_attempts_${name}_total`))
    expect(attempts).toEqual([5, 6, 7, 8])
    expect(sumOf(scrape, 'gatherd_cluster_slots_lent')).toBe(1)
  })
})

describe('EngineCounts', () => {
  it('has a number for each kind, and one for those that it does not know', () => {
    const counts = new EngineCounts(['fetch', 'sleep'])

    expect(['fetch', 'sleep', 'gone', UNLOADED].map((kind) => counts.kindNo(kind))).toEqual([0, 1, 2, 2])
    expect(counts.kinds).toHaveLength(3)
  })

  it('keeps kinds apart, and policies', () => {
    const counts = new EngineCounts(['fetch', 'sleep'])

    counts.kinds[0].accepted++
    counts.policy('race').accepted++

    expect(counts.kinds.map(({ accepted }) => accepted)).toEqual([1, 0, 0])
    expect([counts.policy('race').accepted, counts.policy('any').accepted]).toEqual([1, 0])
  })
})
