import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { describe } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import { Connections, type ConnectionsOptions } from '../../../src/engine/cluster/connections.ts'
import { NO_REDIS } from '../../support/redis.ts'

/** Tests that need a redis-server. */
export const overRedis = describe.skipIf(NO_REDIS !== null)

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
