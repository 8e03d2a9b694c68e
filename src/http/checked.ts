import type { FastifyRequest } from 'fastify'
import type { Turns } from '../json/turns.ts'
import { atOnce, JOBS_A_STEP, type Steps } from '../schema/submission.ts'
import { workInTurns } from './body-scan.ts'

/** Batches of more jobs are checked in turns. */
export const CHECK_ABOVE_JOBS = 4 * JOBS_A_STEP

/**
 * What a request's jobs are checked for: at once if they are few, else a step in each turn of its tenant, so that nobody waits long.
 * @throws what the check throws; {EdgeError} `bad_request` as soon as the client has gone.
 */
export function checked<T>(
  turns: Turns,
  request: Pick<FastifyRequest, 'tenantId' | 'raw' | 'body'>,
  steps: Steps<T>,
): T | Promise<T> {
  return jobsIn(request.body) > CHECK_ABOVE_JOBS ? inTurns(turns, request, steps) : atOnce(steps)
}

async function inTurns<T>(
  turns: Turns,
  request: Pick<FastifyRequest, 'tenantId' | 'raw'>,
  steps: Steps<T>,
): Promise<T> {
  let found: { value: T } | undefined
  await workInTurns(turns, request, () => {
    const { done, value } = steps.next()
    if (done) found = { value }
    return done === true
  })
  // The last step has found it.
  return (found as { value: T }).value
}

function jobsIn(body: unknown): number {
  if (typeof body !== 'object' || body === null || !('jobs' in body)) return 0
  return Array.isArray(body.jobs) ? body.jobs.length : 0
}
