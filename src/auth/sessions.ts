import type { ServerResponse } from 'node:http'
import { type Clock, MAX_TIMER_MS, type TimerHandle } from '../clock.ts'

/** One request that a key is good for, until it is answered or the key is good no more. */
export class Session {
  readonly #raw: Pick<ServerResponse, 'headersSent' | 'writableEnded' | 'destroy'>
  #controller: AbortController | null = null
  #over = false

  /** @param raw - Where the answer goes. */
  constructor(raw: Pick<ServerResponse, 'headersSent' | 'writableEnded' | 'destroy'>) {
    this.#raw = raw
  }

  /** True when the key is good no more: whatever comes of the request, its answer is 401. */
  get over(): boolean {
    return this.#over
  }

  /** Aborts when the key is good no more. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController()
    if (this.#over) this.#controller.abort()
    return this.#controller.signal
  }

  /** The key is good no more. An answer that has begun, a stream most of all, is cut: nothing more may be read by it. */
  end(): void {
    this.#over = true
    this.#controller?.abort()
    if (this.#raw.headersSent && !this.#raw.writableEnded) this.#raw.destroy()
  }
}

/** The sessions of one key, and the clock that ends them when it expires. */
interface Open {
  sessions: Set<Session>
  timer: TimerHandle | null
}

/** The requests that are being answered, by key: they end with it. */
export class Sessions {
  readonly #clock: Clock
  readonly #open = new Map<string, Open>()

  constructor(options: { clock: Clock }) {
    this.#clock = options.clock
  }

  /** Keys that have requests now. */
  get size(): number {
    return this.#open.size
  }

  /** A request is being answered; say so with `close` when it is. @param expiresAt - When its key ends; null: never. */
  open(keyId: string, expiresAt: number | null, session: Session): void {
    const open = this.#open.get(keyId)
    if (open !== undefined) open.sessions.add(session)
    else this.#open.set(keyId, { sessions: new Set([session]), timer: this.#arm(keyId, expiresAt) })
  }

  /** May be called twice. */
  close(keyId: string, session: Session): void {
    const open = this.#open.get(keyId)
    if (open === undefined || !open.sessions.delete(session) || open.sessions.size > 0) return
    open.timer?.cancel()
    this.#open.delete(keyId)
  }

  /** The key is good no more. @param except - A session that may come to its own end. */
  end(keyId: string, except: Session | null = null): void {
    const open = this.#open.get(keyId)
    if (open === undefined) return
    open.timer?.cancel()
    this.#open.delete(keyId)
    for (const session of open.sessions) if (session !== except) session.end()
  }

  #arm(keyId: string, expiresAt: number | null): TimerHandle | null {
    if (expiresAt === null) return null
    const left = expiresAt - this.#clock.now()
    return this.#clock.after(Math.min(Math.max(Math.ceil(left), 0), MAX_TIMER_MS), () => this.#due(keyId, expiresAt))
  }

  /** Timers can be early, and none is longer than a platform's. */
  #due(keyId: string, expiresAt: number): void {
    const open = this.#open.get(keyId)
    if (this.#clock.now() >= expiresAt) this.end(keyId)
    else if (open !== undefined) open.timer = this.#arm(keyId, expiresAt)
  }
}
