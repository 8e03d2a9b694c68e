import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { BATCH, submit, untilDrained } from './batches.ts'
import { type BenchService, type Start, startService } from './service.ts'

/** Jobs per second of a rival, a program of its own that prints them; null when it cannot run here. */
export function rateOf(command: string, args: readonly string[]): number | null {
  const ran = spawnSync(command, args, { encoding: 'utf8' })
  return ran.status === 0 ? Number(ran.stdout.trim()) : null
}

/** Jobs per second of a program in `rivals/`. */
export function rateOfRival(name: string, url: string, count: number): number | null {
  return rateOf(process.execPath, [fileURLToPath(new URL(`../rivals/${name}.ts`, import.meta.url)), url, `${count}`])
}

/** Jobs per second through the HTTP API of a new service: submit all batches, until the last has drained. */
export async function rateThroughApi(job: object, count: number, start: Start = {}): Promise<number> {
  await using service = await startService({ ...start, env: { GATHERD_TENANT_CONCURRENCY: '64', ...start.env } })
  return await rateOfService(service, job, count)
}

/** Batches that run before those that are counted. */
export const WARM_BATCHES = 2

/** Jobs per second of a service that is warm after this. */
export async function rateOfService(service: BenchService, job: object, count: number): Promise<number> {
  await batches(service, job, WARM_BATCHES)
  const start = performance.now()
  await batches(service, job, count / BATCH)
  return (count / (performance.now() - start)) * 1_000
}

async function batches(service: BenchService, job: object, howMany: number): Promise<void> {
  const ids: string[] = []
  for (let i = 0; i < howMany; i++) ids.push(await submit(service, job))
  for (const id of ids) await untilDrained(service, id)
}
