import { once } from 'node:events'
import { Redis, type RedisOptions } from 'ioredis'
import type { Clock, TimerHandle } from '../../clock.ts'
import { parseRedisUrl } from './redis-url.ts'

/** What a connection is for. */
export type Role = 'commands' | 'bulk' | 'subscriber'

/** A connection has come or gone. Nothing in it is secret. */
export interface ConnectionReport {
  role: Role
  state: 'ready' | 'away'
  /** Why it is away, such as `ECONNREFUSED`, `WRONGPASS` or `closed`; null when it is ready. */
  code: string | null
}

/** How to reach Redis, and whom to tell. */
export interface ConnectionsOptions {
  /** As {@link parseRedisUrl} takes it. */
  url: string
  clock: Clock
  /** Hears of every change once, not of every try. */
  onState?: (report: ConnectionReport) => void
  /** A command that has no answer by then rejects; whether it was done is not known. Default 1,500 ms. */
  commandTimeoutMs?: number
  /** The same for the connection of long texts. Default 15,000 ms. */
  bulkTimeoutMs?: number
  /** How often all connections are asked whether they still live; one that does not answer is made anew. Default 3,000 ms. */
  pingMs?: number
  /** The longest wait between two tries to connect. Default 1,000 ms. */
  maxRetryMs?: number
}

/**
 * The connections of a replica: one for commands, one for long texts, which commands would have to wait behind, and one that listens. All
 * come back for ever by themselves. While Redis is away a
 * command rejects at once, and what was under way rejects when its connection goes: nothing is queued and nothing is sent twice.
 */
export class Connections implements AsyncDisposable {
  readonly commands: Redis
  readonly bulk: Redis
  /** What was subscribed to is not subscribed to again by itself: `Subscriptions` does that, and knows when it is done. */
  readonly subscriber: Redis
  readonly #clock: Clock
  readonly #onState: (report: ConnectionReport) => void
  readonly #pingMs: number
  readonly #timers = new Map<string, TimerHandle>()
  readonly #last = new Map<Role, string>()
  readonly #closing = new AbortController()

  /** Begins to connect and does not wait for it. @throws {ConfigError} */
  constructor(options: ConnectionsOptions) {
    this.#clock = options.clock
    this.#onState = options.onState ?? (() => undefined)
    this.#pingMs = options.pingMs ?? 3_000
    this.commands = this.#open('commands', options)
    this.bulk = this.#open('bulk', { ...options, commandTimeoutMs: options.bulkTimeoutMs ?? 15_000 })
    this.subscriber = this.#open('subscriber', options)
    this.#armPing()
  }

  /** True while commands are taken and messages heard. */
  get ready(): boolean {
    return this.#all.every(({ status }) => status === 'ready')
  }

  /** Resolves as soon as all connections are ready. @throws the reason of `signal` when it aborts, an `AbortError` after `close`. */
  async untilReady(signal?: AbortSignal): Promise<void> {
    const either = signal ? AbortSignal.any([signal, this.#closing.signal]) : this.#closing.signal
    for (const client of this.#all) {
      // An error of the connection ends `once` too: then it is tried again.
      while (client.status !== 'ready')
        await once(client, 'ready', { signal: either }).catch(() => either.throwIfAborted())
    }
  }

  /** End all connections; what is under way rejects. May be called twice. */
  async close(): Promise<void> {
    this.#closing.abort()
    for (const timer of this.#timers.values()) timer.cancel()
    this.#timers.clear()
    await Promise.all(this.#all.map(end))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #open(role: Role, options: ConnectionsOptions): Redis {
    const client = new Redis(clientOptions(options))
    let code = 'closed'
    client.on('error', (error: Error) => {
      scrub(error)
      code = codeOf(error)
    })
    client.on('ready', () => this.#report({ role, state: 'ready', code: null }))
    client.on('close', () => {
      this.#report({ role, state: 'away', code })
      code = 'closed'
    })
    client.on('end', () => this.#again(role, client))
    return client
  }

  get #all(): Redis[] {
    return [this.commands, this.bulk, this.subscriber]
  }

  get #closed(): boolean {
    return this.#closing.signal.aborted
  }

  #report(report: ConnectionReport): void {
    const known = `${report.state} ${report.code}`
    if (this.#closed || this.#last.get(report.role) === known) return
    this.#last.set(report.role, known)
    this.#onState(report)
  }

  /** ioredis gives up for good when a socket cannot even be made. */
  #again(role: Role, client: Redis): void {
    if (this.#closed) return
    this.#timers.set(
      role,
      this.#clock.after(1_000, () => client.connect().catch(() => undefined)), // The `error` listener has it.
    )
  }

  #armPing(): void {
    this.#timers.set(
      'ping',
      this.#clock.after(this.#pingMs, () => {
        for (const client of this.#all) this.#ping(client)
        this.#armPing()
      }),
    )
  }

  /** A socket whose other end is gone says nothing for minutes; one that only listens, for ever. */
  #ping(client: Redis): void {
    if (client.status !== 'ready') return
    const { stream } = client
    client.ping().catch(() => {
      if (!this.#closed && client.stream === stream) stream.destroy()
    })
  }
}

/** Exported for whoever needs one more connection of the same manners, such as a store with commands of its own. */
export function clientOptions({ url, commandTimeoutMs = 1_500, maxRetryMs = 1_000 }: ConnectionsOptions): RedisOptions {
  return {
    ...parseRedisUrl(url),
    connectionName: 'gatherd',
    commandTimeout: commandTimeoutMs,
    connectTimeout: 2_000,
    disconnectTimeout: 100,
    maxLoadingRetryTime: 500,
    // Nothing waits for Redis to come back, and nothing is sent a second time.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    // ioredis would subscribe again without looking at what comes of it.
    autoResubscribe: false,
    retryStrategy: (times) => Math.min(25 * 2 ** Math.min(times, 10), maxRetryMs) * (0.75 + Math.random() / 2),
    // A failover behind the same name: the old primary is a replica now.
    reconnectOnError: (error) => error.message.startsWith('READONLY'),
  }
}

/** Of an error, a code that says nothing secret. */
function codeOf(error: Error): string {
  const code = 'code' in error ? String(error.code) : ''
  if (/^[A-Z][A-Z0-9_]+$/.test(code)) return code
  return /^(?:Ready check failed: )?([A-Z]{4,})\b/.exec(error.message)?.[1] ?? 'closed'
}

/** ioredis hangs the command on an error of Redis: of AUTH, with the password; and it rejects others with the same error. */
function scrub(error: Error): void {
  Reflect.deleteProperty(error, 'command')
}

async function end(client: Redis): Promise<void> {
  const { stream } = client
  const isOpen = stream !== undefined && !stream.destroyed
  const closed = isOpen ? new Promise((resolve) => stream.once('close', resolve)) : null
  client.disconnect()
  await closed
}
