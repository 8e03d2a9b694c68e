import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A request as the origin saw it. */
export interface Hit {
  at: number
  method: string
  /** Which process of the service made it: the first is 1. */
  life: number
}

/** Requests at once count when they are for so long. */
const TOGETHER_MS = 20

/**
 * The other side of all fetches: `/<tenant>/<label>?ms=&status=` answers with a status after a while, and every request is
 * written down. What a process had under way is gone with it, so requests at once are counted for each life.
 */
export class Origin implements AsyncDisposable {
  readonly hits = new Map<string, Hit[]>()
  /** The most requests at once of a tenant in one life, by `<life> <tenant>`. */
  readonly most = new Map<string, number>()
  /** Raise it for each process of the service. */
  life = 1
  readonly #now = new Map<string, Set<ServerResponse>>()
  readonly #server: Server
  readonly #waiting = new Set<NodeJS.Timeout>()

  private constructor() {
    this.#server = createServer({ keepAliveTimeout: 0 }, (request, response) => this.#answer(request, response))
  }

  static async start(): Promise<Origin> {
    const origin = new Origin()
    origin.#server.listen(0, '127.0.0.1')
    await once(origin.#server, 'listening')
    return origin
  }

  get url(): string {
    // Listening on TCP, so the address is no string and not null.
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  hitsOf(path: string): readonly Hit[] {
    return this.hits.get(path) ?? []
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#waiting) clearTimeout(timer)
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url ?? '/', 'http://origin')
    const hits = this.hits.get(pathname) ?? []
    hits.push({ at: performance.now(), method: request.method ?? '', life: this.life })
    this.hits.set(pathname, hits)
    this.#count(pathname.split('/')[1], response)
    request.resume()
    const answer = () => {
      this.#waiting.delete(timer)
      response.writeHead(Number(searchParams.get('status') ?? 200)).end('answered')
    }
    const timer = setTimeout(answer, Number(searchParams.get('ms') ?? 0))
    this.#waiting.add(timer)
  }

  /** Those that are open together for a while: of two events that wait when this process is late, the end of one may come after the other. */
  #count(tenant: string, response: ServerResponse): void {
    const key = `${this.life} ${tenant}`
    const open = this.#now.get(key) ?? new Set<ServerResponse>()
    this.#now.set(key, open.add(response))
    response.once('close', () => open.delete(response))
    const together = [...open]
    const look = () => {
      this.#waiting.delete(timer)
      const count = together.filter((each) => open.has(each)).length
      this.most.set(key, Math.max(this.most.get(key) ?? 0, count))
    }
    // What has come until then is heard first.
    const timer = setTimeout(() => setImmediate(() => setImmediate(look)), TOGETHER_MS)
    this.#waiting.add(timer)
  }
}
