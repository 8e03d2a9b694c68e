// Plain BullMQ, the side that adds: a queue a tenant over one connection. argv: redis URL, tenants, cap, `workers` or `ring`.
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { type Said, type Told, WAKE } from '../cluster/bullmq.ts'
import { inParallel } from '../cluster/gatherd.ts'

const [url = '', tenants = '1', cap = '1', pattern = 'workers'] = process.argv.slice(2)
const CHUNK = 1_000

const connection = new Redis(url, { maxRetriesPerRequest: null })
const queues = Array.from({ length: Number(tenants) }, (_, i) => new Queue(`tenant-${i}`, { connection }))
connection.setMaxListeners(100_000)
await inParallel(queues, (queue) => queue.setGlobalConcurrency(Number(cap)))

const say = (said: Said) => process.send?.(said)

process.on('message', async (told: Told) => {
  if (told.type !== 'add') return
  const share = told.count / told.tenants
  const chunks = queues.slice(0, told.tenants).flatMap((queue) => {
    const sizes = Array.from({ length: Math.ceil(share / CHUNK) }, (_, i) => Math.min(CHUNK, share - i * CHUNK))
    return sizes.map((size) => ({ queue, size }))
  })
  const { job } = told
  await inParallel(chunks, async ({ queue, size }) => {
    await queue.addBulk(Array.from({ length: size }, () => ({ name: 'job', data: job })))
    if (pattern === 'ring') await connection.publish(WAKE, `${queues.indexOf(queue)}`)
  })
  say({ type: 'added' })
})
say({ type: 'ready' })
