import { expect, it } from 'vitest'
import { overRedis } from '../engine/cluster/support.ts'
import { Cluster, type Node } from '../support/cluster.ts'

overRedis('Attempts on other replicas, in processes', () => {
  it('are made again when theirs is killed, and end once', { timeout: 60_000 }, async () => {
    await using cluster = await Cluster.start({ env: { GATHERD_MAX_CONCURRENCY: '1', GATHERD_LOG_LEVEL: 'debug' } })
    const tenant = await cluster.tenant('acme')
    await cluster.settle(tenant, cluster.nodes[0])
    const me = tenant.at(0)

    const { id } = await me.submit({
      jobs: [1, 2, 3].map((n) => ({ kind: 'fetch', url: cluster.origin.url(`/hold/${n}`) })),
    })
    await me.seen(id, 'job.started', 2)
    const owner = await cluster.owner('acme')
    await owner.said('a job runs on another replica')
    const taker = (await cluster.others('acme'))[0]
    await taker.end('SIGKILL')
    cluster.origin.release('/hold/1')
    await using again = await me.stream(id)
    await again.find(({ type, attempt }) => type === 'job.started' && attempt === 2)
    expect(sentBy(owner)).toBeGreaterThanOrEqual(2)
    await me.cancel(id)

    const { jobs } = await me.drained(id)
    expect(jobs.map(({ state }) => state)).toEqual(['succeeded', 'cancelled', 'cancelled'])
    expect(jobs.map(({ attempts }) => attempts).sort()).toEqual([1, 1, 2])
  })
})

function sentBy({ process }: Node): number {
  return process.stdout.split('a job runs on another replica').length - 1
}
