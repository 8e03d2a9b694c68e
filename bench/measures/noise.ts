// What the noisy tenant of P5 does, in a thread of its own, so that the measuring one has nothing to do with it.
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import { Agent, request, setGlobalDispatcher } from 'undici'

/** What the noisy tenant has its slots taken by, or does besides. */
export const CASES = ['sleeps', 'drips', 'bodies', 'streams', 'submissions'] as const
/** See {@link CASES}. */
export type Case = (typeof CASES)[number]

/** What a thread of noise is told. */
export interface NoiseOptions {
  kind: Case
  url: string
  key: string
}

const QUEUED = 100_000
const BATCH = 10_000
const TURN_MS = 50
const BODY = Buffer.alloc(10_485_760, 'x')
const STREAMS = 500

/** A target with bodies of 10 MiB, and others that come byte by byte for two seconds. */
async function target(): Promise<string> {
  const server = createServer((incoming, response) => {
    if (incoming.url === '/body') return void response.end(BODY)
    let left = 2_000 / TURN_MS
    const drip = setInterval(() => {
      response.write('x')
      if (--left > 0) return
      clearInterval(drip)
      response.end()
    }, TURN_MS)
    response.once('close', () => clearInterval(drip))
  }).listen(0, '127.0.0.1', 4_096)
  await new Promise((resolve) => server.once('listening', resolve))
  // It listens on a port.
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function jobOf(kind: Case, origin: string): Record<string, unknown> {
  if (kind === 'drips') return { kind: 'fetch', url: `${origin}/drip` }
  if (kind === 'bodies') return { kind: 'fetch', url: `${origin}/body`, maxResponseBytes: BODY.length }
  return { kind: 'sleep', durationMs: TURN_MS }
}

async function main({ kind, url, key }: NoiseOptions): Promise<void> {
  setGlobalDispatcher(new Agent({ connections: 1_024, bodyTimeout: 0, headersTimeout: 0 }))
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
  const post = (body: string) => request(`${url}/v1/batches`, { method: 'POST', headers, body })
  const job = jobOf(kind, await target())
  const ids: string[] = []
  for (let queued = 0; queued < QUEUED - BATCH; queued += BATCH) {
    const answer = await post(JSON.stringify({ jobs: Array.from({ length: BATCH }, () => job) }))
    // The answer of this route.
    ids.push(((await answer.body.json()) as { id: string }).id)
  }
  if (kind === 'streams')
    await Promise.all(
      Array.from({ length: STREAMS }, async (_, i) => {
        const accept = { ...headers, accept: 'text/event-stream' }
        const { body } = await request(`${url}/v1/batches/${ids[i % ids.length]}/events`, { headers: accept })
        body.resume()
      }),
    )
  parentPort?.postMessage('ready')
  if (kind !== 'submissions') return
  // Just below the limit of a body; past the limit of the queue they are read and refused.
  const large = JSON.stringify({
    jobs: Array.from({ length: BATCH }, () => ({ ...job, result: 'x'.repeat(1_550) })),
  })
  for (;;) await (await post(large)).body.dump()
}

if (parentPort !== null) {
  // Whoever starts this thread says what it is to do.
  await main(workerData as NoiseOptions)
}
