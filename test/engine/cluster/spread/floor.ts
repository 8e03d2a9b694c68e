import { expect } from 'vitest'
import { z } from 'zod'
import { type Clock, systemClock } from '../../../../src/clock.ts'
import { Replica } from '../../../../src/engine/cluster/replica.ts'
import type { Spread } from '../../../../src/engine/cluster/spread/spread.ts'
import type { BatchSubmission } from '../../../../src/engine/engine.ts'
import { LocalEngine } from '../../../../src/engine/local/engine.ts'
import type { AttemptContext, CommonSpec, JobKind } from '../../../../src/jobs/kind.ts'
import { sleepKind } from '../../../../src/jobs/sleep.ts'
import { Vault } from '../../../../src/secrets/vault.ts'
import { checkLog, type WireBatch, type WireEvent, type WireJob } from '../../../service/check-log.ts'
import { freshRedis } from '../../../support/redis.ts'
import { until } from '../support.ts'

/** One attempt that runs, or ran. */
export interface Work {
  /** Which replica, from 0. */
  at: number
  spec: WorkSpec
  context: AttemptContext
  running: boolean
  finish(value?: unknown): void
  fail(error: Error): void
}

/** A job that works until it is told to finish, or to stop. */
export interface WorkSpec extends CommonSpec {
  /** Ignores its abort. */
  deaf?: boolean
  /** Ends at once with a text of so many characters. */
  chars?: number
  secret?: string | null
}

/** The work of all replicas, seen from outside all of them. */
export class Floor {
  readonly works: Work[] = []
  /** The most that ever ran at once, by replica. */
  readonly most: number[] = []

  get running(): Work[] {
    return this.works.filter(({ running }) => running)
  }

  at(replica: number): Work[] {
    return this.running.filter(({ at }) => at === replica)
  }

  /** What runs not there where the first replica does. */
  get away(): Work[] {
    return this.running.filter(({ at }) => at > 0)
  }

  kind(at: number): JobKind<WorkSpec> {
    return {
      name: 'work',
      spec: z.strictObject({}),
      secrets: () => [['secret']],
      run: (spec, context) => this.#run(at, spec, context),
    }
  }

  #run(at: number, spec: WorkSpec, context: AttemptContext): Promise<unknown> {
    const done = Promise.withResolvers<unknown>()
    const { promise, resolve: finish, reject: fail } = done
    const work: Work = { at, spec, context, running: true, finish, fail }
    this.works.push(work)
    this.most[at] = Math.max(this.most[at] ?? 0, this.at(at).length)
    if (spec.chars !== undefined) finish('x'.repeat(spec.chars))
    if (!spec.deaf) context.signal.addEventListener('abort', () => fail(context.signal.reason))
    return promise.finally(() => {
      work.running = false
    })
  }
}

/** What a cluster of a test is made of. */
export interface ClusterOptions {
  replicas?: number
  slots?: number
  /** The cap of every tenant. */
  cap?: number
  leaseMs?: number
  /** More kinds, by replica. */
  kinds?: (at: number) => JobKind[]
  /** False: no attempt leaves its replica. */
  spread?: boolean
  clock?: Clock
}

const BATCH: Omit<BatchSubmission, 'jobs'> = {
  policy: 'all_settled',
  name: null,
  labels: {},
  timeoutMs: null,
  maxConcurrency: null,
  open: false,
  context: {},
  n: null,
  hedgeDelayMs: null,
}

/** Replicas of one process over one Redis, whose kinds work on one floor. */
export class SpreadCluster implements AsyncDisposable {
  readonly floor = new Floor()
  readonly replicas: Replica[] = []
  /** The engines that run what the replicas own. */
  readonly locals: LocalEngine[] = []
  readonly trouble: unknown[] = []
  readonly skews: number[] = []
  /** What the log would say of who has which tenant. */
  readonly told: [string, object][] = []
  /** True: connections are lost in this test, and that is trouble. */
  rough = false
  readonly url: string
  readonly #options: ClusterOptions
  readonly #submitted: { tenantId: string; id: string; shielded: Set<number> }[] = []
  readonly #gone = new Set<Replica>()

  private constructor(url: string, options: ClusterOptions) {
    this.url = url
    this.#options = options
  }

  static async start(options: ClusterOptions = {}): Promise<SpreadCluster> {
    const cluster = new SpreadCluster(await freshRedis(), options)
    for (let i = 0; i < (options.replicas ?? 3); i++) await cluster.add()
    return cluster
  }

