import { expect, it } from 'vitest'
import type { Replica } from '../../../../src/engine/cluster/replica.ts'
import { shortLog } from '../../../support/service.ts'
import { overRedis, until } from '../support.ts'
import { SpreadCluster, type Work } from './floor.ts'

const LEASE_MS = 600

/** Replicas of one slot each; the first one has its slot taken for good. */
async function start(replicas: number, own: { leaseMs?: number } = {}): Promise<SpreadCluster> {
  const cluster = await SpreadCluster.start({ replicas, slots: 1, leaseMs: LEASE_MS, ...own })
  await cluster.submit([{}], { tenantId: 'blocker' })
  await cluster.runs(1)
  return cluster
}

/** Submit one job that runs on another replica. */
async function away(cluster: SpreadCluster, job: Record<string, unknown> = {}) {
  const id = await cluster.submit([job])
  await until(() => cluster.floor.away.length === 1)
  return { id, work: cluster.floor.away[0] }
}

async function own(replica: Replica, tenantId: string): Promise<string | null> {
  return await replica.connections.commands.get(`gatherd:{${tenantId}}:owner`)
}

overRedis('A replica that is lost', () => {
  it('takes attempts along, which are made again elsewhere', async () => {
    await using cluster = await start(3)
    const { id, work } = await away(cluster)

    await cluster.kill(work.at)
    await until(() => cluster.floor.away.some(({ at }) => at !== work.at))
    const [again] = cluster.floor.away.filter(({ at }) => at !== work.at)
    again.finish('the second')
    work.finish('the first')

    const {
      jobs: [job],
      events,
    } = await cluster.drained(id)
    expect(again.context).toMatchObject({ attempt: 2, jobId: work.context.jobId })
    expect(job).toMatchObject({ state: 'succeeded', result: 'the second', attempts: 2 })
    expect(shortLog(events)).toEqual([
      'batch.accepted',
      'job.queued 0',
      'job.started 0',
      'job.queued 0',
      'job.started 0',
      'job.succeeded 0',
      'batch.settled',
      'batch.drained',
    ])
    expect(cluster.spread(0).counts.interrupted).toBe(1)
  })

  it('fails attempts that must not be made again', async () => {
    await using cluster = await start(3)
    const { id, work } = await away(cluster, { onRestart: 'fail' })

    await cluster.kill(work.at)

    const {
      batch,
      jobs: [job],
    } = await cluster.drained(id)
    expect(job).toMatchObject({ state: 'failed', error: { code: 'interrupted' }, attempts: 1 })
    expect(batch.counts).toMatchObject({ failed: 1 })
    expect(cluster.floor.works.length).toBe(2)
  })

  it('ends what was told to stop there', async () => {
    await using cluster = await start(2)
    const { id, work } = await away(cluster, { deaf: true })
    await cluster.replicas[0].engine.cancel('acme', id, 'no more')
    await until(() => work.context.signal.aborted)

    await cluster.kill(1)

    const {
      jobs: [job],
    } = await cluster.drained(id)
    expect(job).toMatchObject({ state: 'cancelled', reason: 'no more' })
  })

  it('gives the time of an attempt anew to the next one, and that of a sleep not', async () => {
    await using cluster = await start(3)
    const id = await cluster.submit([{ kind: 'sleep', durationMs: 1_500 }, { timeoutMs: 30_000 }])
    await until(() => cluster.spread(0).counts.sent === 2)
    const before = Date.now()

    await Promise.all([cluster.kill(1), cluster.kill(2)])
    for (const work of cluster.floor.at(0)) work.finish()
    await until(() => cluster.floor.at(0).some(({ context }) => context.batchId === id))
    const [again] = cluster.floor.at(0)

    expect(again.context.startedAt).toBeGreaterThanOrEqual(before)
    again.finish()
    const {
      jobs: [sleep],
    } = await cluster.drained(id)
    expect(sleep).toMatchObject({ state: 'succeeded', attempts: 2 })
    expect(Date.parse(sleep.startedAt ?? '')).toBeLessThanOrEqual(before)
  })

  it('that owned a tenant has its attempts stopped where they run, and its heir makes them again', async () => {
    await using cluster = await start(2)
    const { id, work } = await away(cluster)

    await cluster.kill(0)
    await until(() => work.context.signal.aborted)
    const isAgain = ({ context }: Work) => context.batchId === id && context.attempt === 2
    await until(() => {
      // It has the other tenant of the dead replica as well, and one slot.
      for (const { context, finish } of cluster.floor.at(1)) if (context.tenantId === 'blocker') finish()
      return cluster.floor.at(1).some(isAgain)
    })

    for (const again of cluster.floor.at(1)) again.finish('again')
    const {
      jobs: [job],
      events,
    } = await cluster.drained(id)
    expect(job).toMatchObject({ state: 'succeeded', result: 'again', attempts: 2 })
    expect(events.filter(({ type }) => type === 'job.succeeded').length).toBe(1)
    expect(cluster.spread(1).counts.orphaned).toBe(1)
  })

  it('has an heir that begins nothing of its tenant while an attempt of it still runs elsewhere', async () => {
    // One runs it, one has what held the first one up, and one is free.
    await using cluster = await start(4, { leaseMs: 1_500 })
    const { id, work } = await away(cluster, { deaf: true })

    await cluster.kill(0)
    await until(() => work.context.signal.aborted)
    // It took the tenant with that word, and waits.
    await new Promise((resolve) => setTimeout(resolve, 400))
    const isAgain = ({ context }: Work) => context.batchId === id && context.attempt === 2
    const before = cluster.floor.works.filter(isAgain).length
    work.finish('too late')
    await until(() => {
      for (const { context, finish } of cluster.floor.running) if (context.tenantId === 'blocker') finish()
      return cluster.floor.works.some(isAgain)
    })

    for (const again of cluster.floor.running) again.finish('again')
    expect(before).toBe(0)
    expect((await cluster.drained(id)).jobs[0]).toMatchObject({ state: 'succeeded', result: 'again', attempts: 2 })
  })

  it('that lost its lease alone has its attempts stopped, and goes on with others', async () => {
    await using cluster = await start(3)
    const { id, work } = await away(cluster)
    const { commands } = cluster.replicas[0].connections

    // As after a pause: its heartbeat is gone, and its tenants are free for the others.
    const me = await own(cluster.replicas[0], 'acme')
    await commands.del(`gatherd:replica:${me}`)
    await until(() => work.context.signal.aborted)
    await until(async () => (await own(cluster.replicas[1], 'acme')) !== me)

    await until(() => cluster.floor.works.some(({ context }) => context.batchId === id && context.attempt === 2))
    for (const again of cluster.floor.running) again.finish('again')
    const {
      jobs: [job],
    } = await cluster.drained(id)
    expect(job).toMatchObject({ state: 'succeeded', result: 'again' })
  })

  it('hands its guests back at once when it leaves, but for those that must not be made again', async () => {
    await using cluster = await start(3, { leaseMs: 5_000 })
    const once = await away(cluster, { onRestart: 'fail' })
    const id = await cluster.submit([{}])
    await until(() => cluster.floor.away.length === 2)
    const work = cluster.floor.away.find(({ context }) => context.batchId === id)
    const leaving = [once.work.at, work?.at ?? 0]

    const left = Promise.all(leaving.map((at) => cluster.replicas[at].engine.drain(20_000)))
    await until(() => work?.context.signal.aborted === true)
    await until(async () => JSON.parse(await cluster.replicas[0].engine.job('acme', `${id}-0`)).state === 'queued')

    expect(once.work.context.signal.aborted).toBe(false)
    once.work.finish('to its end')
    await left
    const {
      jobs: [job],
    } = await cluster.drained(once.id)
    expect(job).toMatchObject({ state: 'succeeded', result: 'to its end', attempts: 1 })
    for (const blocker of cluster.floor.at(0)) blocker.finish()
    await until(() => cluster.floor.at(0).some(({ context }) => context.batchId === id))
    for (const again of cluster.floor.at(0)) again.finish('again')
    expect((await cluster.drained(id)).jobs[0]).toMatchObject({ state: 'succeeded', attempts: 2 })
    await cluster.check()
  })

  it('waits for what it has sent away when it leaves itself', async () => {
    await using cluster = await start(2, { leaseMs: 5_000 })
    const { id, work } = await away(cluster)

    const left = cluster.replicas[0].engine.drain(20_000)
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(work.context.signal.aborted).toBe(false)
    for (const each of cluster.floor.running) each.finish('to its end')
    await left

    const {
      jobs: [job],
    } = await cluster.drained(id)
    expect(job).toMatchObject({ state: 'succeeded', result: 'to its end', attempts: 1 })
  })

  it('costs nobody an end: one that cannot be told now is told later, once', async () => {
    await using cluster = await start(2, { leaseMs: 5_000 })
    const { id, work } = await away(cluster)
    const { subscriber } = cluster.replicas[0].connections

    // The owner hears nothing for a moment.
    cluster.rough = true
    subscriber.disconnect(true)
    work.finish('late')

    const {
      jobs: [job],
      events,
    } = await cluster.drained(id)
    expect(job).toMatchObject({ state: 'succeeded', result: 'late', attempts: 1 })
    expect(events.filter(({ type }) => type === 'job.succeeded').length).toBe(1)
  })

  it('of its answer, a taker asks again, and no job is started twice or forgotten', async () => {
    await using cluster = await start(2, { leaseMs: 5_000 })
    const { id, work } = await away(cluster)
    const next = await cluster.submit([{}])
    const { subscriber } = cluster.replicas[1].connections

    // The answer with the next job goes to a connection that is no more.
    work.finish('first')
    cluster.rough = true
    subscriber.disconnect(true)
    await until(() => cluster.floor.away.some(({ context }) => context.batchId === next))

    for (const each of cluster.floor.away) each.finish('second')
    expect((await cluster.drained(id)).jobs[0]).toMatchObject({ state: 'succeeded', attempts: 1 })
    expect((await cluster.drained(next)).jobs[0]).toMatchObject({ state: 'succeeded', attempts: 1 })
    expect(cluster.floor.works.length).toBe(3)
  })
})
