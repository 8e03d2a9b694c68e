// Bare p-queue with empty work, concurrency 64. argv: -, count. Prints jobs per second.
import PQueue from 'p-queue'

const [, count = '30000'] = process.argv.slice(2)
const queue = new PQueue({ concurrency: 64 })

const start = performance.now()
await Promise.all(Array.from({ length: Number(count) }, () => queue.add(async () => null)))
console.log((Number(count) / (performance.now() - start)) * 1000)
