import { EventEmitter, once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { createServer as createTlsServer } from 'node:tls'
import { Worker } from 'node:worker_threads'
import { brotliCompressSync, constants, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'

import { LOCAL } from '../egress/certificate.ts'

/** What a hostile server does with a connection once a request's head has come. */
export type Behaviour = (socket: Socket) => void

/** How a job against it has to end. */
export interface HostileCase {
  name: string
  /** The code of the job's error; `succeeded` for none. */
  ends: string
  /** What it ends with where so many of them run at once that time is over first. */
  late?: string
  /** Fields of the job beside `url`. */
  job?: Record<string, unknown>
  behave: Behaviour
  /** The last response is complete, so its connection may be kept for a while. */
  keeps?: boolean
}

/** Caps small enough for a test; what follows is made for them. */
export const SMALL_CAPS = {
  egressConnectTimeoutMs: 300,
  egressHeadersTimeoutMs: 1_000,
  egressMaxResponseBytes: 64 << 10,
  egressMaxWireBytes: 128 << 10,
}

const MIB = 1 << 20
const OK = 'HTTP/1.1 200 OK\r\n'
const CHUNKED = `${OK}transfer-encoding: chunked\r\n\r\n`
const FULL = 16 << 10

/** Writes for as long as somebody reads. */
function pour(first: string, again: string | Buffer): Behaviour {
  return (socket) => {
    socket.write(first, 'latin1')
    const more = () => {
      if (!socket.destroyed && socket.write(again)) setImmediate(more)
    }
    socket.on('drain', more)
    more()
  }
}

/** Writes a little now and then. */
function drip(first: string, drop: string): Behaviour {
  return (socket) => {
    socket.write(first, 'latin1')
    const timer = setInterval(() => socket.write(drop, 'latin1'), 20)
    socket.once('close', () => clearInterval(timer))
  }
}

/** Writes once, and then closes, resets or leaves the connection. */
function say(bytes: string | Buffer, then: 'end' | 'reset' | 'stay' = 'stay'): Behaviour {
  return (socket) => {
    socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes, () => {
      if (then === 'end') socket.end()
      // The bytes before the reset must have been read: a reset overtakes them.
      else if (then === 'reset') setTimeout(() => socket.resetAndDestroy(), 20)
    })
  }
}

/** A body under content codings. */
function coded(encoding: string, body: Buffer, then: 'end' | 'stay' = 'stay'): Behaviour {
  const head = Buffer.from(`${OK}content-encoding: ${encoding}\r\ncontent-length: ${body.length}\r\n\r\n`)
  return say(Buffer.concat([head, body]), then)
}

function redirect(location: string, body = 'content-length: 0\r\n\r\n'): Behaviour {
  return say(`HTTP/1.1 302 Found\r\nlocation: ${location}\r\n${body}`)
}

const repeat = (text: string, count = Math.ceil(FULL / text.length)) => text.repeat(count)

const zeros = Buffer.alloc(32 * MIB)
const bomb = gzipSync(zeros, { level: 1 })
const brotli = (bytes: Buffer) => brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } })
/** A frame (RFC 8878, 3.1.1) of five bytes that asks for a window of 128 MiB. */
const wideZstd = Buffer.from('28b52ffd008829000068656c6c6f', 'hex')

