import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { systemClock } from '../../../src/clock.ts'
import { Connections, type ConnectionsOptions } from '../../../src/engine/cluster/connections.ts'

/** A redis-server of one test file, that can be killed, started again and stopped in its tracks. */
export class RedisProcess implements AsyncDisposable {
  readonly port: number
  readonly #dir = mkdtempSync(join(tmpdir(), 'gatherd-redis-'))
  readonly #args: string[]
  #child: ChildProcess | null = null

  private constructor(port: number, args: string[]) {
    this.port = port
    this.#args = args
  }

  static async start(...args: string[]): Promise<RedisProcess> {
    const redis = new RedisProcess(await freePort(), args)
    await redis.run()
    return redis
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}/0`
  }

  /** Start it, on what the last one left behind; resolves when it takes connections. */
  async run(): Promise<void> {
    const settings = { bind: '127.0.0.1', port: `${this.port}`, dir: this.#dir, save: '', appendonly: 'yes' }
    const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
    const child = spawn('redis-server', [...args, ...this.#args], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#child = child
    const kill = () => void child.kill('SIGKILL')
    process.once('exit', kill)
    child.once('close', () => process.off('exit', kill))
    for await (const chunk of child.stdout) if (String(chunk).includes('Ready to accept connections')) break
    child.stdout.on('error', () => undefined).resume()
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal)
  }

  /** `kill -9`. */
  async crash(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null) return
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.crash()
    rmSync(this.#dir, { recursive: true, force: true })
  }
}

/** A way to Redis that can be cut. */
export class Cuttable implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  /** While true, what is sent goes on its way and what is answered does not. */
  deaf = false

  private constructor(to: number) {
    this.#server = createServer((near) => {
      const far = connect(to, '127.0.0.1')
      near.on('data', (chunk) => void far.write(chunk))
      far.on('data', (chunk) => void (this.deaf || near.write(chunk)))
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(one)
        one.on('error', () => undefined)
        one.on('close', () => {
          this.#sockets.delete(one)
          other.destroy()
        })
      }
    })
  }

  static async to(port: number): Promise<Cuttable> {
    const cuttable = new Cuttable(port)
    await once(cuttable.#server.listen(0, '127.0.0.1'), 'listening')
    return cuttable
  }

  get url(): string {
    const address = this.#server.address()
    return `redis://127.0.0.1:${typeof address === 'object' ? address?.port : ''}/0`
  }

  /** Cut all connections; new ones are taken. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close()
    this.cut()
    if (this.#server.listening) await once(this.#server, 'close')
  }
}

/** Connections that are ready, of quick manners. */
export async function connected(url: string, options: Partial<ConnectionsOptions> = {}): Promise<Connections> {
  const connections = new Connections({ url, clock: systemClock, maxRetryMs: 50, ...options })
  await connections.untilReady()
  return connections
}

/** Wait until something is true. Only that it happens at all is tested by it. */
export async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await what())) await new Promise((resolve) => setTimeout(resolve, 5))
}

/** Collects what nobody has handled. */
export function watchUnhandled(): { seen: unknown[] } & Disposable {
  const seen: unknown[] = []
  const note = (reason: unknown) => void seen.push(reason)
  process.on('unhandledRejection', note)
  return { seen, [Symbol.dispose]: () => void process.off('unhandledRejection', note) }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  return typeof address === 'object' ? (address?.port ?? 0) : 0
}
