// npm run bench: the main job against what a user would use instead, interleaved, in one run. Needs nginx; aiohttp if there.
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'
import { type Nginx, startNginx } from './nginx.ts'
import { type BenchService, call, startService } from './service.ts'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '3' }, count: { type: 'string', default: '30000' } },
})
const rounds = Number(values.rounds)
const count = Number(values.count)
const BATCH = 1_000

interface Measure {
  name: string
  run(): Promise<number | null>
}

/** Jobs per second through the HTTP API: submit all batches, until the last has drained. */
async function throughApi(job: object): Promise<number> {
  await using service = await startService({ GATHERD_TENANT_CONCURRENCY: '64' })
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

async function rival(command: string, args: string[]): Promise<number | null> {
  const ran = spawnSync(command, args, { encoding: 'utf8' })
  return ran.status === 0 ? Number(ran.stdout.trim()) : null
}

const node = (name: string, ...args: string[]) =>
  rival(process.execPath, [new URL(`./rivals/${name}.ts`, import.meta.url).pathname, ...args])

function measures(nginx: Nginx): Measure[] {
  const { url } = nginx
  const python = new URL('./rivals/aiohttp_gather.py', import.meta.url).pathname
  return [
    { name: 'fetch: undici request loop', run: () => node('undici-loop', url, `${count}`) },
    { name: 'fetch: gatherd (P1)', run: () => throughApi({ kind: 'fetch', url }) },
    { name: 'fetch: p-queue + request', run: () => node('pqueue-request', url, `${count}`) },
    { name: 'fetch: aiohttp + gather + Semaphore', run: () => rival('/usr/bin/python3', [python, url, `${count}`]) },
    { name: 'empty: bare p-queue', run: () => node('pqueue-empty', '-', `${count}`) },
    { name: 'empty: gatherd sleep 0 (P2)', run: () => throughApi({ kind: 'sleep', durationMs: 0 }) },
  ]
}

await using nginx = await startNginx()
const table = new Map<string, number[]>()
for (let round = 0; round < rounds; round++) {
  for (const { name, run } of measures(nginx)) {
    const figure = await run()
    if (figure !== null) table.set(name, [...(table.get(name) ?? []), figure])
    console.error(
      `round ${round + 1}: ${name}: ${figure === null ? 'not available here' : `${Math.round(figure)} jobs/s`}`,
    )
  }
}
const median = (figures: number[]) => figures.toSorted((a, b) => a - b)[Math.floor(figures.length / 2)]
for (const [name, figures] of table) {
  const base = table.get(name.startsWith('fetch') ? 'fetch: undici request loop' : 'empty: bare p-queue') ?? figures
  const [low, high] = [Math.min(...figures), Math.max(...figures)]
  console.log(
    `${name.padEnd(36)} ${Math.round(median(figures)).toString().padStart(8)} jobs/s  (${Math.round(low)}–${Math.round(high)})  ${(median(figures) / median(base)).toFixed(2)} of ${name.startsWith('fetch') ? 'the undici loop' : 'p-queue'}`,
  )
}
