// The limit we measure against: undici `request` in a loop, 64 at a time. argv: url, count. Prints jobs per second.
import { Agent, request } from 'undici'

const [url = '', count = '30000'] = process.argv.slice(2)
const dispatcher = new Agent({ connections: 64, pipelining: 1 })
let left = Number(count)

async function worker(): Promise<void> {
  while (left-- > 0) {
    const { body } = await request(url, { dispatcher })
    await body.text()
  }
}

const start = performance.now()
await Promise.all(Array.from({ length: 64 }, worker))
console.log((Number(count) / (performance.now() - start)) * 1000)
await dispatcher.close()