  async add(own: Partial<ClusterOptions> = {}): Promise<Replica> {
    const {
      slots = 4,
      cap = 20,
      leaseMs = 1_500,
      kinds = () => [],
      spread = true,
      clock = systemClock,
    } = { ...this.#options, ...own }
    const at = this.replicas.length
    const all: JobKind[] = [this.floor.kind(at) as JobKind, sleepKind() as JobKind, ...kinds(at)]
    const note = (error: unknown) => this.trouble.push(error)
    const { locals } = this
    const replica = await Replica.start({
      url: this.url,
      leaseMs,
      clock,
      spread,
      events: {
        connection: () => undefined,
        joined: () => undefined,
        lost: () => undefined,
        stale: () => undefined,
        skewed: ({ ms }) => this.skews.push(ms),
        gone: (facts) => this.told.push(['gone', facts]),
        tookUp: (facts) => this.told.push([`${at} took up`, facts]),
        gaveUp: (facts) => this.told.push([`${at} gave up`, facts]),
        failed: note,
      },
      async local({ store, beforeStart, clock }) {
        locals[at] = new LocalEngine({
          store,
          beforeStart,
          vault: new Vault([Buffer.alloc(32, 'key')]),
          clock,
          kinds: new Map(all.map((kind) => [kind.name, kind])),
          maxConcurrency: slots,
          hostConcurrency: 0,
          tenantDefaults: {
            maxConcurrency: cap,
            maxQueuedJobs: 100_000,
            maxBatchJobs: 10_000,
            maxStoredBytes: null,
            weight: 1,
            rate: { jobsPerSecond: null, requestsPerMinute: null },
          },
          retentionMs: 86_400_000,
          durable: true,
          events: { stuck: note, commitFailed: note, retentionFailed: note, secretUnreadable: note },
        })
        return locals[at]
      },
    })
    await replica.begin()
    this.replicas.push(replica)
    return replica
  }

  spread(at: number): Spread {
    const { spread } = this.replicas[at]
    if (spread === null) throw new Error('It does not spread.')
    return spread
  }

  /** Submit to the first replica, whose tenant it is then. */
  async submit(
    jobs: Partial<WorkSpec & Record<string, unknown>>[],
    batch: Partial<BatchSubmission> & { tenantId?: string; at?: number } = {},
  ): Promise<string> {
    const { tenantId = 'acme', at = 0, ...own } = batch
    const specs = jobs.map((job) => ({ kind: 'work', ...job }))
    const { id } = await this.replicas[at].engine.submit(tenantId, { ...BATCH, ...own, jobs: specs })
    const shielded = new Set(specs.flatMap((spec, i) => (spec.shield ? [i] : [])))
    this.#submitted.push({ tenantId, id, shielded })
    return id
  }

  /** Resolves when so many attempts run, on all replicas. */
  async runs(count: number): Promise<Work[]> {
    await until(() => this.floor.running.length === count)
    return this.floor.running
  }

  /** All there is to read of a batch once it has drained. */
  async drained(id: string, tenantId = 'acme'): Promise<{ batch: WireBatch; jobs: WireJob[]; events: WireEvent[] }> {
    const { engine } = this.replicas.find((replica) => !this.#gone.has(replica)) ?? this.replicas[0]
    const events: WireEvent[] = []
    const stream = await engine.events(tenantId, id, { after: 0 })
    for await (const some of stream ?? []) for (const { json } of some) events.push(JSON.parse(json))
    const jobs: WireJob[] = []
    for await (const some of await engine.allJobs(tenantId, id)) jobs.push(...some.map((job) => JSON.parse(job)))
    // The same document that a route sends.
    return { batch: JSON.parse(JSON.stringify(await engine.batch(tenantId, id))), jobs, events }
  }

  /** Let everything end, and hold every log against the invariants. */
  async check(): Promise<void> {
    for (const { tenantId, id, shielded } of this.#submitted) {
      const { batch, jobs, events } = await this.drained(id, tenantId)
      checkLog(events, batch, jobs, shielded, { restarts: true })
    }
  }

  /** Its process is gone, as far as anybody can see: nothing comes from it any more. */
  async kill(at: number): Promise<void> {
    this.#gone.add(this.replicas[at])
    this.rough = true
    await this.replicas[at].connections.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const work of this.floor.running) work.finish()
    await Promise.all(this.replicas.map((replica) => replica.close().catch(() => undefined)))
    for (const work of this.floor.running) work.finish()
    if (!this.rough) expect(this.trouble).toEqual([])
  }
}
