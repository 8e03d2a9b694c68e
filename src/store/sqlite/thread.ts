import { Worker } from 'node:worker_threads'
import { StoreUnusableError } from '../../errors.ts'
import { threadOptions } from '../../threads.ts'
import { StoreError } from '../error.ts'
import type { Answer, Call, Role } from './service.ts'

interface Waiting {
  resolve(value: unknown): void
  reject(error: Error): void
}

/** A store thread as seen from the event loop: one message a call, answered in order. */
export class StoreThread {
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  #lastId = 0
  #opened = false
  #closing: Promise<void> | null = null
  #dead: Error | null = null

  private constructor(worker: Worker, onDeath: (error: Error) => void) {
    this.#worker = worker
    worker.on('message', (answer: Answer) => this.#settle(answer))
    worker.on('error', (error) => this.#die(error))
    worker.on('exit', () => {
      if (this.#closing !== null) return
      const dead = this.#die(new Error('A store thread ended by itself.'))
      if (this.#opened) onDeath(dead)
    })
  }

  /**
   * Start a thread. It loads its code at once, and touches no file before `open`.
   *
   * @param onDeath - Called when the thread ends by itself after it was opened.
   */
  static start(onDeath: (error: Error) => void): StoreThread {
    return new StoreThread(new Worker(new URL('./worker.ts', import.meta.url), threadOptions()), onDeath)
  }

  /** Open the thread's database, once, before any call. @throws {StoreUnusableError} */
  async open(options: { role: Role; dataDir: string }): Promise<this> {
    if (this.#dead !== null) throw this.#dead
    await new Promise((resolve, reject) => {
      this.#waiting.set(0, { resolve, reject })
      this.#worker.postMessage(options)
    })
    this.#opened = true
    return this
  }

  /** Call a method of the thread's writer or reader. The type is the method's own: the caller names it. */
  call<T>(method: string, ...args: unknown[]): Promise<T> {
    if (this.#dead !== null) return Promise.reject(this.#dead)
    const id = ++this.#lastId
    return new Promise<T>((resolve, reject) => {
      // The thread answers with what the method returned.
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject })
      this.#worker.postMessage({ id, method, args } satisfies Call)
    })
  }

  /** Answer what was asked, close the database and end the thread. Later calls return the same promise. */
  close(): Promise<void> {
    this.#closing ??= (this.#opened ? this.call('close') : Promise.resolve())
      .catch(() => {
        // It died: then there is nothing left to close.
      })
      .then(() => this.#worker.terminate())
      .then(() => {
        this.#die(new Error('The store is closed.'))
      })
    return this.#closing
  }

  #settle(answer: Answer): void {
    const waiting = this.#waiting.get(answer.id)
    this.#waiting.delete(answer.id)
    if ('error' in answer) waiting?.reject(revived(answer.error))
    else waiting?.resolve(answer.value)
  }

  #die(error: Error): Error {
    this.#dead ??= error
    for (const waiting of this.#waiting.values()) waiting.reject(this.#dead)
    this.#waiting.clear()
    return this.#dead
  }
}

function revived({ name, message }: { name: string; message: string }): Error {
  return name === 'StoreUnusableError' ? new StoreUnusableError(message) : new StoreError(message)
}
