import { expect, it } from 'vitest'
import type { BatchSubmission, SubmitOptions, TenantSettings } from '../../../src/engine/engine.ts'
import { OverloadedError } from '../../../src/errors.ts'
import { newBatchId } from '../../../src/ids.ts'
import { SpreadCluster } from './spread/floor.ts'
import { overRedis, until } from './support.ts'

const HELD: BatchSubmission = {
  policy: 'all_settled',
  name: 'held',
  labels: {},
  timeoutMs: null,
  maxConcurrency: null,
  open: false,
  context: {},
  n: null,
  hedgeDelayMs: null,
  jobs: [{ kind: 'work' }],
}
const HOLD: SubmitOptions = { hold: { timeoutMs: 60_000, bytes: 100 } }

/** An owner whose queue is full, and another replica. */
async function full(): Promise<SpreadCluster> {
  const cluster = await SpreadCluster.start({ replicas: 2, cap: 1, slots: 50, leaseMs: 3_000, spread: false })
  cluster.rough = true
  limit(cluster, { maxConcurrency: 1, maxQueuedJobs: 1 })
  await cluster.submit([{}])
  await until(() => cluster.floor.running.length === 1)
  await cluster.submit([{}])
  return cluster
}

function limit(cluster: SpreadCluster, settings: Partial<TenantSettings>): void {
  // Of a tenant's settings a test gives what it is about.
  for (const { engine } of cluster.replicas) engine.applyTenant('acme', settings as TenantSettings)
}

async function finishAll(cluster: SpreadCluster): Promise<void> {
  await until(async () => {
    for (const work of cluster.floor.running) work.finish(1)
    const { data } = await cluster.replicas[0].engine.batches('acme', { labels: {}, limit: 50 })
    return data.every(({ drainedAt }) => drainedAt !== null)
  })
}

async function heldBatches({ replicas: [{ engine }] }: SpreadCluster): Promise<string[]> {
  const { data } = await engine.batches('acme', { labels: {}, limit: 50 })
  return data.filter(({ name }) => name === 'held').map(({ id }) => id)
}

/** What the owner answers to whoever asks what became of a submission. */
function answersOf({ locals: [local] }: SpreadCluster): unknown[] {
  const answers: unknown[] = []
  const accepted = local.accepted.bind(local)
  local.accepted = async (...args) => {
    const found = await accepted(...args)
    answers.push(found?.id ?? null)
    return found
  }
  return answers
}

const waiting = ({ locals: [local] }: SpreadCluster) => local.census().held.submissions

overRedis('a submission that waits for room at the owner while the caller loses its connection', () => {
  it.each(['for all tries at once', 'for one after the other'])('is one batch when there is room %s', async (how) => {
    await using cluster = await full()
    const answers = answersOf(cluster)
    const [, other] = cluster.replicas
    const submitting = other.engine.submit('acme', HELD, HOLD)
    await until(() => waiting(cluster) === 1)

    other.connections.subscriber.disconnect(true)
    await until(() => answers.length === 1 && waiting(cluster) > 0)
    if (how === 'for all tries at once') limit(cluster, { maxConcurrency: 5, maxQueuedJobs: 10 })
    await finishAll(cluster)
    const { id } = await submitting
    await finishAll(cluster)

    expect(answers).toEqual([null])
    expect(await heldBatches(cluster)).toEqual([id])
    expect(cluster.floor.works.filter(({ context }) => context.batchId === id)).toHaveLength(1)
  })

  it('is refused at the owner when it comes after somebody was told that it was not accepted', async () => {
    await using cluster = await full()
    limit(cluster, { maxConcurrency: 5, maxQueuedJobs: 10 })
    const { router } = cluster.replicas[1].engine
    const id = newBatchId()

    expect(await router.ask('accepted', 'acme', [id])).toBeNull()

    await expect(router.ask('submit', 'acme', [HELD, { id }])).rejects.toThrow(OverloadedError)
    expect(await heldBatches(cluster)).toEqual([])
    await finishAll(cluster)
  })

  it('is found when it was accepted before somebody asks', async () => {
    await using cluster = await full()
    limit(cluster, { maxConcurrency: 5, maxQueuedJobs: 10 })
    const { router } = cluster.replicas[1].engine
    const id = newBatchId()
    await router.ask('submit', 'acme', [HELD, { id }])

    expect(await router.ask('accepted', 'acme', [id])).toMatchObject({ id, name: 'held' })

    await finishAll(cluster)
    expect(await heldBatches(cluster)).toEqual([id])
  })
})
