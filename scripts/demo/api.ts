/** Headers of a call by the holder of a key. */
const headers = (key: string) => ({ authorization: `Bearer ${key}`, 'content-type': 'application/json' })

/** A job as read, as far as the demo looks at it. */
export interface Job {
  id: string
  index: number
  name: string
  state: string
  startedAt: string | null
  finishedAt: string | null
  cause: string | null
  reason: string | null
  result: { status?: number; body?: unknown } | string | null
  error: { type: string; code: string; message: string } | null
}

/** A batch as read, likewise. */
export interface Batch {
  id: string
  state: string
  error: { type: string; message: string; errors?: { index: number; code: string; message: string }[] } | null
  acceptedAt: string
}

/** An event of a stream, likewise. */
export interface Event {
  seq: number
  type: string
  at: string
  index?: number
  job?: Job
}

/** The API of a running service as one caller sees it. */
export class Api {
  readonly #url: string
  readonly #key: string

  constructor(options: { url: string; key: string }) {
    this.#url = options.url
    this.#key = options.key
  }

  /** One request. The caller says what the answer is. @throws {Error} for any status but a success. */
  async call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const sent = body === undefined ? undefined : JSON.stringify(body)
    const response = await fetch(this.#url + path, { method, headers: headers(this.#key), body: sent })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${text}`)
    return JSON.parse(text)
  }

  /** The events of a batch as they happen, from the start until it has drained. */
  async *events(batchId: string): AsyncGenerator<Event> {
    const path = `${this.#url}/v1/batches/${batchId}/events`
    const response = await fetch(path, { headers: { ...headers(this.#key), accept: 'application/x-ndjson' } })
    if (!response.ok || response.body === null) throw new Error(`GET ${path} answered ${response.status}`)
    let rest = ''
    for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) yield JSON.parse(line)
    }
  }

  /** All jobs of a batch, in input order. */
  async jobs(batchId: string): Promise<Job[]> {
    return (await this.call<{ data: Job[] }>('GET', `/v1/batches/${batchId}/jobs?limit=1000`)).data
  }
}
