import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'

/** One TCP connection that the origin accepted. Instants are `performance.now()`. */
export interface SocketRecord {
  openedAt: number
  closedAt: number | null
  requests: number
}

/** How many requests are being answered, now and at most so far. */
export interface Concurrency {
  current: number
  max: number
}

/** A request as the origin saw it. */
export interface Hit {
  method: string
  path: string
  url: URL
  headers: IncomingMessage['headers']
  body: Buffer
}

type Script = (call: { url: URL; hit: Hit; response: ServerResponse; origin: Origin }) => void | Promise<void>

/** Start an HTTP origin on 127.0.0.1, port 0. `tls` makes it https. */
export async function startOrigin(options: { tls?: { key: string; cert: string } } = {}): Promise<Origin> {
  const origin = new Origin(options)
  await origin.listening
  return origin
}

/**
 * An HTTP server that does what the URL says, and remembers what it saw. Paths are listed at `SCRIPTS`; any of them takes `?k=label` to be counted under a
 * label of its own, and what follows a further slash is for the test to tell requests apart: `/hold/a`.
 */
export class Origin implements AsyncDisposable {
  readonly listening: Promise<unknown>
  readonly hits: Hit[] = []
  readonly sockets: SocketRecord[] = []
  readonly concurrency: Concurrency = { current: 0, max: 0 }
  readonly #byLabel = new Map<string, Concurrency>()
  readonly #counts = new Map<string, { hit: number; closed: number }>()
  readonly #released = new Set<string>()
  readonly #events = new EventEmitter().setMaxListeners(0)
  readonly #live = new Map<Socket, SocketRecord>()
  readonly #server: Server
  readonly #scheme: string

