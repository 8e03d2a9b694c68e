import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** What the origin has seen of one `?by=`. */
export interface Seen {
  /** Requests being answered, now and at most so far. */
  current: number
  max: number
  paths: string[]
}

/** A small HTTP server on 127.0.0.1 for the demo's jobs to talk to, which remembers what it saw. */
export class DemoOrigin {
  readonly #server = createServer((request, response) => void this.#answer(request, response))
  readonly #seen = new Map<string, Seen>()
  readonly #hits = new Map<string, PromiseWithResolvers<number>>()
  readonly #closes = new Map<string, PromiseWithResolvers<number>>()

  /** Listen on a free port. */
  static async start(): Promise<DemoOrigin> {
    const origin = new DemoOrigin()
    await once(origin.#server.listen(0, '127.0.0.1'), 'listening')
    return origin
  }

  get url(): string {
    // It listens on TCP.
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** What it saw of the requests with `?by=<who>`. */
  seen(who: string): Seen {
    return getOr(this.#seen, who, () => ({ current: 0, max: 0, paths: [] }))
  }

  /** Resolves with the instant (`performance.now()`) at which the path was first requested. */
  whenHit(path: string): Promise<number> {
    return getOr(this.#hits, path, () => Promise.withResolvers<number>()).promise
  }

  /** Resolves with the instant at which the socket of a request of the path was closed before it was answered. */
  whenClosed(path: string): Promise<number> {
    return getOr(this.#closes, path, () => Promise.withResolvers<number>()).promise
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.url)
    const seen = this.seen(url.searchParams.get('by') ?? '')
    seen.paths.push(url.pathname)
    seen.max = Math.max(seen.max, ++seen.current)
    getOr(this.#hits, url.pathname, () => Promise.withResolvers<number>()).resolve(performance.now())
    response.once('close', () => {
      seen.current--
      if (!response.writableFinished)
        getOr(this.#closes, url.pathname, () => Promise.withResolvers<number>()).resolve(performance.now())
    })
    await perform(url, response)
  }
}

/** `/fast/…`, `/slow/…?ms=`, `/fail/…?ms=` and `/hang/…`; what follows the first part tells requests apart. */
async function perform(url: URL, response: ServerResponse): Promise<void> {
  const [, what] = url.pathname.split('/')
  if (what === 'hang') return
  // Not kept waiting for by the process: the answer to a request that was cut is for nobody.
  await sleep(Number(url.searchParams.get('ms') ?? 30), undefined, { ref: false })
  response.statusCode = what === 'fail' ? 500 : 200
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify(what === 'fail' ? { oops: true } : { from: url.pathname }))
}

function getOr<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const value = map.get(key) ?? make()
  map.set(key, value)
  return value
}
