import { Agent, request } from 'undici'
import type { Caller } from './tenants.ts'

/** Many streams that are open at once. */
export interface Streams extends AsyncDisposable {
  /**
   * Resolves when each of them has had one more end of a job than when it was last asked: when each had it, `performance.now()`.
   * Rejects when one of them has ended, or still has nothing after a minute.
   */
  next(): Promise<number[]>
}

const END = Buffer.from('"job.succeeded"')

/** Nobody waits longer for an event. */
const LATEST_MS = 60_000

/** Follow the ends of jobs of a batch so many times; of batches, each in its turn. Resolves when all are open. */
export async function openStreams(caller: Caller, ids: readonly string[], count: number): Promise<Streams> {
  const agent = new Agent({ connections: count, bodyTimeout: 0, headersTimeout: 0 })
  const headers = { authorization: `Bearer ${caller.key}`, accept: 'application/x-ndjson' }
  let seen: number[] = []
  let ended = 0
  let tell: () => void = () => undefined
  const open = async (i: number) => {
    const url = `${caller.url}/v1/batches/${ids[i % ids.length]}/events?only=completions`
    const { body, statusCode } = await request(url, { headers, dispatcher: agent })
    if (statusCode !== 200) throw new Error(`${statusCode} ${await body.text()}`)
    body.on('error', () => undefined)
    body.once('close', () => ended++)
    body.on('data', (chunk: Buffer) => {
      if (!chunk.includes(END)) return
      seen.push(performance.now())
      if (seen.length >= count) tell()
    })
  }
  // A few at a time: what connects waits in a line that has its end.
  for (let from = 0; from < count; from += 100)
    await Promise.all(Array.from({ length: Math.min(100, count - from) }, (_, i) => open(from + i)))
  return {
    next: () =>
      new Promise((resolve, reject) => {
        const late = () => reject(new Error(`${seen.length} of ${count} streams had the event; ${ended} have ended`))
        const timer = setTimeout(late, LATEST_MS)
        tell = () => {
          clearTimeout(timer)
          resolve(seen)
          seen = []
          tell = () => undefined
        }
        if (seen.length >= count) tell()
      }),
    [Symbol.asyncDispose]: () => agent.destroy(),
  }
}