  constructor({ tls }: { tls?: { key: string; cert: string } } = {}) {
    this.#scheme = tls ? 'https' : 'http'
    const answer = (request: IncomingMessage, response: ServerResponse) => void this.#answer(request, response)
    // The client's rules are tested here, so the server's own must not come first.
    const settings = { keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0, maxHeaderSize: 1 << 20 }
    this.#server = tls ? createTlsServer({ ...settings, ...tls }, answer) : createServer(settings, answer)
    this.#server.on('connection', (socket: Socket) => this.#accept(socket))
    this.listening = once(this.#server.listen(0, '127.0.0.1'), 'listening')
  }

  get port(): number {
    // Listening on TCP, so the address is no string and not null.
    return (this.#server.address() as AddressInfo).port
  }

  /** `http://127.0.0.1:<port>` and the path. */
  url(path = '/ok'): string {
    return `${this.#scheme}://127.0.0.1:${this.port}${path}`
  }

  /** Connections that are open now. */
  get openSockets(): number {
    return this.#live.size
  }

  /** Requests of a path so far, its query left out. */
  hitsOf(path: string): number {
    return this.#counts.get(path)?.hit ?? 0
  }

  /** Concurrency under a label, that is a `?k=` or the first part of the path. */
  concurrencyOf(label: string): Concurrency {
    return getOr(this.#byLabel, label, () => ({ current: 0, max: 0 }))
  }

  /** Resolves when the path has been requested `count` times, from the start. */
  whenHit(path: string, count = 1): Promise<void> {
    return this.#when(path, 'hit', count)
  }

  /** Resolves when `count` requests of the path have been given up: their connection closed before the answer was complete. */
  whenClosed(path: string, count = 1): Promise<void> {
    return this.#when(path, 'closed', count)
  }

  /** Resolves when no connection is open. */
  async whenIdle(): Promise<void> {
    while (this.#live.size > 0) await once(this.#events, 'socket closed')
  }

  /** Let every request of the path go on that waits now or comes later. */
  release(path: string): void {
    this.#released.add(path)
    this.#events.emit(`released ${path}`)
  }

  /** Resolves when the path has been released. For scripts. */
  async released(path: string): Promise<void> {
    if (!this.#released.has(path)) await once(this.#events, `released ${path}`)
  }

  /** Requests that came over a connection so far. */
  requestsOn(socket: Socket | null): number {
    return (socket && this.#live.get(socket)?.requests) ?? 0
  }

  /** Close the idle connections of this side, as a server with a short keep-alive timeout does. */
  dropIdle(): void {
    this.#server.closeIdleConnections()
  }

  /** Close every connection and stop. May be called twice. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#live.keys()) socket.destroy()
    await closed
  }

  #accept(socket: Socket): void {
    const record: SocketRecord = { openedAt: performance.now(), closedAt: null, requests: 0 }
    this.sockets.push(record)
    this.#live.set(socket, record)
    socket.on('error', () => undefined) // Clients are meant to break off.
    socket.once('close', () => {
      record.closedAt = performance.now()
      this.#live.delete(socket)
      this.#events.emit('socket closed')
    })
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const record = this.#live.get(request.socket)
    if (record) record.requests++
    const url = new URL(request.url ?? '/', this.url(''))
    const label = url.searchParams.get('k') ?? url.pathname.split('/')[1] ?? ''
    const leave = this.#enter([this.concurrency, this.concurrencyOf(label)])
    response.once('close', () => {
      leave()
      if (!response.writableFinished) this.#count(url.pathname, 'closed')
    })
    const hit: Hit = {
      method: request.method ?? '',
      path: url.pathname,
      url,
      headers: request.headers,
      body: Buffer.alloc(0),
    }
    this.hits.push(hit)
    this.#count(url.pathname, 'hit')
    hit.body = await bodyOf(request)
    const script = SCRIPTS[`/${url.pathname.split('/')[1]}`] ?? notFound
    await script({ url, hit, response, origin: this })
  }

  #enter(counters: Concurrency[]): () => void {
    for (const counter of counters) counter.max = Math.max(counter.max, ++counter.current)
    return () => {
      for (const counter of counters) counter.current--
    }
  }

  #count(path: string, what: 'hit' | 'closed'): void {
    getOr(this.#counts, path, () => ({ hit: 0, closed: 0 }))[what]++
    this.#events.emit(`${what} ${path}`)
  }

  async #when(path: string, what: 'hit' | 'closed', count: number): Promise<void> {
    while ((this.#counts.get(path)?.[what] ?? 0) < count) await once(this.#events, `${what} ${path}`)
  }
}

/** What came of a request's body before it ended or broke off. */
async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  if (!request.readableEnded) await new Promise((resolve) => request.once('close', resolve).once('end', resolve))
  return Buffer.concat(chunks)
}

function getOr<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  const value = map.get(key) ?? make()
  map.set(key, value)
  return value
}

const numberOf = (url: URL, name: string, otherwise: number) => Number(url.searchParams.get(name) ?? otherwise)

function addHeaders(url: URL, response: ServerResponse): void {
  for (const [name, value] of url.searchParams) if (name.startsWith('h.')) response.appendHeader(name.slice(2), value)
}

const notFound: Script = ({ response }) => void response.writeHead(404).end('no such script')

/** Answers with an encoded `?body=` (default `hello`), or with what `?of=` zero bytes become. */
function encoded(coding: string, encode: (plain: Buffer) => Buffer): Script {
  return ({ url, response }) => {
    const plain = url.searchParams.has('of')
      ? Buffer.alloc(numberOf(url, 'of', 0))
      : Buffer.from(url.searchParams.get('body') ?? 'hello')
    response.writeHead(200, { 'content-encoding': coding }).end(encode(plain))
  }
}

/** Replies with bytes of its own making. */
function raw(bytes: string, then: 'end' | 'destroy' | 'keep' = 'end'): Script {
  return ({ response }) => {
    const { socket } = response
    socket?.write(Buffer.from(bytes, 'latin1'), () => {
      if (then === 'end') socket.end()
      else if (then === 'destroy') socket.resetAndDestroy()
    })
  }
}

const MALFORMED: Readonly<Record<string, Script>> = {
  status: raw('HTTP/1.1 2x0 Hm\r\n\r\n'),
  header: raw('HTTP/1.1 200 OK\r\nbad header line\r\n\r\n'),
  chunk: raw('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhello\r\n'),
  lengths: raw('HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab'),
  upgrade: raw('HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n', 'keep'),
  continue: raw('HTTP/1.1 100 Continue\r\n\r\n', 'keep'),
  /** No length: the end of the connection is the end of the body, which is well-formed. */
  eof: raw('HTTP/1.1 200 OK\r\n\r\nall'),
  http09: raw('hello'),
  /** Two answers to one request. */
  twice: raw('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil', 'keep'),
}

const RESETS: Readonly<Record<string, Script>> = {
  before: ({ response }) => void response.socket?.resetAndDestroy(),
  headers: raw('HTTP/1.1 200 OK\r\ncontent-le', 'destroy'),
  body: raw('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf', 'destroy'),
  chunked: raw('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n', 'end'),
  /** A body that only the end of the connection delimits. */
  endless: raw('HTTP/1.1 200 OK\r\n\r\nhalf', 'destroy'),
  short: raw('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf', 'end'),
}

/** What the origin does, by the first part of the path. */
const SCRIPTS: Readonly<Record<string, Script>> = {
  /** `?ms= &status= &body= &close=1 &h.<name>=<value>`. */
  '/ok': async ({ url, response }) => {
    if (url.searchParams.has('ms')) await sleep(numberOf(url, 'ms', 0))
    addHeaders(url, response)
    if (url.searchParams.has('close')) response.setHeader('connection', 'close')
    response.statusCode = numberOf(url, 'status', 200)
    response.end(url.searchParams.get('body') ?? 'ok')
  },
  '/fail': ({ response }) => void response.writeHead(500).end('failed'),
  /** Never answers. */
  '/hang': () => undefined,
  /** Answers `ok` when released: `origin.release('/hold/a')`. */
  '/hold': async ({ hit, response, origin }) => {
    await origin.released(hit.path)
    response.end('ok')
  },
  /** Headers and half a body at once, the rest when released. `?status= &h.<name>=<value>` */
  '/half': async ({ url, hit, response, origin }) => {
    addHeaders(url, response)
    response.writeHead(numberOf(url, 'status', 200), { 'content-length': 8 }).write('half')
    await origin.released(hit.path)
    response.end('half')
  },
  /** 1xx answers until released, then `ok`. `?everyMs=` */
  '/hints': async ({ url, hit, response, origin }) => {
    const timer = setInterval(
      () => response.writeEarlyHints({ link: '</style.css>; rel=preload' }),
      numberOf(url, 'everyMs', 1),
    )
    response.once('close', () => clearInterval(timer))
    await origin.released(hit.path)
    clearInterval(timer)
    response.end('ok')
  },
  /** `?chunks= &everyMs= &size=` */
  '/drip': async ({ url, response }) => {
    for (let chunk = 0; chunk < numberOf(url, 'chunks', 3) && !response.destroyed; chunk++) {
      response.write('x'.repeat(numberOf(url, 'size', 1)))
      await sleep(numberOf(url, 'everyMs', 1))
    }
    response.end()
  },
  /** `?how=before|headers|body|chunked|endless|short` */
  '/reset': (call) => RESETS[call.url.searchParams.get('how') ?? 'before']?.(call),
  /** Resets a connection that was used before, as one does whose keep-alive time ran out; answers `ok` on a new one. */
  '/stale': ({ response, origin }) => {
    if (origin.requestsOn(response.socket) > 1) response.socket?.resetAndDestroy()
    else response.end('ok')
  },
  /** `?how=` one of the keys of `MALFORMED`. */
  '/malformed': (call) => MALFORMED[call.url.searchParams.get('how') ?? 'status']?.(call),
  /** `?to=` (required) `&status=302 &body=` */
  '/redirect': ({ url, response }) => {
    const location = url.searchParams.get('to') ?? ''
    response.writeHead(numberOf(url, 'status', 302), { location }).end(url.searchParams.get('body') ?? 'moved')
  },
  /** Redirects to itself for ever. */
  '/loop': ({ url, response }) => void response.writeHead(302, { location: url.pathname }).end(),
  '/gzip': encoded('gzip', (plain) => gzipSync(plain)),
  '/x-gzip': encoded('x-gzip', (plain) => gzipSync(plain)),
  '/deflate': encoded('deflate', (plain) => deflateSync(plain)),
  '/raw-deflate': encoded('deflate', (plain) => deflateRawSync(plain)),
  '/br': encoded('br', (plain) => brotliCompressSync(plain)),
  '/zstd': encoded('zstd', (plain) => zstdCompressSync(plain)),
  '/twofold': encoded('gzip, br', (plain) => brotliCompressSync(gzipSync(plain))),
  '/threefold': encoded('gzip, gzip, gzip', (plain) => gzipSync(gzipSync(gzipSync(plain)))),
  '/unknown-coding': encoded('rot13', (plain) => plain),
  /** Says gzip and is not, or stops in the middle: `?how=garbage|cut`. */
  '/bad-gzip': ({ url, response }) => {
    const bytes =
      url.searchParams.get('how') === 'cut' ? gzipSync('hello').subarray(0, 12) : Buffer.from('not gzip at all')
    response.writeHead(200, { 'content-encoding': 'gzip' }).end(bytes)
  },
  /** 100 MiB of zeroes, compressed twice. */
  '/bomb': encoded('gzip, gzip', () => gzipSync(gzipSync(Buffer.alloc(100 << 20)))),
  /** Every byte value once. */
  '/binary': ({ response }) => void response.end(Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))),
  /** `?text=` JSON, default `{"a":1}`. */
  '/json': ({ url, response }) =>
    void response.writeHead(200, { 'content-type': 'application/json' }).end(url.searchParams.get('text') ?? '{"a":1}'),
  /** `?bytes=` of `x`; `&chunked=1` without a length. */
  '/big': ({ url, response }) => {
    const body = Buffer.alloc(numberOf(url, 'bytes', 1 << 20), 'x')
    if (!url.searchParams.has('chunked')) response.setHeader('content-length', body.length)
    response.write(body)
    response.end()
  },
  /** All of `?bytes=` but the last one at once, that one when released; `&chunked=1` without a length. */
  '/unfinished': async ({ url, hit, response, origin }) => {
    const body = Buffer.alloc(numberOf(url, 'bytes', 1 << 20), 'x')
    if (!url.searchParams.has('chunked')) response.setHeader('content-length', body.length)
    response.write(body.subarray(1))
    await origin.released(hit.path)
    response.end('x')
  },
  /** JSON of about `?bytes=`: an array of small objects, with white space; `&wrong=1` ends in the wrong bracket. */
  '/objects': ({ url, response }) => {
    const objects = '{"a": 1}, '.repeat(numberOf(url, 'bytes', 1 << 20) / 10)
    response.end(`[${objects}{}${url.searchParams.has('wrong') ? '}' : ']'}`)
  },
  /** `?lines= &bytes=` of response headers. */
  '/headers': ({ url, response }) => {
    const value = 'v'.repeat(numberOf(url, 'bytes', 1))
    for (let line = 0; line < numberOf(url, 'lines', 1); line++) response.setHeader(`x-${line}`, value)
    response.end('ok')
  },
  /** Method, headers and body of the request, as JSON. */
  '/echo': ({ hit, response }) => {
    const { method, path, headers, body } = hit
    response.end(JSON.stringify({ method, path, headers, body: body.toString('latin1') }))
  },
}
