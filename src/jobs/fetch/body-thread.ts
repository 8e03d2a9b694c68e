import { Worker } from 'node:worker_threads'
import { RawJson } from '../../json/raw.ts'
import { Turns } from '../../json/turns.ts'
import { threadOptions } from '../../threads.ts'
import type { Kept } from './keep.ts'
import type { KeptBody } from './result.ts'

/** A body for the thread: `bytes` in memory that threads share, so that nothing is copied. */
export interface LargeBody {
  bytes: Uint8Array
  asJson: boolean
}

/** What the thread answers. A class does not cross threads: of `json`, and where it is bytes, the body is its JSON. */
export interface KeptOnThread {
  kept: Omit<KeptBody, 'body'> & { body: string | Uint8Array | null }
  failure: string | undefined
}

/** Runs `keep` elsewhere, one body at a time. */
export type KeepElsewhere = (body: LargeBody) => Promise<Kept>

/**
 * Keeps large bodies on a thread of its own: scanning 10 MiB of JSON takes a tenth of a second, which the event loop does not have. Tenants
 * take turns; of one tenant, what came first is kept first.
 */
export class LargeBodies {
  readonly #elsewhere: KeepElsewhere
  readonly #turns = new Turns({ nextTurn: (go) => void this.#last.then(go) })
  #last: Promise<unknown> = Promise.resolve()

  /** @param elsewhere - Default: the thread that all of a process share. */
  constructor(elsewhere: KeepElsewhere = (body) => BodyThread.shared.keep(body)) {
    this.#elsewhere = elsewhere
  }

  /** See `keep`. @throws `signal.reason` as soon as it aborts. */
  async keep(tenantId: string, body: LargeBody, signal: AbortSignal): Promise<Kept> {
    const { promise, resolve, reject } = Promise.withResolvers<Kept>()
    const begin = () => {
      const kept = this.#elsewhere(body)
      kept.then(resolve, reject)
      this.#last = kept.catch(() => undefined) // It is `reject`'s.
      return true
    }
    const onAbort = () => reject(signal.reason)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      await this.#turns.run(tenantId, begin, signal)
      return await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
      // Nobody waits for it any more once the signal has aborted.
      promise.catch(() => undefined)
    }
  }
}

/** The thread: started when there is something to do, and again if it dies; it keeps no process alive. */
export class BodyThread {
  static readonly shared = new BodyThread()
  #worker: Worker | null = null
  #waiting: { resolve(kept: Kept): void; reject(error: Error): void } | null = null

  /** One body at a time: the next one after the answer. */
  keep(body: LargeBody): Promise<Kept> {
    const worker = this.#worker ?? this.#start()
    const { promise, resolve, reject } = Promise.withResolvers<Kept>()
    this.#waiting = { resolve, reject }
    worker.ref()
    worker.postMessage(body)
    return promise
  }

  #start(): Worker {
    const worker = new Worker(new URL('./body-worker.ts', import.meta.url), threadOptions())
    worker.on('message', (answer: KeptOnThread) => {
      worker.unref()
      this.#take()?.resolve(revived(answer))
    })
    worker.on('error', (error) => this.#died(worker, error))
    // After an error, too: there may be another one by then.
    worker.on('exit', () => this.#died(worker, new Error('The thread for large bodies ended by itself.')))
    this.#worker = worker
    return worker
  }

  #died(worker: Worker, error: Error): void {
    if (this.#worker !== worker) return
    this.#worker = null
    this.#take()?.reject(error)
  }

  #take() {
    const waiting = this.#waiting
    this.#waiting = null
    return waiting
  }
}

function revived({ kept, failure }: KeptOnThread): Kept {
  const { body, bodyEncoding } = kept
  const isText = body === null || (typeof body === 'string' && bodyEncoding !== 'json')
  return { kept: { ...kept, body: isText ? body : new RawJson(body) }, failure }
}
