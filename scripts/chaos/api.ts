import { setTimeout as sleep } from 'node:timers/promises'

/** An answer that is one: neither a broken connection nor "not now". */
export interface Answer {
  status: number
  text: string
  // biome-ignore lint/suspicious/noExplicitAny: any JSON; whoever asked knows what comes.
  body: any
}

const PAUSE_MS = 25

/** One caller of a service that goes away and comes back elsewhere. */
export class Api {
  readonly #url: () => string
  readonly #key: string
  readonly #signal: AbortSignal

  /**
   * @param options.url - Where the service is now.
   * @param options.signal - Aborts when the round has taken too long.
   */
  constructor({ url, key, signal }: { url: () => string; key: string; signal: AbortSignal }) {
    this.#url = url
    this.#key = key
    this.#signal = signal
  }

  /** Ask again and again until there is an answer. */
  async call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    for (;;) {
      const answer = await this.once(method, path, body, headers)
      if (answer !== null && !isNotNow(answer)) return answer
      await this.pause()
    }
  }

  /** Ask once; null when no whole answer came. */
  async once(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer | null> {
    try {
      const response = await this.open(method, path, body, headers)
      const text = await response.text()
      const isJson = /[/+]json\b/.test(response.headers.get('content-type') ?? '')
      return { status: response.status, text, body: isJson && text !== '' ? JSON.parse(text) : null }
    } catch {
      this.#signal.throwIfAborted()
      return null
    }
  }

  /** Send a request; its body can be read as it comes. @throws when the connection breaks. */
  async open(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
    const type: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' }
    return await fetch(this.#url() + path, {
      method,
      headers: { authorization: `Bearer ${this.#key}`, ...type, ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: this.#signal,
    })
  }

  async pause(): Promise<void> {
    await sleep(PAUSE_MS, undefined, { signal: this.#signal })
  }
}

function isNotNow({ status, body }: Answer): boolean {
  return status === 503 || (status === 409 && body?.code === 'idempotency_conflict')
}