const BODIES: HostileCase[] = [
  { name: 'endless', ends: 'response_too_large', behave: pour(`${OK}\r\n`, repeat('x')) },
  { name: 'endless in chunks', ends: 'response_too_large', behave: pour(CHUNKED, `4000\r\n${repeat('x')}\r\n`) },
  { name: 'endless in chunks of a byte', ends: 'response_too_large', behave: pour(CHUNKED, repeat('1\r\nx\r\n')) },
  { name: 'endless, not wanted', ends: 'succeeded', job: { response: 'head' }, behave: pour(CHUNKED, '1\r\nx\r\n') },
  { name: 'endless, of an error', ends: 'response_too_large', behave: pour('HTTP/1.1 500 No\r\n\r\n', repeat('x')) },
  { name: 'announced too large', ends: 'response_too_large', behave: say(`${OK}content-length: 99999999999\r\n\r\n`) },
  { name: 'dripping', ends: 'timeout', job: { timeoutMs: 150 }, behave: drip(`${OK}\r\n`, 'x') },
  { name: 'dripping chunks', ends: 'timeout', job: { timeoutMs: 150 }, behave: drip(CHUNKED, '1\r\nx\r\n') },
  { name: 'stalled', ends: 'timeout', job: { timeoutMs: 150 }, behave: say(`${OK}content-length: 9\r\n\r\nhalf`) },
  { name: 'stalled in a chunk', ends: 'timeout', job: { timeoutMs: 150 }, behave: say(`${CHUNKED}9\r\nhalf`) },
  { name: 'stalled without a length', ends: 'timeout', job: { timeoutMs: 150 }, behave: say(`${OK}\r\nhalf`) },
  {
    name: 'stalled in gzip',
    ends: 'timeout',
    job: { timeoutMs: 150 },
    behave: say(Buffer.concat([Buffer.from(`${OK}content-encoding: gzip\r\n\r\n`), bomb.subarray(0, 100)])),
  },
  { name: 'endless chunk extension', ends: 'response_too_large', behave: pour(`${CHUNKED}1;`, repeat('x')) },
  { name: 'endless trailers', ends: 'bad_response', behave: pour(`${CHUNKED}0\r\n`, repeat('a: b\r\n')) },
]

const BOMBS: HostileCase[] = [
  { name: 'gzip bomb', ends: 'response_too_large', behave: coded('gzip', bomb.subarray(0, 100_000)) },
  { name: 'br bomb', ends: 'response_too_large', behave: coded('br', brotli(zeros)), keeps: true },
  { name: 'zstd bomb', ends: 'response_too_large', behave: coded('zstd', zstdCompressSync(zeros)), keeps: true },
  { name: 'deflate bomb', ends: 'response_too_large', behave: coded('deflate', deflateSync(zeros)), keeps: true },
  {
    name: 'raw deflate bomb',
    ends: 'response_too_large',
    behave: coded('deflate', deflateRawSync(zeros)),
    keeps: true,
  },
  { name: 'nested bomb', ends: 'response_too_large', behave: coded('gzip, gzip', gzipSync(bomb)), keeps: true },
  { name: 'mixed nested bomb', ends: 'response_too_large', behave: coded('gzip, br', brotli(bomb)), keeps: true },
  { name: 'bomb of three layers', ends: 'decode_failed', behave: coded('gzip, gzip, gzip', gzipSync(gzipSync(bomb))) },
  {
    name: 'bomb of an error',
    ends: 'response_too_large',
    job: { okStatus: [404] },
    behave: coded('gzip', gzipSync(bomb)),
    keeps: true,
  },
  {
    name: 'endless empty gzip members',
    ends: 'response_too_large',
    behave: pour(`${OK}content-encoding: gzip\r\n\r\n`, Buffer.concat(Array(500).fill(gzipSync('')))),
  },
  { name: 'zstd with a huge window', ends: 'decode_failed', behave: coded('zstd', wideZstd), keeps: true },
  { name: 'gzip cut off', ends: 'decode_failed', behave: coded('gzip', bomb.subarray(0, 12)), keeps: true },
  {
    name: 'gzip that is none',
    ends: 'decode_failed',
    behave: coded('gzip', Buffer.from('not gzip at all')),
    keeps: true,
  },
]

