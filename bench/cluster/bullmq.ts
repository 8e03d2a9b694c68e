import { type ChildProcess, fork } from 'node:child_process'
import { cpuMs } from '../machine/proc.ts'
import { ended } from '../machine/service.ts'
import { type BenchRedis, startRedis } from './redis.ts'
import type { Job, Shape, System } from './system.ts'

/** How BullMQ's jobs are taken: a stock `Worker` a tenant, or `getNextJob` round a ring of tenants. */
export type Pattern = 'workers' | 'ring'

/** The channel on which the ring hears which tenant, by its number, was given jobs. */
export const WAKE = 'wake'

/** What the processes are told, and say. */
export type Told = { type: 'add'; job: Job; count: number; tenants: number } | { type: 'run' } | { type: 'pause' }
export type Said = { type: 'ready' } | { type: 'added' } | { type: 'ended'; count: number }

/** Plain BullMQ: a queue a tenant with its `setGlobalConcurrency`, a process that adds, and processes that work. */
export class BullMq implements System {
  readonly redis: BenchRedis
  readonly #tenants: number
  readonly #producer: ChildProcess
  readonly #workers: readonly ChildProcess[]
  readonly #ended = new Map<ChildProcess, number>()
  #added = 0
  #onEnded: () => void = () => undefined

  private constructor(parts: {
    redis: BenchRedis
    tenants: number
    producer: ChildProcess
    workers: readonly ChildProcess[]
  }) {
    this.redis = parts.redis
    this.#tenants = parts.tenants
    this.#producer = parts.producer
    this.#workers = parts.workers
    for (const worker of parts.workers)
      worker.on('message', (said: Said) => {
        if (said.type !== 'ended') return
        this.#ended.set(worker, said.count)
        this.#onEnded()
      })
  }

  static async start({ processes, tenants, cap }: Shape, pattern: Pattern): Promise<BullMq> {
    const redis = await startRedis()
    const producer = await child('producer', redis.url, tenants, cap, pattern)
    const starts = Array.from({ length: processes }, () => child('worker', redis.url, tenants, cap, pattern))
    return new BullMq({ redis, tenants, producer, workers: await Promise.all(starts) })
  }

  cpuMs(): number {
    return [this.#producer, ...this.#workers].reduce((sum, { pid }) => sum + cpuMs(pid), 0)
  }

  async run(job: Job, count: number): Promise<void> {
    await this.resume()
    await this.#add(job, count, this.#tenants)
    await this.drained()
  }

  async pause(): Promise<void> {
    for (const worker of this.#workers) await asked(worker, { type: 'pause' }, 'ready')
  }

  async rest(): Promise<void> {
    await this.pause()
  }

  async resume(): Promise<void> {
    for (const worker of this.#workers) worker.send({ type: 'run' })
  }

  enqueue(job: Job, count: number): Promise<void> {
    return this.#add(job, count, 1)
  }

  drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#onEnded = () => {
        const ended = [...this.#ended.values()].reduce((sum, count) => sum + count, 0)
        if (ended >= this.#added) resolve()
      }
      this.#onEnded()
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#producer, ...this.#workers].map((each) => ended(each, 'SIGKILL')))
    await this.redis[Symbol.asyncDispose]()
  }

  async #add(job: Job, count: number, tenants: number): Promise<void> {
    this.#added += count
    await asked(this.#producer, { type: 'add', job, count, tenants }, 'added')
  }
}

async function child(role: string, ...args: (string | number)[]): Promise<ChildProcess> {
  const started = fork(new URL(`../rivals/bullmq-${role}.ts`, import.meta.url).pathname, args.map(String))
  await said(started, 'ready')
  return started
}

function asked(to: ChildProcess, told: Told, type: Said['type']): Promise<void> {
  const answered = said(to, type)
  to.send(told)
  return answered
}

function said(by: ChildProcess, type: Said['type']): Promise<void> {
  return new Promise((resolve, reject) => {
    const exit = () => reject(new Error('a process of BullMQ ended'))
    by.once('exit', exit)
    by.on('message', function hear(message: Said) {
      if (message.type !== type) return
      by.off('message', hear)
      by.off('exit', exit)
      resolve()
    })
  })
}
