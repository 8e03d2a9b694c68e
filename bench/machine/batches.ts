import { call } from './service.ts'
import type { Caller } from './tenants.ts'

/** Jobs of a batch, if nothing else is said. */
export const BATCH = 1_000

/** What of a batch matters here. */
export interface BatchSeen {
  id: string
  drainedAt: string | null
  counts: Record<'total' | 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled' | 'timed_out', number>
}

/** Submit so many jobs alike; resolves with the batch's id. */
export async function submit(caller: Caller, job: object, count = BATCH, more: object = {}): Promise<string> {
  const jobs = Array.from({ length: count }, () => job)
  // The service answers a submission with the batch.
  return ((await call(caller, 'POST', '/v1/batches', { jobs, ...more })) as BatchSeen).id
}

/** Add one job to a batch that is open. */
export async function append(caller: Caller, id: string, job: object): Promise<void> {
  await call(caller, 'POST', `/v1/batches/${id}/jobs`, { jobs: [job] })
}

/** A batch as it is; after so many seconds, or earlier if it has settled before. */
export async function look(caller: Caller, id: string, waitSeconds = 0): Promise<BatchSeen> {
  // The answer of this route.
  return (await call(caller, 'GET', `/v1/batches/${id}`, undefined, { prefer: `wait=${waitSeconds}` })) as BatchSeen
}

/** With the default policy a batch drains as it settles, so holding the read until then is enough. */
export async function untilDrained(caller: Caller, id: string): Promise<BatchSeen> {
  for (;;) {
    const batch = await look(caller, id, 60)
    if (batch.drainedAt !== null) return batch
  }
}

/** What one job took, in milliseconds. */
export interface Took {
  /** In the queue, as the service says. */
  queued: number
  /** From its submission to its result, as its caller sees it. */
  whole: number
}

/** Submit one fetch and wait for its result. */
export async function oneJob(caller: Caller, url: string): Promise<Took> {
  const began = performance.now()
  const answer = await call(caller, 'POST', '/v1/batches', { jobs: [{ kind: 'fetch', url }] }, { prefer: 'wait=10' })
  const whole = performance.now() - began
  // A settled batch has its jobs.
  const [job] = (answer as { jobs: { result: { timing: { queuedMs: number } } }[] }).jobs
  return { queued: job.result.timing.queuedMs, whole }
}