const HEADS: HostileCase[] = [
  { name: 'silence', ends: 'connection_lost', behave: () => undefined },
  { name: 'dripping status line', ends: 'connection_lost', behave: drip('HTTP/1.1 200 ', 'O') },
  { name: 'dripping headers', ends: 'connection_lost', behave: drip(OK, 'a: b\r\n') },
  {
    name: 'endless status line',
    ends: 'bad_response',
    late: 'connection_lost',
    behave: pour('HTTP/1.1 200 ', repeat('O')),
  },
  { name: 'endless blank lines', ends: 'bad_response', late: 'connection_lost', behave: pour('', repeat('\r\n')) },
  { name: 'endless header', ends: 'bad_response', behave: pour(`${OK}a: `, repeat('x')) },
  { name: 'endless headers', ends: 'bad_response', behave: pour(OK, repeat('a: b\r\n')) },
  { name: '16,000 headers', ends: 'bad_response', behave: say(`${OK}${repeat('a:\r\n', 16_000)}\r\n`) },
  {
    name: '16,000 headers with values',
    ends: 'bad_response',
    behave: say(`${OK}${repeat('abc: def\r\n', 16_000)}\r\n`),
  },
  {
    name: 'flood of 103',
    ends: 'bad_response',
    late: 'connection_lost',
    behave: pour('', repeat('HTTP/1.1 103 Hints\r\na: b\r\n\r\n')),
  },
  {
    name: 'flood of 102',
    ends: 'bad_response',
    late: 'connection_lost',
    behave: pour('', repeat('HTTP/1.1 102 Wait\r\n\r\n')),
  },
  { name: 'flood of 100', ends: 'bad_response', behave: pour('', repeat('HTTP/1.1 100 Continue\r\n\r\n')) },
]

