// p-queue around undici `request`, concurrency 64. argv: url, count. Prints jobs per second.
import PQueue from 'p-queue'
import { Agent, request } from 'undici'

const [url = '', count = '30000'] = process.argv.slice(2)
const dispatcher = new Agent({ connections: 64, pipelining: 1 })
const queue = new PQueue({ concurrency: 64 })

const start = performance.now()
await Promise.all(
  Array.from({ length: Number(count) }, () =>
    queue.add(async () => {
      const { body } = await request(url, { dispatcher })
      return await body.text()
    }),
  ),
)
console.log((Number(count) / (performance.now() - start)) * 1000)
await dispatcher.close()
