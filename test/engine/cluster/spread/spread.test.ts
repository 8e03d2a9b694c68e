import { expect, it } from 'vitest'
import { z } from 'zod'
import { type Clock, systemClock } from '../../../../src/clock.ts'
import type { JobKind } from '../../../../src/jobs/kind.ts'
import { shortLog } from '../../../support/service.ts'
import { overRedis, until } from '../support.ts'
import { SpreadCluster, type Work } from './floor.ts'

const jobs = (count: number, more: Record<string, unknown> = {}) => Array.from({ length: count }, () => more)

/** Finish whatever runs until everything has run. */
async function finishAll(cluster: SpreadCluster, total: number): Promise<void> {
  await until(() => {
    for (const work of cluster.floor.running) work.finish(work.at)
    return cluster.floor.works.length >= total && cluster.floor.running.length === 0
  })
}

/** A while in which what must not happen could. */
const aWhile = () => new Promise((resolve) => setTimeout(resolve, 200))

/** Two replicas of one slot; a job of the first one runs on the second. */
async function oneAway(job: Record<string, unknown> = {}, batch: Record<string, unknown> = {}) {
  const cluster = await SpreadCluster.start({ replicas: 2, slots: 1 })
  const blocker = await cluster.submit([{}], { tenantId: 'blocker' })
  await cluster.runs(1)
  const id = await cluster.submit([job], batch)
  await until(() => cluster.floor.away.length === 1)
  const [away] = cluster.floor.away
  return { cluster, id, jobId: `${id}-0`, away, blocker, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() }
}