const MALFORMED: HostileCase[] = [
  ...[
    ['status', 'HTTP/1.1 2x0 Hm\r\n\r\n'],
    ['version', 'HTTP/9.9 200 OK\r\n\r\n'],
    ['protocol', 'SSH-2.0-OpenSSH_9.9\r\n'],
    ['no head', 'hello, this is no HTTP\r\n\r\n'],
    ['header line', `${OK}bad header line\r\n\r\n`],
    ['header with a NUL', `${OK}a: b\0c\r\n\r\n`],
    ['blank before the colon', `${OK}content-length : 2\r\n\r\nok`],
    ['chunk size', `${CHUNKED}zz\r\nhello\r\n`],
    ['huge chunk size', `${CHUNKED}ffffffffffffffffff\r\nhello\r\n`],
    ['chunk longer than it says', `${CHUNKED}2\r\nhello\r\n0\r\n\r\n`],
    ['two lengths', `${OK}content-length: 1\r\ncontent-length: 2\r\n\r\nab`],
    ['length and chunks', `${OK}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['negative length', `${OK}content-length: -1\r\n\r\n`],
    ['upgrade', 'HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n'],
    ['TLS alert', '\x15\x03\x03\x00\x02\x02\x28'],
  ].map(([name, bytes = '']) => ({ name: `malformed: ${name}`, ends: 'bad_response', behave: say(bytes) })),
]

const BROKEN: HostileCase[] = [
  ...(['end', 'reset'] as const).flatMap((then) =>
    [
      ['at once', ''],
      ['in the status line', 'HTTP/1.'],
      ['in the headers', `${OK}content-le`],
      ['in the body', `${OK}content-length: 100\r\n\r\nhalf`],
      ['in a chunk', `${CHUNKED}64\r\nhalf`],
      ['between chunks', `${CHUNKED}4\r\nhalf\r\n`],
      ['after 1xx', 'HTTP/1.1 103 Hints\r\n\r\n'],
    ].map(([name, bytes = '']) => ({
      name: `${then === 'end' ? 'closed' : 'reset'} ${name}`,
      ends: 'connection_lost',
      behave: say(bytes, then),
    })),
  ),
  { name: 'reset in a body without a length', ends: 'connection_lost', behave: say(`${OK}\r\nhalf`, 'reset') },
]

const REDIRECTS: HostileCase[] = [
  { name: 'redirect loop', ends: 'too_many_redirects', behave: redirect('/redirect%20loop'), keeps: true },
  {
    name: 'redirect with an endless body',
    ends: 'too_many_redirects',
    late: 'response_too_large',
    behave: pour('HTTP/1.1 302 Found\r\nlocation: ?\r\n\r\n', repeat('x')),
  },
  {
    name: 'redirect with a dripping body',
    ends: 'too_many_redirects',
    behave: drip('HTTP/1.1 302 Found\r\nlocation: ?\r\n\r\n', 'x'),
  },
  { name: 'redirect to a file', ends: 'egress_denied', behave: redirect('file:///etc/passwd'), keeps: true },
  { name: 'redirect to a private address', ends: 'egress_denied', behave: redirect('http://10.0.0.1/'), keeps: true },
  { name: 'redirect to nowhere', ends: 'bad_redirect', behave: redirect('http://'), keeps: true },
  { name: 'redirect with a password', ends: 'bad_redirect', behave: redirect('http://a:b@127.0.0.1/'), keeps: true },
  { name: 'redirect that is too long', ends: 'bad_redirect', behave: redirect(`/${'x'.repeat(9_000)}`), keeps: true },
]

/** All of them. */
export const HOSTILE: readonly HostileCase[] = [...BODIES, ...BOMBS, ...HEADS, ...MALFORMED, ...BROKEN, ...REDIRECTS]

/** How a name, TCP or TLS can stall or fail before there is anything to send a request to. */
export const UNCONNECTABLE: readonly HostileCase[] = [
  { name: 'TLS that never answers', ends: 'connect_timeout', behave: () => undefined },
  { name: 'TLS that drips', ends: 'connect_timeout', behave: drip('\x16\x03\x03\x3f\xff', '\x02') },
  { name: 'TLS that is plain text', ends: 'tls_failed', behave: say('HTTP/1.1 200 OK\r\n\r\n') },
  { name: 'TLS that says no', ends: 'tls_failed', behave: say('\x15\x03\x03\x00\x02\x02\x28') },
  { name: 'TLS that is closed', ends: 'tls_failed', behave: say('', 'end') },
  { name: 'TLS that is reset', ends: 'tls_failed', behave: say('', 'reset') },
  {
    name: 'TLS with endless records',
    ends: 'tls_failed',
    behave: pour('', repeat('\x16\x03\x03\x00\x04\x02\x00\x00\x00')),
  },
]

/** Bytes on a TCP port, by the path of the request: `/<name of the case>`. Close it with `await using`. */
export class HostileServer implements AsyncDisposable {
  /** Connections so far. */
  accepted = 0
  readonly #server: Server
  /** Open connections, each with the name of its case. */
  readonly #open = new Map<Socket, string>()
  readonly #events = new EventEmitter().setMaxListeners(0)

  private constructor(attend: (socket: Socket, server: HostileServer) => void) {
    this.#server = createServer((socket) => {
      this.#keepAccount(socket)
      attend(socket, this)
    })
  }

  /** Of all the cases, each at its path. */
  static async start(cases: readonly HostileCase[] = HOSTILE): Promise<HostileServer> {
    const byPath = new Map(cases.map((one) => [`/${encodeURIComponent(one.name)}`, one]))
    return await listening(new HostileServer((socket, server) => server.#await(socket, byPath)))
  }

  /** Of one case, at the first byte of anything. */
  static async startAtOnce({ name, behave }: HostileCase): Promise<HostileServer> {
    return await listening(
      new HostileServer((socket, server) => {
        server.#open.set(socket, name)
        socket.once('data', () => behave(socket))
      }),
    )
  }

  get listening(): Promise<unknown> {
    return once(this.#server.listen(0, '127.0.0.1'), 'listening')
  }

  get port(): number {
    // It listens on TCP.
    return (this.#server.address() as AddressInfo).port
  }

  url(name: string, scheme = 'http'): string {
    return `${scheme}://127.0.0.1:${this.port}/${encodeURIComponent(name)}`
  }

  /** The job of a case. */
  job({ name, job }: HostileCase, scheme = 'http'): Record<string, unknown> {
    return { kind: 'fetch', url: this.url(name, scheme), timeoutMs: 5_000, ...job }
  }

  /** Resolves when the other side has closed every connection of a case; without a name, all. */
  async whenIdle(name?: string): Promise<void> {
    const isOpen = () => (name === undefined ? this.#open.size > 0 : [...this.#open.values()].includes(name))
    while (isOpen()) await once(this.#events, 'closed')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#open.keys()) socket.destroy()
    await once(this.#server.close(), 'close')
  }

  #keepAccount(socket: Socket): void {
    this.accepted++
    this.#open.set(socket, '')
    socket.on('error', () => undefined) // Clients are meant to break off.
    socket.once('close', () => {
      this.#open.delete(socket)
      this.#events.emit('closed')
    })
  }

  #await(socket: Socket, byPath: ReadonlyMap<string, HostileCase>): void {
    let head = ''
    socket.on('data', (chunk) => {
      head += chunk.toString('latin1')
      if (!head.includes('\r\n\r\n')) return
      const found = byPath.get(head.split(' ')[1]?.replace(/\?.*$/, '') ?? '')
      head = ''
      if (!found) return void socket.destroy()
      this.#open.set(socket, found.name)
      found.behave(socket)
    })
  }
}

async function listening(server: HostileServer): Promise<HostileServer> {
  await server.listening
  return server
}

/** TLS before a server, with the certificate of 127.0.0.1. Close it with `await using`. */
export async function startTlsFront({ port }: { port: number }): Promise<AsyncDisposable & { port: number }> {
  const open = new Set<Socket>()
  const raw = new Map<number | undefined, Socket>()
  const front = createTlsServer({ cert: LOCAL.cert, key: LOCAL.key }, (secure) => {
    const plain = connect(port, '127.0.0.1')
    // A reset goes on as one: TLS alone would end the connection in order.
    plain.on('error', () => raw.get(secure.remotePort)?.resetAndDestroy())
    for (const socket of [secure, plain]) {
      open.add(socket)
      socket.on('error', () => undefined)
      socket.once('close', () => {
        open.delete(socket)
        secure.destroy()
        plain.destroy()
      })
    }
    secure.pipe(plain, { end: false }).pipe(secure, { end: false })
    plain.once('end', () => secure.end())
  })
  front.on('connection', (socket: Socket) => raw.set(socket.remotePort, socket))
  await once(front.listen(0, '127.0.0.1'), 'listening')
  return {
    // It listens on TCP.
    port: (front.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy()
      await once(front.close(), 'close')
    },
  }
}

/** Listens, and then never takes a connection out of its queue, as nothing in its thread goes on. */
const LISTEN_AND_STOP = `
  const { parentPort } = require('node:worker_threads')
  const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    parentPort.postMessage(server.address().port)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
  })`

/** A port of 127.0.0.1 whose queue of connections is full: what connects hears nothing. Close it with `await using`. */
export class FullPort implements AsyncDisposable {
  readonly port: number
  readonly #worker: Worker
  readonly #fillers: Socket[] = []

  private constructor(worker: Worker, port: number) {
    this.#worker = worker
    this.port = port
  }

  static async start(): Promise<FullPort> {
    const worker = new Worker(LISTEN_AND_STOP, { eval: true })
    const [port] = await once(worker, 'message')
    const full = new FullPort(worker, port)
    while (await full.#fill()) if (full.#fillers.length > 64) throw new Error('The queue does not fill.')
    return full
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#fillers) socket.destroy()
    await this.#worker.terminate()
  }

  /** Whether there was room for one more. */
  #fill(): Promise<boolean> {
    const socket = connect(this.port, '127.0.0.1').on('error', () => undefined)
    this.#fillers.push(socket)
    return Promise.race([once(socket, 'connect').then(() => true), sleep(200, false)])
  }
}
