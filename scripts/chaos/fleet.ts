import { setTimeout as sleep } from 'node:timers/promises'
import { ServeProcess } from '../../test/support/process.ts'
import { RedisServer } from '../../test/support/redis.ts'
import type { Random } from './random.ts'
import { type Notes, nextLife, noteEnd, type Victim } from './victim.ts'

/** Short, so that a round sees many owners; long enough that a busy machine is not taken for a dead one all the time. */
const LEASE_MS = 1_000

/** What a replica that was told to go on may still have had in its sockets when it was stopped. */
const SETTLE_MS = 30

/** What it may say at level error: Redis is away, and it tries again. */
const EXPECTED = /will be tried again/

/** Replicas over a Redis that keeps what it is given; each is ended, stopped for a while, or cut off with its Redis. */
export class Fleet implements Victim, AsyncDisposable {
  readonly #notes: Notes
  readonly #count: number
  readonly #replicas = new Map<number, { process: ServeProcess; url: string }>()
  #redis: RedisServer | null = null
  /** When losing a lease is nobody's fault but ours: from when to when, and of which process; null: of all. */
  readonly #ours: { from: number; to: number; pid: number | null }[] = []
  #asked = 0
  #past = ''

  constructor(notes: Notes, count: number) {
    this.#notes = notes
    this.#count = count
    notes.ledger.moves = true
  }

  /** Of the replicas that listen one after the other; a request to one that stands still waits until it goes on. */
  get url(): string {
    const urls = [...this.#replicas.values()].map(({ url }) => url)
    return urls[this.#asked++ % urls.length] ?? ''
  }

  get said(): string {
    const outputs = [...this.#replicas.values()].map(({ process }) =>
      `${process.stdout}${process.stderr}`.slice(-2_000),
    )
    return [this.#past.slice(-4_000), ...outputs].join('\n---\n')
  }

  async start(): Promise<void> {
    this.#redis = await RedisServer.start({ appendOnly: true })
    await Promise.all(Array.from({ length: this.#count }, (_, nth) => this.#launch(nth)))
  }

  async strike(random: Random): Promise<void> {
    const nth = random.between(0, this.#count - 1)
    if (random.chance(0.12)) return await this.#restartRedis(random)
    if (random.chance(0.25)) return await this.#pause(nth, random)
    await this.#end(nth, random)
    await this.#launch(nth)
  }

  async finish(): Promise<void> {
    for (const { process } of this.#replicas.values()) {
      const { status } = await process.end('SIGTERM')
      if (status !== 0) this.#notes.ledger.fail(`a replica ended with ${status} at SIGTERM: ${this.said}`)
      this.#judge(process)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#replicas.values()].map(({ process }) => process.end('SIGKILL')))
    await this.#redis?.[Symbol.asyncDispose]()
  }

  async #launch(nth: number): Promise<void> {
    const process = new ServeProcess(':memory:', {
      GATHERD_REDIS_URL: this.#redis?.url ?? '',
      GATHERD_LEASE_MS: String(LEASE_MS),
      GATHERD_DRAIN_GRACE_MS: '300',
    })
    this.#replicas.set(nth, { process, url: await process.listening })
  }

  async #end(nth: number, random: Random): Promise<void> {
    const { process } = this.#replicas.get(nth) ?? {}
    if (process === undefined) return
    if (this.#replicas.size > 1) this.#replicas.delete(nth)
    if (random.chance(0.55)) process.signal('SIGKILL')
    else process.signal('SIGTERM')
    await sleep(SETTLE_MS)
    nextLife(this.#notes)
    if (random.chance(0.2)) process.signal('SIGKILL')
    const exit = await process.exited
    noteEnd(this.#notes, exit, `${process.stdout}${process.stderr}`)
    this.#judge(process)
  }

  /** Stopped for up to two leases: sometimes its tenants are others' when it goes on, and sometimes not. */
  async #pause(nth: number, random: Random): Promise<void> {
    const { process } = this.#replicas.get(nth) ?? {}
    const from = Date.now()
    process?.signal('SIGSTOP')
    await sleep(SETTLE_MS)
    nextLife(this.#notes)
    await sleep(random.between(0, 2 * LEASE_MS))
    nextLife(this.#notes)
    process?.signal('SIGCONT')
    this.#ours.push({ from, to: Date.now() + LEASE_MS, pid: process?.pid ?? null })
    this.#notes.ends.pauses++
    await sleep(SETTLE_MS)
  }

  async #restartRedis(random: Random): Promise<void> {
    const from = Date.now()
    await this.#redis?.kill()
    await sleep(random.between(0, 2 * LEASE_MS))
    nextLife(this.#notes)
    await this.#redis?.start()
    this.#ours.push({ from, to: Date.now() + 2 * LEASE_MS, pid: null })
    this.#notes.ends.redis++
  }

  #judge({ stdout, stderr, pid }: ServeProcess): void {
    for (const at of lossesIn(stdout))
      if (!this.#ours.some((each) => at >= each.from && at <= each.to && (each.pid ?? pid) === pid))
        this.#notes.ledger.stalls.push(at)
    this.#past += `${stdout}${stderr}`.slice(-2_000)
    const errors = stdout.split('\n').filter((line) => /"level":(50|60)/.test(line) && !EXPECTED.test(line))
    for (const error of errors) this.#notes.ledger.fail(`a replica logged: ${error}`)
  }
}

/** When a replica has said that its lease was lost. */
function lossesIn(stdout: string): number[] {
  const lines = stdout.split('\n').filter((line) => line.includes('"the lease is lost'))
  return lines.map((line) => new Date(JSON.parse(line).time).getTime())
}
