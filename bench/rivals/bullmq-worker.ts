// Plain BullMQ, the side that works. argv: redis URL, tenants, cap, `workers` or `ring` (see `Pattern`).
import { type Job, Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { Agent, request } from 'undici'
import { type Said, type Told, WAKE } from '../cluster/bullmq.ts'
import type { Job as Data } from '../cluster/system.ts'

const [url = '', tenants = '1', cap = '1', pattern = 'workers'] = process.argv.slice(2)

/** What gatherd runs at once on a replica. */
const SLOTS = 256

const dispatcher = new Agent({ connections: SLOTS, pipelining: 1 })
const names = Array.from({ length: Number(tenants) }, (_, i) => `tenant-${i}`)
let ended = 0

async function work({ data }: Job<Data>): Promise<unknown> {
  if (data.kind === 'sleep') return null
  const { statusCode, body } = await request(data.url, { dispatcher })
  return { status: statusCode, body: await body.text() }
}

async function stockWorkers(): Promise<{ run(): void; pause(): Promise<void> }> {
  const connection = new Redis(url, { maxRetriesPerRequest: null })
  connection.setMaxListeners(100_000)
  const workers = names.map((name) => {
    const worker = new Worker(name, work, { connection, concurrency: Number(cap), autorun: false })
    worker.on('completed', () => ended++)
    worker.on('error', (error) => console.error(error))
    return worker
  })
  await Promise.all(workers.map((worker) => worker.waitUntilReady()))
  let running = false
  return {
    run() {
      for (const worker of workers) {
        if (worker.isPaused()) void worker.resume()
        if (!running) void worker.run()
      }
      running = true
    },
    async pause() {
      if (running) await Promise.all(workers.map((worker) => worker.pause(true)))
    },
  }
}

/** BullMQ's manual pattern over three connections, whatever the number of tenants: one job a turn of whoever may have some. */
async function ring(): Promise<{ run(): void; pause(): Promise<void> }> {
  const connection = new Redis(url, { maxRetriesPerRequest: null })
  connection.setMaxListeners(100_000)
  const root = new Worker(names[0], null, { connection, autorun: false })
  await root.waitUntilReady()
  const backend = root.getBackend()
  const own = { connection, autorun: false }
  const all = [root, ...names.slice(1).map((name) => new Worker(name, null, own, () => backend.forQueue(name)))]
  const ready = new Set(all)
  const idle: (() => void)[] = []
  const wake = (worker: (typeof all)[number]) => {
    ready.add(worker)
    idle.pop()?.()
  }
  const ears = new Redis(url, { maxRetriesPerRequest: null })
  await ears.subscribe(WAKE)
  ears.on('message', (_, index) => wake(all[Number(index)]))
  let running = false
  const slot = async () => {
    while (running) {
      const [worker] = ready
      if (worker === undefined) {
        await new Promise<void>((resolve) => idle.push(resolve))
        continue
      }
      ready.delete(worker)
      const job = await worker.getNextJob('token', { block: false })
      if (job === undefined) continue
      wake(worker)
      await job.moveToCompleted(await work(job), 'token', false)
      ended++
      wake(worker)
    }
  }
  return {
    run() {
      if (running) return
      running = true
      for (let i = 0; i < SLOTS; i++) void slot()
    },
    async pause() {
      running = false
      for (const stop of idle.splice(0)) stop()
    },
  }
}

const say = (said: Said) => process.send?.(said)
const side = pattern === 'ring' ? await ring() : await stockWorkers()
process.on('message', async (told: Told) => {
  if (told.type === 'run') side.run()
  if (told.type !== 'pause') return
  await side.pause()
  say({ type: 'ready' })
})
let told = 0
setInterval(() => {
  if (ended !== told) say({ type: 'ended', count: ended })
  told = ended
}, 5)
say({ type: 'ready' })
