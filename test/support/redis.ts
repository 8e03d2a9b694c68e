import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { Redis, type RedisOptions } from 'ioredis'
import { HINT, needRedisServer } from '../../scripts/redis-server.ts'
import { tempDir } from './temp-dir.ts'

const BINARY = needRedisServer()

/** A process of tests that is ended at once, as vitest does it, takes its servers along, where Linux's setpriv is. */
const WITH_PARENT = existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', '--pdeathsig', 'KILL'] : []

/** Why tests over Redis are skipped here; null: they run. For `describe.skipIf(NO_REDIS !== null)`. */
export const NO_REDIS: string | null = BINARY === null ? HINT : null

/** A redis-server of its own on a free port of 127.0.0.1 and in a directory of its own. Ends with the test, at the latest with its process. */
export class RedisServer implements AsyncDisposable {
  readonly port: number
  readonly #dir = tempDir()
  readonly #appendOnly: boolean
  readonly #fsync: 'always' | 'no'
  readonly #more: readonly string[]
  readonly #clients = new Set<Redis>()
  #child: ChildProcess | null = null
  readonly #killAtExit = () => void this.#child?.kill('SIGKILL')

  private constructor(port: number, appendOnly: boolean, fsync: 'always' | 'no', more: readonly string[]) {
    this.#more = more
    this.port = port
    this.#appendOnly = appendOnly
    this.#fsync = fsync
    process.once('exit', this.#killAtExit)
  }

  /**
   * @param options.appendOnly - Keep everything, by default fsynced at each command; else nothing outlives the server.
   * @param options.more - Further arguments; with `--tls-port` there, it speaks TLS alone, on `port`.
   */
  static async start({
    appendOnly = false,
    fsync = 'always',
    more = () => [],
  }: {
    appendOnly?: boolean
    fsync?: 'always' | 'no'
    more?: (port: number) => readonly string[]
  } = {}): Promise<RedisServer> {
    const port = await freePort()
    const server = new RedisServer(port, appendOnly, fsync, more(port))
    await server.start()
    return server
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** False from `stop` or `kill` until `start`. */
  get runs(): boolean {
    return this.#child !== null
  }

  /** A client of its own; closed with the server. */
  client(options: RedisOptions = {}): Redis {
    const client = new Redis({ port: this.port, host: '127.0.0.1', ...options })
    // What fails is told to whoever asked; nobody needs to hear of every try to connect.
    client.on('error', () => undefined)
    this.#clients.add(client)
    return client
  }

  /** Start it again after `stop` or `kill`, with what it kept. */
  async start(): Promise<void> {
    const keep = this.#appendOnly ? ['--appendonly', 'yes', '--appendfsync', this.#fsync] : ['--appendonly', 'no']
    const port = this.#more.includes('--tls-port') ? '0' : String(this.port)
    const where = ['--port', port, '--bind', '127.0.0.1', '--dir', this.#dir.path]
    const args = [...where, '--save', '', ...keep, ...this.#more]
    if (BINARY === null) throw new Error(HINT)
    const [program, ...before] = [...WITH_PARENT, BINARY]
    const child = spawn(program, [...before, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    let said = ''
    await new Promise<void>((resolve, reject) => {
      child.stdout.on('data', (data: Buffer) => {
        said += data.toString()
        if (said.includes('Ready to accept connections')) resolve()
      })
      child.once('error', reject)
      child.once('exit', () => reject(new Error(`redis-server ended: ${said}`)))
    })
  }

  /** End it in peace. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM')
  }

  /** End it at once. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL')
  }

  async restart(): Promise<void> {
    await this.kill()
    await this.start()
  }

  /** It answers nothing until `resume`, and its connections stay. */
  pause(): void {
    this.#child?.kill('SIGSTOP')
  }

  resume(): void {
    this.#child?.kill('SIGCONT')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#clients) client.disconnect()
    await this.kill()
    process.off('exit', this.#killAtExit)
    this.#dir[Symbol.dispose]()
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (child === null) return
    const gone = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : null
    child.kill('SIGCONT')
    child.kill(signal)
    await gone
    this.#child = null
  }
}

let shared: Promise<RedisServer> | null = null
let given = 0

/** The URL of an empty database on a server that the tests of this process share. No more than 16 of them at a time. */
export async function freshRedis(): Promise<string> {
  // As a service wants it, or it would say so; `always` would cost each test its time.
  shared ??= RedisServer.start({ appendOnly: true, fsync: 'no' })
  const url = `${(await shared).url}/${given++ % 16}`
  const client = new Redis(url)
  await client.flushdb()
  client.disconnect()
  return url
}

/** Stands between a client and a server, and can keep answers from the client: a connection that is lost at the worst moment. */
export class LossyProxy implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #losing: ((request: string) => boolean) | null = null
  #lost: () => void = () => undefined

  private constructor(target: number) {
    this.#server = createServer((client) => this.#relay(client, connect(target, '127.0.0.1')))
  }

  /** @param target - The port of the server. */
  static async start(target: number): Promise<LossyProxy> {
    const proxy = new LossyProxy(target)
    await once(proxy.#server.listen(0, '127.0.0.1'), 'listening')
    return proxy
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  /** Pass the next request that matches on, and cut the connection when its answer comes. Resolves then. */
  loseAnswer(matches: (request: string) => boolean): Promise<void> {
    this.#losing = matches
    return new Promise((resolve) => {
      this.#lost = resolve
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #relay(client: Socket, server: Socket): void {
    let cut = false
    for (const socket of [client, server]) {
      this.#sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        this.#sockets.delete(socket)
        client.destroy()
        server.destroy()
      })
    }
    client.on('data', (data) => {
      if (this.#losing?.(data.toString()) === true) {
        cut = true
        this.#losing = null
      }
      server.write(data)
    })
    server.on('data', (data) => {
      if (!cut) return void client.write(data)
      client.destroy()
      this.#lost()
    })
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (typeof address === 'object' && address !== null) return address.port
  throw new Error('There is no free port.')
}
