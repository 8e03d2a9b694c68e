// node:http with a kept agent, 64 at a time. argv: url, count. Prints jobs per second.
import { Agent, get } from 'node:http'

const [url = '', count = '30000'] = process.argv.slice(2)
const agent = new Agent({ keepAlive: true, maxSockets: 64 })
let left = Number(count)

function one(): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = get(url, { agent }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => {
        text += chunk
      })
      response.once('end', () => resolve(text))
    })
    asked.once('error', reject)
  })
}

async function worker(): Promise<void> {
  while (left-- > 0) await one()
}

const start = performance.now()
await Promise.all(Array.from({ length: 64 }, worker))
console.log((Number(count) / (performance.now() - start)) * 1000)
agent.destroy()
