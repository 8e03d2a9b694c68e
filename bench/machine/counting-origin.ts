import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'

/** A target that counts how many talk to it, and treats them by their path: `/ok`, `/drip`, `/hang`, `/reset`. */
export interface CountingOrigin extends AsyncDisposable {
  url: string
  /** Requests so far. */
  readonly requests: number
  /** How many there were at once, at most, since `forget`. */
  readonly peak: number
  /** Requests that came while there were more than `cap` with it. */
  readonly violations: number
  /** How many there are. */
  readonly open: number
  forget(): void
}

const [DRIPS, DRIP_MS] = [10, 5]

/** Start one on a free port of 127.0.0.1. */
export async function countingOrigin(cap: number): Promise<CountingOrigin> {
  const open = new Set<ServerResponse>()
  let [requests, peak, violations] = [0, 0, 0]
  const look = () => {
    peak = Math.max(peak, open.size)
    if (open.size > cap) violations++
  }
  const server = createServer((request, response) => {
    requests++
    open.add(response)
    response.once('close', () => open.delete(response))
    // Who has hung up before this one came is only told to us at the end of a turn of the loop.
    setImmediate(() => setImmediate(look))
    treat(request, response, () => open.delete(response))
  }).listen(0, '127.0.0.1', 4_096)
  await new Promise((resolve) => server.once('listening', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    get requests() {
      return requests
    },
    get peak() {
      return peak
    },
    get violations() {
      return violations
    },
    get open() {
      return open.size
    },
    forget() {
      peak = 0
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** What ends by us has left before its caller can know. */
function treat({ url = '' }: IncomingMessage, response: ServerResponse, leave: () => void): void {
  if (url.startsWith('/hang')) return
  if (url.startsWith('/drip')) return drip(response, leave)
  setTimeout(() => {
    leave()
    if (url.startsWith('/reset')) response.socket?.resetAndDestroy()
    else response.end('ok')
  }, 1)
}

function drip(response: ServerResponse, leave: () => void): void {
  let left = DRIPS
  const timer = setInterval(() => {
    if (--left > 0) return void response.write('x')
    clearInterval(timer)
    leave()
    response.end()
  }, DRIP_MS)
  response.once('close', () => clearInterval(timer))
}