overRedis('Attempts on other replicas', () => {
  it('run a tenant at its cap over replicas that have fewer slots, and none of them runs more than its own', async () => {
    await using cluster = await SpreadCluster.start({ slots: 4, cap: 20 })
    const id = await cluster.submit(jobs(40))

    await cluster.runs(12)

    expect([0, 1, 2].map((at) => cluster.floor.at(at).length)).toEqual([4, 4, 4])
    await finishAll(cluster, 40)
    expect((await cluster.drained(id)).batch.counts).toMatchObject({ succeeded: 40 })
    expect(Math.max(...cluster.floor.most)).toBe(4)
    await cluster.check()
  })

  it('stay where they are while there is a slot', async () => {
    await using cluster = await SpreadCluster.start({ slots: 4 })
    await cluster.submit(jobs(4))

    await cluster.runs(4)
    await aWhile()

    expect(cluster.floor.at(0).length).toBe(4)
    expect(cluster.spread(0).counts.sent).toBe(0)
    expect(await cluster.spread(0).tickets.counts()).toEqual({ waiting: 0, taken: 0 })
  })

  it.each([
    ['the cap of their tenant', { cap: 6 }, {}],
    ["their batch's limit", { cap: 20 }, { maxConcurrency: 6 }],
  ])('are never more than %s', async (_, own, batch) => {
    await using cluster = await SpreadCluster.start({ slots: 4, ...own })
    await cluster.submit(jobs(30), batch)
    let most = 0

    await cluster.runs(6)
    await aWhile()
    await until(() => {
      most = Math.max(most, cluster.floor.running.length)
      for (const work of cluster.floor.running.slice(0, 2)) work.finish()
      return cluster.floor.works.length === 30
    })

    expect(most).toBe(6)
    await finishAll(cluster, 30)
    await cluster.check()
  })

  it('never leave a replica that does not spread, nor come to one', async () => {
    await using cluster = await SpreadCluster.start({ replicas: 1, slots: 1 })
    await cluster.add({ spread: false })
    await cluster.submit(jobs(3))
    await cluster.submit(jobs(3), { tenantId: 'other', at: 1 })

    await cluster.runs(2)
    await aWhile()

    expect([0, 1].map((at) => cluster.floor.at(at).length)).toEqual([1, 1])
    await finishAll(cluster, 6)
    await cluster.check()
  })

  it('do not come to a replica that lacks one of the kinds', async () => {
    const more: JobKind = { name: 'more', spec: z.strictObject({}), run: async () => null }
    await using cluster = await SpreadCluster.start({ replicas: 2, slots: 1, kinds: (at) => (at === 0 ? [more] : []) })
    await cluster.submit(jobs(3))

    await cluster.runs(1)
    await aWhile()

    expect(cluster.floor.away).toEqual([])
    await finishAll(cluster, 3)
  })

  it('are told all that they would be told at home, and opened secrets', async () => {
    const context = { a: 'batch', b: 'batch' }
    const job = { context: { b: 'job' }, secret: 'a word' }
    await using it = await oneAway(job, { context, traceparent: '00-aa-bb-01' })

    const { away, id } = it

    expect(away.spec.secret).toBe('a word')
    expect(away.context).toMatchObject({
      tenantId: 'acme',
      batchId: id,
      jobId: `${id}-0`,
      index: 0,
      attempt: 1,
      context: { a: 'batch', b: 'job' },
      traceparent: '00-aa-bb-01',
    })
    expect(away.context.queuedMs).toBeGreaterThanOrEqual(0)
    expect(JSON.stringify(await dump(it.cluster))).not.toContain('a word')
  })

  it('count their time by the clock that all share, on a machine with another', async () => {
    const hour = 3_600_000
    const ahead: Clock = { ...systemClock, now: () => systemClock.now() + hour, after: systemClock.after }
    await using cluster = await SpreadCluster.start({ replicas: 1, slots: 1 })
    await cluster.add({ clock: ahead })
    await cluster.submit([{}])
    await cluster.runs(1)
    const id = await cluster.submit([{}, { kind: 'sleep', durationMs: 300 }], { tenantId: 'other' })
    await cluster.runs(2)
    const [{ context, finish }] = cluster.floor.away

    expect(Math.abs(context.startedAt - systemClock.now())).toBeLessThan(hour / 2)
    finish()
    const { jobs: views } = await cluster.drained(id, 'other')
    expect(views.map(({ state }) => state)).toEqual(['succeeded', 'succeeded'])
    const [, sleep] = views
    expect(Date.parse(sleep.finishedAt ?? '') - Date.parse(sleep.startedAt ?? '')).toBeGreaterThanOrEqual(300)
  })

  it('are cancelled where they are, and keep their slots until they have stopped', async () => {
    await using it = await oneAway({ deaf: true })
    const { cluster, away, jobId } = it

    const answer = await cluster.replicas[0].engine.cancelJob('acme', jobId, 'enough')
    await until(() => away.context.signal.aborted)

    expect(answer.cancelled).toBe(true)
    expect(away.context.signal.reason).toMatchObject({ name: 'AbortError', why: 'user' })
    expect(JSON.parse(await cluster.replicas[0].engine.job('acme', jobId))).toMatchObject({ state: 'cancelling' })
    expect(cluster.replicas[0].engine.tenant('acme').usage).toMatchObject({ running: 1 })
    expect(cluster.spread(1).lent.size).toBe(1)
    away.fail(away.context.signal.reason)
    const {
      jobs: [job],
    } = await cluster.drained(it.id)
    expect(job).toMatchObject({ state: 'cancelled', cause: 'user', reason: 'enough', attempts: 1 })
    await until(() => cluster.spread(1).lent.size === 0)
  })

  it('that return or throw all the same are recorded as that', async () => {
    await using cluster = await SpreadCluster.start({ replicas: 2, slots: 1, cap: 4 })
    await cluster.submit([{}], { tenantId: 'blocker' })
    await cluster.runs(1)
    const ends: [string, (work: Work) => void][] = [
      ['succeeded', (work) => work.finish('kept')],
      ['failed', (work) => work.fail(new RangeError('no'))],
    ]
    for (const [state, end] of ends) {
      const id = await cluster.submit([{ deaf: true }])
      await until(() => cluster.floor.away.length === 1)
      const [away] = cluster.floor.away
      await cluster.replicas[0].engine.cancel('acme', id, null)
      await until(() => away.context.signal.aborted)
      end(away)
      const {
        jobs: [job],
      } = await cluster.drained(id)
      expect(job.state).toBe(state)
    }
    for (const work of cluster.floor.running) work.finish()
    await cluster.check()
  })

  it('fail with what they throw', async () => {
    await using it = await oneAway()
    it.away.fail(new RangeError('out of it'))

    const {
      jobs: [job],
    } = await it.cluster.drained(it.id)

    expect(job).toMatchObject({
      state: 'failed',
      error: { type: 'RangeError', code: 'kind_error', message: 'out of it' },
    })
  })

  it.each([
    ['timeoutMs', 'timed_out', 'timeout'],
    ['deadlineMs', 'timed_out', 'deadline'],
  ])('stop at their %s', async (field, state, cause) => {
    await using it = await oneAway({ [field]: 250 })

    const {
      jobs: [job],
    } = await it.cluster.drained(it.id)

    expect(job).toMatchObject({ state, cause })
    expect(it.away.context.signal.reason.why).toBe(cause)
  })

  it('are told of the end of their batch, and no sibling starts after it; shielded ones go on', async () => {
    await using cluster = await SpreadCluster.start({ replicas: 3, slots: 2 })
    const id = await cluster.submit([...jobs(5), { shield: true }, ...jobs(10)], { policy: 'task_group' })
    const running = await cluster.runs(6)
    const shielded = running.find(({ context }) => context.index === 5)

    running.find(({ at, context }) => at > 0 && context.index !== 5)?.fail(new Error('first'))
    await until(() => cluster.floor.running.length === 1)

    expect(cluster.floor.running).toEqual([shielded])
    expect(cluster.floor.works.length).toBe(6)
    shielded?.finish('all the same')
    const { batch, events } = await cluster.drained(id)
    expect(batch).toMatchObject({ state: 'failed', counts: { failed: 1, cancelled: 14, succeeded: 1 } })
    const aborting = events.findIndex(({ type }) => type === 'batch.aborting')
    expect(events.slice(aborting).filter(({ type }) => type === 'job.started')).toEqual([])
    await cluster.check()
  })

  it('bring back results of any size, each once', async () => {
    await using cluster = await SpreadCluster.start({ replicas: 2, slots: 1, cap: 4 })
    await cluster.submit([{}], { tenantId: 'blocker' })
    await cluster.runs(1)

    const id = await cluster.submit([{ chars: 5_000_000 }, { chars: 70_000 }, { chars: 10 }])
    const { jobs: views } = await cluster.drained(id)

    expect(views.map(({ result }) => result.length)).toEqual([5_000_000, 70_000, 10])
    expect(cluster.spread(0).counts.sent).toBe(3)
    for (const work of cluster.floor.running) work.finish()
    await cluster.check()
  })

  it('tell their kind when what they brought back is on record', async () => {
    const recorded: string[] = []
    const kind = (at: number): JobKind => ({
      name: 'told',
      spec: z.strictObject({}),
      run: async (_, context) => {
        context.onRecorded(() => recorded.push(`${at} ${context.index}`))
        return null
      },
    })
    await using cluster = await SpreadCluster.start({ replicas: 2, slots: 1, kinds: (at) => [kind(at)] })
    await cluster.submit([{}], { tenantId: 'blocker' })
    await cluster.runs(1)
    await cluster.drained(await cluster.submit(jobs(2, { kind: 'told' })))

    await until(() => recorded.length === 2)

    expect(recorded).toEqual(['1 0', '1 1'])
  })

  it('give a slot back to the jobs of its own replica first', async () => {
    await using cluster = await SpreadCluster.start({ replicas: 2, slots: 1, cap: 1 })
    for (const tenantId of ['a', 'b', 'c']) await cluster.submit(jobs(3), { tenantId })
    await until(() => cluster.floor.away.length === 1)
    await cluster.submit(jobs(2), { tenantId: 'own', at: 1 })
    const [guest] = cluster.floor.away

    guest.finish()
    await until(() => cluster.floor.away.length === 1 && cluster.floor.away[0] !== guest)

    expect(cluster.floor.away[0].context.tenantId).toBe('own')
    await finishAll(cluster, 11)
    expect(cluster.floor.most).toEqual([1, 1])
    await cluster.check()
  })

  it('leave no ticket and no seat behind', async () => {
    await using cluster = await SpreadCluster.start({ slots: 2 })
    await cluster.submit(jobs(50, { chars: 3 }))
    await finishAll(cluster, 50)

    await until(async () => {
      const { waiting, taken } = await cluster.spread(0).tickets.counts()
      return waiting + taken === 0
    })

    expect(cluster.replicas.map(({ spread }) => [spread?.borrowed.size, spread?.lent.size])).toEqual(
      jobs(3).map(() => [0, 0]),
    )
    await cluster.check()
  })

  it('say where they went, and are counted', async () => {
    await using it = await oneAway()

    const { counts } = it.cluster.spread(0)

    expect(counts).toEqual({ sent: 1, interrupted: 0, taken: 0, orphaned: 0 })
    expect(it.cluster.spread(1).counts).toEqual({ sent: 0, interrupted: 0, taken: 1, orphaned: 0 })
    expect(shortLog((await end(it)).events)).toEqual([
      'batch.accepted',
      'job.queued 0',
      'job.started 0',
      'job.succeeded 0',
      'batch.settled',
      'batch.drained',
    ])
  })
})

async function end({ away, cluster, id }: { away: Work; cluster: SpreadCluster; id: string }) {
  away.finish()
  return await cluster.drained(id)
}

/** All texts that BullMQ has in Redis. */
async function dump(cluster: SpreadCluster): Promise<unknown[]> {
  const { commands } = cluster.replicas[0].connections
  const keys = await commands.keys('gatherd:{gatherd-attempts*')
  return await Promise.all(keys.map((key) => commands.dump(key)))
}
