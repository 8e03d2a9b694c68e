import { createServer, type Server, type ServerResponse } from 'node:http'
import { SECURITY_HEADERS } from '../http/headers.ts'
import { isLocalName } from '../http/local.ts'
import { negotiate } from '../http/negotiate.ts'
import { CONTENT_TYPES, FORMATS, type Metrics } from './metrics.ts'

/** How long a scraper may take to ask. */
const REQUEST_MS = 5_000

/** Where the listener is to be. Port 0: any that is free. */
export interface ListenerPlace {
  host: string
  port: number
}

/** `/metrics` without a key, on a port of its own, and nothing else. It counts as no request of the service. */
export class MetricsListener {
  readonly #server: Server

  /** @throws what Node says when the place cannot be had. */
  static async open(metrics: Metrics, place: ListenerPlace): Promise<MetricsListener> {
    const listener = new MetricsListener(metrics, place.host)
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    listener.#server.once('error', reject).listen(place.port, place.host, resolve)
    await promise
    return listener
  }

  private constructor(metrics: Metrics, host: string) {
    const bounds = { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS, keepAliveTimeout: 60_000 }
    this.#server = createServer(bounds, ({ method, url = '', headers }, response) => {
      const isRead = method === 'GET' || method === 'HEAD'
      if (url.split('?', 1)[0] !== '/metrics') end(response, 404, 'There is /metrics here, and nothing else.')
      else if (!isRead) end(response.setHeader('allow', 'GET, HEAD'), 405, 'This takes GET.')
      // A page whose name is made to lead to this machine sends its own.
      else if (!isLocalName(headers.host, host)) end(response, 403, 'This answers to its own name alone.')
      else void answer(response, metrics, headers.accept)
    })
    this.#server.maxConnections = 100
  }

  get url(): string {
    const at = this.#server.address()
    // On TCP, while it listens, it is neither.
    if (at === null || typeof at === 'string') return ''
    const { address, family, port } = at
    return `http://${family === 'IPv6' ? `[${address}]` : address}:${port}/metrics`
  }

  /** May be called twice. */
  close(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#server.close(() => resolve())
    this.#server.closeAllConnections()
    return promise
  }
}

async function answer(response: ServerResponse, metrics: Metrics, accept: string | undefined): Promise<void> {
  const format = negotiate(accept, FORMATS)
  if (format === null) return end(response, 406, `This answers with ${FORMATS.join(' or ')}.`)
  try {
    end(response, 200, await metrics.text(format), CONTENT_TYPES[format])
  } catch {
    // What went wrong is nothing for whoever has no key; the route with one has it in the log.
    end(response, 500, 'The metrics could not be read.')
  }
}

function end(response: ServerResponse, status: number, text: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { ...SECURITY_HEADERS, 'content-type': type }).end(text)
}
