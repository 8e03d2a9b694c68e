import { setTimeout as sleep } from 'node:timers/promises'
import { untilDrained } from '../machine/batches.ts'
import { call } from '../machine/service.ts'
import type { Caller } from '../machine/tenants.ts'
import { follow } from './follow.ts'
import { fateOf, JOBS, jobsOf } from './mix.ts'

/** More batches than this are not under way at once: a service that cannot keep up is told of, not buried. */
const MOST = 400

/** What the load has come to. */
export interface Tally {
  /** Jobs that were accepted. */
  jobs: number
  /** Batches that were due while too many were under way. */
  heldBack: number
  reconnects: number
  gaps: number
  /** What went wrong, and how often. */
  errors: Map<string, number>
}

/** Mixed batches at a rate, or as many as the service takes. */
export class Load {
  readonly tally: Tally = { jobs: 0, heldBack: 0, reconnects: 0, gaps: 0, errors: new Map() }
  readonly #caller: Caller
  readonly #url: string
  readonly #under = new Set<Promise<void>>()
  #batches = 0

  constructor(caller: Caller, url: string) {
    this.#caller = caller
    this.#url = url
  }

  /** Jobs per second that the service takes when `clients` wait for each batch before they submit the next. */
  async capacity(clients: number, ms: number): Promise<number> {
    const [began, before] = [performance.now(), this.tally.jobs]
    const client = async () => {
      while (performance.now() - began < ms) await this.#one()
    }
    await Promise.all(Array.from({ length: clients }, client))
    return ((this.tally.jobs - before) / (performance.now() - began)) * 1_000
  }

  /** Submit so many jobs a second, whatever becomes of them, until it is told to stop; resolves when all have ended. */
  async run(jobsPerSecond: number, signal: AbortSignal): Promise<void> {
    const began = performance.now()
    for (let due = 1; !signal.aborted; due++) {
      if (this.#under.size < MOST) this.#start()
      else this.tally.heldBack++
      await sleep(Math.max(0, began + ((due * JOBS) / jobsPerSecond) * 1_000 - performance.now()))
    }
    await Promise.all(this.#under)
  }

  #start(): void {
    const one = this.#one().finally(() => this.#under.delete(one))
    this.#under.add(one)
  }

  async #one(): Promise<void> {
    try {
      await this.#batch(this.#batches++)
    } catch (error) {
      const text = String(error).slice(0, 120)
      this.tally.errors.set(text, (this.tally.errors.get(text) ?? 0) + 1)
      // Whoever is refused waits a little.
      await sleep(100)
    }
  }

  async #batch(number: number): Promise<void> {
    // The service answers a submission with the batch.
    const { id } = (await call(this.#caller, 'POST', '/v1/batches', { jobs: jobsOf(this.#url) })) as { id: string }
    this.tally.jobs += JOBS
    const fate = fateOf(number)
    if (fate === 'follow') return this.#follow(id)
    if (fate === 'cancel') {
      await sleep(20)
      await call(this.#caller, 'POST', `/v1/batches/${id}/cancel`)
    }
    await untilDrained(this.#caller, id)
  }

  async #follow(id: string): Promise<void> {
    const { gaps, connections } = await follow(this.#caller, id, 40)
    this.tally.gaps += gaps
    this.tally.reconnects += connections - 1
  }
}
