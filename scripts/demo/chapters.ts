import type { Batch, Job } from './api.ts'
import { type DemoTenant, type Followed, fetchOf, followAll, resultLines, type Story } from './story.ts'

/** Two tenants at once, each under its own cap; fast, slow, failing, hanging and sleeping jobs in one batch. */
export async function mixedBatches(story: Story, acme: DemoTenant, globex: DemoTenant): Promise<Followed[]> {
  const { screen, promise } = story
  screen.heading('1. Two tenants, two caps: one batch each, followed as it runs')
  screen.print('  ·· queued   ██ running   POST /v1/batches, then GET /v1/batches/{id}/events', '')
  const followed = await followAll(
    story,
    [acme, globex].map((tenant) => ({
      tenant,
      title: `${tenant.id}, at most ${tenant.cap} at once`,
      body: { policy: 'all_settled', name: 'mixed', jobs: mixedJobs(story, tenant.id) },
    })),
  )
  screen.print('')
  for (const [i, { batch, jobs, completions }] of followed.entries()) {
    const once = new Set(completions).size === jobs.length && completions.length === jobs.length
    promise(
      `${i === 0 ? acme.id : globex.id}: the batch settled, and its stream showed each of the ${jobs.length} ends once`,
      batch.state === 'succeeded' && once,
    )
  }
  return followed
}

function mixedJobs({ origin }: Story, by: string) {
  const job = (name: string, path: string, ms?: number) => fetchOf(origin, by, name, path, ms)
  return [
    job('slow-1', `/slow/${by}/1`, 420),
    job('fast-1', '/fast'),
    job('broken', '/fail', 60),
    job('slow-2', `/slow/${by}/2`, 300),
    { kind: 'sleep', name: 'pause', durationMs: 250, result: 'slept well' },
    { ...job('hanging', `/hang/${by}`), timeoutMs: 400 },
    job('slow-3', `/slow/${by}/3`, 350),
    job('fast-2', '/fast'),
    job('slow-4', `/slow/${by}/4`, 200),
  ]
}

/** Results come back in input order, whatever order the jobs ended in. */
export function gatheredResults({ screen, promise }: Story, { jobs, completions }: Followed): void {
  screen.heading('2. The gathered results, in input order')
  screen.print(...resultLines(jobs), '', `  ended in this order: ${completions.join(', ')}`, '')
  promise(
    'results are in input order, ends were not',
    jobs.every(({ index }, i) => index === i) && completions.some((index, i) => index !== i),
  )
}

/** The first failure of a task group cancels its siblings: sockets close, and what was queued never starts. */
export async function abortedGroup(story: Story, tenant: DemoTenant): Promise<void> {
  const { screen, origin, promise } = story
  screen.heading('3. task_group: the first failure stops the rest')
  const job = (name: string, path: string, ms?: number) => fetchOf(origin, tenant.id, name, path, ms)
  const hanging = ['/hang/a', '/hang/b', '/hang/c']
  const queued = ['/slow/late-1', '/slow/late-2']
  const [{ batch, jobs }] = await followAll(story, [
    {
      tenant,
      title: `task_group of ${tenant.id}`,
      body: {
        policy: 'task_group',
        jobs: [
          job('fast', '/fast'),
          job('fails', '/fail', 350),
          ...hanging.map((path) => job(path.slice(1).replace('/', '-'), path)),
          job('slow', '/slow/cut', 5_000),
          ...queued.map((path) => job(path.slice('/slow/'.length), path)),
        ],
      },
    },
  ])
  const [error] = batch.error?.errors ?? []
  screen.print('', `  ${batch.state}: ${batch.error?.type} of job ${error?.index}: ${error?.message}`, '')
  await Promise.all([...hanging, '/slow/cut'].map((path) => origin.whenClosed(path)))
  promise(
    'the group failed with an ExceptionGroup that holds the one failure',
    batch.state === 'failed' && batch.error?.type === 'ExceptionGroup' && jobs[error?.index]?.name === 'fails',
  )
  promise('the origin saw the sockets of the 4 running siblings close', jobs.filter(isStoppedMidway).length === 4)
  promise(
    'the 2 queued siblings never started, and the origin never heard of them',
    jobs.slice(-2).every(({ state, startedAt }) => state === 'cancelled' && startedAt === null) &&
      !origin.seen(tenant.id).paths.some((path) => queued.includes(path)),
  )
}

function isStoppedMidway({ state, cause, startedAt }: Job): boolean {
  return state === 'cancelled' && cause === 'sibling_failed' && startedAt !== null
}

/** A cancel is over when the socket is closed, and the origin agrees. */
export async function cancelledJob({ screen, origin, promise }: Story, { id, api }: DemoTenant): Promise<void> {
  screen.heading('4. A cancel closes the socket')
  const body = { jobs: [fetchOf(origin, id, 'stuck', '/hang/cancel')] }
  const batch = await api.call<Batch>('POST', '/v1/batches', body)
  await origin.whenHit('/hang/cancel')
  screen.print('  the origin has the request and does not answer it')
  const [{ id: jobId }] = await api.jobs(batch.id)
  const asked = performance.now()
  const path = `/v1/jobs/${jobId}/cancel`
  const { cancelled } = await api.call<{ cancelled: boolean }>('POST', path, { reason: 'no longer needed' })
  const closedAt = await origin.whenClosed('/hang/cancel')
  screen.print(`  POST /v1/jobs/{id}/cancel answered {"cancelled": ${cancelled}, …}`)
  screen.print(
    `  the origin saw its socket close ${Math.max(0, closedAt - asked).toFixed(1)} ms after it was asked for`,
  )
  await api.call('GET', `/v1/batches/${batch.id}/wait?timeoutMs=5000`)
  const job = await api.call<Job>('GET', `/v1/jobs/${jobId}`)
  screen.print(`  the job is ${job.state}, with the reason "${job.reason}"`, '')
  promise('the job was cancelled and its socket closed', cancelled && job.state === 'cancelled' && job.cause === 'user')
}

/** What the origin counted by itself, beside what was promised. */
export function measuredCaps({ screen, origin, promise }: Story, tenants: DemoTenant[]): void {
  screen.heading('5. The caps, as the origin counted them')
  screen.print('  tenant    cap   most requests at once')
  for (const { id, cap } of tenants)
    screen.print(`  ${id.padEnd(8)}  ${String(cap).padStart(3)}   ${String(origin.seen(id).max).padStart(3)}`)
  screen.print('')
  for (const { id, cap } of tenants) {
    const { max } = origin.seen(id)
    promise(`${id} used its slots and never more than ${cap} of them`, max > 1 && max <= cap)
  }
}
