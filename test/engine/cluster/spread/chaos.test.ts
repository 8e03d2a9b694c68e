import fc from 'fast-check'
import { expect, it } from 'vitest'
import { overRedis, until } from '../support.ts'
import { SpreadCluster } from './floor.ts'

const POLICIES = ['all_settled', 'gather', 'task_group', 'any', 'race'] as const

const job = fc.record({
  deaf: fc.boolean(),
  shield: fc.boolean(),
  timeoutMs: fc.constantFrom(null, null, 30, 150),
  onRestart: fc.constantFrom('retry', 'fail'),
})

const batch = fc.record({
  tenantId: fc.constantFrom('a', 'b'),
  at: fc.nat(2),
  policy: fc.constantFrom(...POLICIES),
  maxConcurrency: fc.constantFrom(null, 1, 3),
  timeoutMs: fc.constantFrom(null, null, 300),
  jobs: fc.array(job, { minLength: 1, maxLength: 8 }),
})

/** What happens, one after the other. */
const deed = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constantFrom('finish', 'fail'), nth: fc.nat(20) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('cancel', 'cancelJob'), nth: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('deafen', 'leave', 'kill'), nth: fc.constantFrom(1, 2) }) },
)

overRedis('Random programs over three replicas', () => {
  it('keep every log in order and no replica above its slots, whatever leaves or is lost', {
    timeout: 120_000,
  }, async () => {
    const program = fc.record({
      batches: fc.array(batch, { minLength: 1, maxLength: 6 }),
      deeds: fc.array(deed, { maxLength: 25 }),
    })
    let sent = 0
    const runs = fc.asyncProperty(program, async ({ batches, deeds }) => {
      await using cluster = await SpreadCluster.start({ replicas: 3, slots: 2, cap: 5, leaseMs: 1_000 })
      const ids: { id: string; tenantId: string }[] = []
      for (const { jobs, ...own } of batches) ids.push({ id: await cluster.submit(jobs, own), tenantId: own.tenantId })
      const gone = new Set<number>()
      for (const { do: what, nth } of deeds) {
        await new Promise((resolve) => setTimeout(resolve, 5))
        const work = cluster.floor.running[nth % Math.max(1, cluster.floor.running.length)]
        const { id, tenantId } = ids[nth % ids.length]
        const { engine } = cluster.replicas[0]
        if (what === 'finish') work?.finish(1)
        else if (what === 'fail') work?.fail(new Error('random'))
        else if (what === 'cancel') await engine.cancel(tenantId, id, null)
        else if (what === 'cancelJob') await engine.cancelJob(tenantId, `${id}-0`, null)
        else if (gone.size === 0) {
          cluster.rough = true
          if (what === 'deafen') cluster.replicas[nth].connections.subscriber.disconnect(true)
          else gone.add(nth)
          if (what === 'kill') await cluster.kill(nth)
          if (what === 'leave') void cluster.replicas[nth].engine.drain(100)
        }
      }
      let over = false
      const checked = cluster.check().finally(() => {
        over = true
      })
      await until(() => {
        for (const work of cluster.floor.running) work.finish(2)
        return over
      })
      await checked
      expect(Math.max(...Object.values(cluster.floor.most))).toBeLessThanOrEqual(2)
      sent += cluster.replicas.reduce((sum, { spread }) => sum + (spread?.counts.sent ?? 0), 0)
    })

    await fc.assert(runs, { numRuns: Number(process.env.GATHERD_TEST_RUNS ?? 6), endOnFailure: true })

    expect(sent).toBeGreaterThan(0)
  })
})
