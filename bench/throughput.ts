// P1 and P2: the main job against what a user would use instead, interleaved. Needs nginx; aiohttp if there.
import { spawnSync } from 'node:child_process'
import { median } from './figures.ts'
import { type Nginx, startNginx } from './nginx.ts'
import { type BenchService, call, type Start, startService } from './service.ts'

const BATCH = 1_000

interface Measure {
  id: 'P1' | 'P2'
  name: string
  run(): number | null | Promise<number>
}

/** Jobs per second of what is `wanted`, each beside its rivals, printed as a table. */
export async function throughput(wanted: ReadonlySet<string>, rounds: number, count: number): Promise<void> {
  await using nginx = await startNginx()
  const table = new Map<Measure, number[]>()
  const chosen = measures(nginx, count).filter(({ id }) => wanted.has(id))
  for (let round = 1; round <= rounds; round++) {
    for (const measure of chosen) {
      const figure = await measure.run()
      if (figure !== null) table.set(measure, [...(table.get(measure) ?? []), figure])
      const told = figure === null ? 'not available here' : `${Math.round(figure)} jobs/s`
      console.error(`round ${round}: ${measure.name}: ${told}`)
    }
  }
  for (const [measure, figures] of table) print(measure, figures, table)
}

/** The first of its kind in the table is what the others are measured against. */
function print({ id, name }: Measure, figures: number[], table: ReadonlyMap<Measure, number[]>): void {
  const [base, against] = Array.from(table).find(([measure]) => measure.id === id) ?? []
  const [low, high] = [Math.min(...figures), Math.max(...figures)].map(Math.round)
  const rate = `${Math.round(median(figures)).toString().padStart(8)} jobs/s  (${low}–${high})`
  const ratio = (median(figures) / median(against ?? figures)).toFixed(2)
  console.log(`${name.padEnd(36)} ${rate}  ${ratio} of ${base?.name ?? name}`)
}

function measures({ url }: Nginx, count: number): Measure[] {
  const python = new URL('./rivals/aiohttp_gather.py', import.meta.url).pathname
  const node = (name: string, target: string) =>
    rival(process.execPath, [new URL(`./rivals/${name}.ts`, import.meta.url).pathname, target, `${count}`])
  const aiohttp = () => rival('/usr/bin/python3', [python, url, `${count}`])
  return [
    { id: 'P1', name: 'fetch: undici request loop', run: () => node('undici-loop', url) },
    { id: 'P1', name: 'fetch: gatherd (P1)', run: () => throughApi({ kind: 'fetch', url }, count) },
    { id: 'P1', name: 'fetch: p-queue + request', run: () => node('pqueue-request', url) },
    { id: 'P1', name: 'fetch: aiohttp + gather + Semaphore', run: aiohttp },
    { id: 'P2', name: 'empty: bare p-queue', run: () => node('pqueue-empty', '-') },
    { id: 'P2', name: 'empty: gatherd sleep 0 (P2)', run: () => throughApi({ kind: 'sleep', durationMs: 0 }, count) },
  ]
}

function rival(command: string, args: string[]): number | null {
  const ran = spawnSync(command, args, { encoding: 'utf8' })
  return ran.status === 0 ? Number(ran.stdout.trim()) : null
}

/** Jobs per second through the HTTP API: submit all batches, until the last has drained. */
export async function throughApi(job: object, count: number, { env, nodeArgs }: Start = {}): Promise<number> {
  await using service = await startService({ env: { GATHERD_TENANT_CONCURRENCY: '64', ...env }, nodeArgs })
  await batches(service, job, 2)
  const start = performance.now()
  await batches(service, job, count / BATCH)
  return (count / (performance.now() - start)) * 1000
}

async function batches(service: BenchService, job: object, howMany: number): Promise<void> {
  const jobs = Array.from({ length: BATCH }, () => job)
  const ids: string[] = []
  for (let i = 0; i < howMany; i++) {
    // The service answers a submission with the batch.
    const batch = (await call(service, 'POST', '/v1/batches', { jobs })) as { id: string }
    ids.push(batch.id)
  }
  for (const id of ids) await untilDrained(service, id)
}

/** With the default policy a batch drains as it settles, so holding the read until then is enough. */
async function untilDrained(service: BenchService, id: string): Promise<void> {
  for (;;) {
    // Of the batch only this matters.
    const batch = (await call(service, 'GET', `/v1/batches/${id}`, undefined, { prefer: 'wait=60' })) as {
      drainedAt: string | null
    }
    if (batch.drainedAt !== null) return
  }
}
