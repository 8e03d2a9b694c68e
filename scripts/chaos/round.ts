import { setTimeout as sleep } from 'node:timers/promises'
import { ADMIN_KEY } from '../../test/support/process.ts'
import { Api } from './api.ts'
import { checkBatch } from './check.ts'
import { runClient } from './client.ts'
import { Fleet } from './fleet.ts'
import { Ledger } from './ledger.ts'
import { Origin } from './origin.ts'
import { Random } from './random.ts'
import { Single } from './single.ts'
import { Submissions } from './submissions.ts'
import type { Ends, Victim } from './victim.ts'

/** How hard a round is. */
export interface RoundOptions {
  seed: number
  /** Times the service is harmed, at least. */
  kills: number
  /** Replicas over a Redis; 0: one process over a directory of its own. */
  replicas?: number
  clients: number
  /** Batches of each client. */
  batches: number
  /** After this long a round that has not ended has failed. */
  timeoutMs: number
}

/** What came of a round. */
export interface RoundReport extends Ends {
  batches: number
  jobs: number
  /** Jobs that a crash cut off: those made again, and those that ended so. */
  repeated: number
  interrupted: number
  /** Jobs with more requests than attempts: a crash came before the record of a start. */
  unrecorded: number
  /** Acknowledged batches and jobs that are gone. */
  lost: number
  /** Lives in which a replica was too slow for its lease, and requests of the next owner overlapped with its own. */
  overlaps: number
  /** Keys with two batches, jobs that ran again though they must not. */
  doubled: number
  /** Everything that must not be, in words. */
  violations: string[]
}

/** The caps of the tenants. */
const CAPS: Readonly<Record<string, number>> = { acme: 4, globex: 2 }

/** One service with its clients, ended again and again at moments that the seed decides, then checked. */
export async function runRound(options: RoundOptions): Promise<RoundReport> {
  await using origin = await Origin.start()
  const round = new Round(options, origin)
  const notes = { ends: round.report, ledger: round.ledger, origin }
  const { replicas = 0 } = options
  await using victim = replicas > 0 ? new Fleet(notes, replicas) : new Single(notes)
  await round.run(victim)
  return round.report
}

class Round {
  readonly report: RoundReport = {
    batches: 0,
    jobs: 0,
    kills: 0,
    terms: 0,
    pauses: 0,
    redis: 0,
    repeated: 0,
    interrupted: 0,
    unrecorded: 0,
    lost: 0,
    overlaps: 0,
    doubled: 0,
    violations: [],
  }
  readonly #options: RoundOptions
  readonly #origin: Origin
  #victim!: Victim
  readonly #random: Random
  readonly ledger = new Ledger()
  readonly #over: AbortSignal
  readonly #tenants = new Map<string, { key: string; api: Api }>()

  constructor(options: RoundOptions, origin: Origin) {
    this.#options = options
    this.#origin = origin
    this.#random = new Random(options.seed)
    this.#over = AbortSignal.timeout(options.timeoutMs)
  }

  async run(victim: Victim): Promise<void> {
    this.#victim = victim
    try {
      await this.#victim.start()
      for (const [tenant, cap] of Object.entries(CAPS)) await this.#addTenant(tenant, cap)
      await Promise.all([this.#clients(), this.#havoc()])
      await this.#check()
    } catch (error) {
      this.ledger.fail(`the round broke off: ${error instanceof Error ? error.stack : error}`)
      await this.#tellUnfinished()
    }
    const { batches, repeated, interrupted, unrecorded, lost, doubled, violations } = this.ledger
    const jobs = batches.reduce((sum, batch) => sum + batch.jobs.size, 0)
    Object.assign(this.report, {
      batches: batches.length,
      jobs,
      repeated,
      interrupted,
      unrecorded,
      lost,
      doubled,
      violations,
    })
  }

  #api(key: string): Api {
    return new Api({ url: () => this.#victim.url, key, signal: this.#over })
  }

  async #addTenant(tenant: string, maxConcurrency: number): Promise<void> {
    const admin = this.#api(ADMIN_KEY)
    await admin.call('PUT', `/v1/admin/tenants/${tenant}`, { maxConcurrency })
    const { body } = await admin.call('POST', `/v1/admin/tenants/${tenant}/keys`, {})
    this.#tenants.set(tenant, { key: body.key, api: this.#api(body.key) })
  }

  async #clients(): Promise<void> {
    const tenants = [...this.#tenants]
    const clients = Array.from({ length: this.#options.clients }, (_, nth) => {
      const [tenant, { api }] = tenants[nth % tenants.length]
      const random = this.#random.fork()
      const submissions = new Submissions({ random: random.fork(), origin: this.#origin.url, tenant })
      const { batches } = this.#options
      return runClient({ name: `c${nth}`, tenant, api, random, submissions, ledger: this.ledger, batches })
    })
    await Promise.all(clients)
  }

  /** Does to the service what may be done to it. */
  async #havoc(): Promise<void> {
    const random = this.#random.fork()
    for (let nth = 0; nth < this.#options.kills; nth++) {
      await sleep(random.between(30, 900))
      await this.#victim.strike(random)
    }
  }

  /** What the batches that have not drained look like, when the round took too long. */
  async #tellUnfinished(): Promise<void> {
    this.ledger.violations.push(`the service said: ${this.#victim.said}`)
    for (const [tenant, { key }] of this.#tenants) {
      const api = new Api({ url: () => this.#victim.url, key, signal: AbortSignal.timeout(2_000) })
      for (const { id } of this.ledger.batches.filter((batch) => batch.tenant === tenant)) {
        const answer = await api.once('GET', `/v1/batches/${id}?include=jobs`).catch(() => null)
        if (answer?.body.drainedAt === null) this.ledger.fail(`has not drained: ${answer.text}`)
      }
    }
  }

  async #check(): Promise<void> {
    for (const batch of this.ledger.batches) {
      const api = this.#tenants.get(batch.tenant)?.api
      if (api !== undefined) await checkBatch(batch, api, this.ledger, this.#origin)
    }
    for (const tenant of Object.keys(CAPS)) {
      const { body } = (await this.#tenants.get(tenant)?.api.call('GET', '/v1/tenant')) ?? { body: null }
      // What is kept on disk stays until its retention is over.
      const { storedBytes: _kept, ...live } = body.usage
      const left = Object.values<number>(live).reduce((sum, each) => sum + each, 0)
      if (left > 0) this.ledger.fail(`${tenant} has ${JSON.stringify(body.usage)} left`)
    }
    await this.#victim.finish()
    this.#checkCaps()
  }

  /** Once all logs are read. */
  #checkCaps(): void {
    for (const [key, most] of this.#origin.most) {
      const [life, tenant] = key.split(' ')
      const cap = CAPS[tenant] ?? 0
      if (most <= cap) continue
      if (this.ledger.hasStalled(Number(life))) this.report.overlaps++
      else this.ledger.fail(`${most} requests of ${tenant} at once in life ${life}, ${cap} allowed`)
    }
  }
}
