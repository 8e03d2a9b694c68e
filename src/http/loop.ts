import type { FastifyRequest } from 'fastify'
import { EdgeError } from './errors.ts'

/** The name under which a fetch of ours passes on (`src/jobs/fetch/request.ts`). */
const OURS = 'gatherd'

/** A quoted value of a parameter may hold commas and semicolons that part nothing. */
const QUOTED = /"(?:[^"\\]|\\.)*"/g

/**
 * Refuses a request that a gatherd sent: a job that submits jobs can go round for ever. A hook for `onRequest`.
 * @throws {EdgeError} `loop_detected`
 */
export async function refuseLoops({ headers }: FastifyRequest): Promise<void> {
  const passed = headers['cdn-loop']
  if (passed !== undefined && hasPassed(String(passed), OURS))
    throw new EdgeError('loop_detected', 'This request comes from a job of gatherd, and a job may not call gatherd.')
}

/** Whether a `CDN-Loop` (RFC 8586: a list of names, each with parameters) holds a name. */
export function hasPassed(value: string, name: string): boolean {
  const entries = value.replaceAll(QUOTED, '""').split(',')
  return entries.some((entry) => entry.split(';', 1)[0].trim().toLowerCase() === name)
}
