import { describe, expect, it } from 'vitest'
import { Cluster } from '../support/cluster.ts'
import { Collector } from '../support/otlp.ts'

/** A batch of fetches that wait until they are let go. */
const held = (cluster: Cluster, names: readonly string[]) =>
  names.map((name) => ({ kind: 'fetch', url: cluster.origin.url(`/hold/${name}`) }))

describe('the trace of a batch in a cluster', { timeout: 60_000 }, () => {
  it('is one tree, whoever took the request, owns the tenant and runs the jobs', async () => {
    await using collector = await Collector.start()
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
      OTEL_BSP_SCHEDULE_DELAY: '20',
      GATHERD_MAX_CONCURRENCY: '1',
    }
    await using cluster = await Cluster.start({ replicas: 2, env })
    const tenant = await cluster.tenant('acme')
    const names = ['a', 'b']

    const { body } = await tenant
      .at(cluster.running[0])
      .http.post('/v1/batches')
      .send({ jobs: held(cluster, names) })
    // Each replica has one slot.
    for (const name of names) await cluster.origin.whenHit(`/hold/${name}`)
    for (const name of names) cluster.origin.release(`/hold/${name}`)
    const spans = await collector.until(
      (all) =>
        all.some(({ name }) => name === 'batch') && all.filter(({ name }) => name === 'attempt fetch').length === 2,
    )

    const of = (name: string) => spans.filter((span) => span.name === name)
    const [submit, batch] = [of('POST /v1/batches')[0], of('batch')[0]]
    expect(body.id).toBe(batch?.attributes['gatherd.batch.id'])
    expect(batch?.parentId).toBe(submit?.spanId)
    expect(of('job').map(({ parentId }) => parentId)).toEqual([batch?.spanId, batch?.spanId])
    const byId = (a: { spanId: string }, b: { spanId: string }) => a.spanId.localeCompare(b.spanId)
    expect(
      of('attempt fetch')
        .map(({ parentId: spanId }) => ({ spanId }))
        .toSorted(byId),
    ).toEqual(
      of('job')
        .map(({ spanId }) => ({ spanId }))
        .toSorted(byId),
    )
    expect(new Set(of('attempt fetch').map(({ resource }) => resource['service.instance.id'])).size).toBe(2)
    const sent = cluster.origin.hits.map(({ headers }) => headers.traceparent).toSorted()
    expect(sent).toEqual(
      of('attempt fetch')
        .map(({ traceId, spanId }) => `00-${traceId}-${spanId}-01`)
        .toSorted(),
    )
  })
})
