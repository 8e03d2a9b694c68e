// undici `dispatch` with a bare handler, 64 at a time: no promise, no stream. argv: url, count. Prints jobs per second.
import { Agent } from 'undici'

const [url = '', count = '30000'] = process.argv.slice(2)
const { origin, pathname } = new URL(url)
const agent = new Agent({ connections: 64, pipelining: 1 })
let [left, open] = [Number(count), 64]
const { promise, resolve, reject } = Promise.withResolvers<void>()

function next(): void {
  if (left-- <= 0) {
    if (--open === 0) resolve()
    return
  }
  const chunks: Buffer[] = []
  agent.dispatch(
    { origin, path: pathname, method: 'GET' },
    {
      onRequestStart: () => undefined,
      onResponseStart: () => undefined,
      onResponseData: (_, chunk) => void chunks.push(chunk),
      onResponseEnd() {
        Buffer.concat(chunks).toString()
        next()
      },
      onResponseError: (_, error) => reject(error),
    },
  )
}

const start = performance.now()
for (let i = 0; i < 64; i++) next()
await promise
console.log((Number(count) / (performance.now() - start)) * 1000)
await agent.close()
