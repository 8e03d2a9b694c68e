import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import supertest from 'supertest'
import { expect } from 'vitest'
import { type WireEvent as LoggedEvent, Replay } from '../../scripts/chaos/replay.ts'
import { type Clock, systemClock } from '../../src/clock.ts'
import { type Config, readConfig } from '../../src/config.ts'
import type { TenantSettings } from '../../src/engine/engine.ts'
import { buildLogger } from '../../src/log.ts'
import { type Service, wire } from '../../src/wiring.ts'
import { type Origin, startOrigin } from '../support/origin.ts'
import { ADMIN_KEY, Caller, type Drained, LOOPBACK } from '../support/service.ts'

/** The files of a store that a crash leaves behind, in the order in which they can be copied under a running writer. */
const FILES = ['gatherd.db', 'gatherd.db-wal', 'gatherd.key'] as const

/** What a service that is opened again is told. */
export interface ReopenOptions extends Partial<Config> {
  /** How long it was down: its clock is that much ahead of ours. */
  downMs?: number
}

/** A service with a store on disk that crashes and comes back, all in this process, and the origin of its fetches. */
export async function startReopenable(config: Partial<Config> = {}): Promise<Reopenable> {
  const reopenable = new Reopenable(config, await startOrigin())
  await reopenable.open()
  await reopenable.addTenant('acme')
  return reopenable
}

/** See {@link startReopenable}. */
export class Reopenable implements AsyncDisposable {
  readonly origin: Origin
  /** Where the store is now. */
  dataDir = newDir()
  readonly #config: Partial<Config>
  readonly #dirs = [this.dataDir]
  readonly #keys = new Map<string, string>()
  #service: Service | null = null
  #url = ''
  #aheadMs = 0

  constructor(config: Partial<Config>, origin: Origin) {
    this.#config = config
    this.origin = origin
  }

  /** The caller of most tests, at the service that runs now. */
  get me(): Caller {
    return this.as('acme')
  }

  as(name: string): Caller {
    return new Caller({ name, key: this.#keys.get(name) ?? '', url: this.#url })
  }

  get admin() {
    return supertest.agent(this.#url).set('authorization', `Bearer ${ADMIN_KEY}`)
  }

  /** `fetch` of the origin. */
  fetch(path: string, more: Record<string, unknown> = {}): Record<string, unknown> {
    return { kind: 'fetch', url: this.origin.url(path), ...more }
  }

  async addTenant(name: string, settings: TenantSettings = {}): Promise<void> {
    await this.admin.put(`/v1/admin/tenants/${name}`).send(settings).expect(201)
    const { body } = await this.admin.post(`/v1/admin/tenants/${name}/keys`).send({}).expect(201)
    this.#keys.set(name, body.key)
  }

  /** As after `kill -9`: the next service finds what was on disk at this moment, and nothing that came after. */
  async crash({ downMs = 0, ...config }: ReopenOptions = {}): Promise<void> {
    this.#aheadMs += downMs
    await this.moveTo(this.image(), config)
  }

  /** A directory with what a crash at this moment would leave; of `from`, another such directory, if that is given. */
  image(from = this.dataDir): string {
    const image = newDir()
    this.#dirs.push(image)
    for (const file of FILES) if (existsSync(join(from, file))) copyFileSync(join(from, file), join(image, file))
    return image
  }

  /** End this service, without a trace in `dataDir`, and open another one there. */
  async moveTo(dataDir: string, config: Partial<Config> = {}): Promise<void> {
    await this.#service?.close()
    this.dataDir = dataDir
    await this.open(config)
  }

  /** As after SIGTERM and a start. */
  async stopAndStart({ graceMs = 0, downMs = 0 }: { graceMs?: number; downMs?: number } = {}): Promise<void> {
    await this.#service?.engine.drain(graceMs)
    await this.#service?.close()
    this.#aheadMs += downMs
    await this.open()
  }

  async open(config: Partial<Config> = {}): Promise<void> {
    const aheadMs = this.#aheadMs
    const clock: Clock = { now: () => systemClock.now() + aheadMs, after: systemClock.after }
    const service = await wire(
      {
        ...readConfig({
          GATHERD_ADMIN_KEY: ADMIN_KEY,
          GATHERD_DATA_DIR: this.dataDir,
          GATHERD_EGRESS_ALLOW: LOOPBACK,
        }),
        ...this.#config,
        ...config,
      },
      { clock, logger: buildLogger({ level: 'error', destination: refusing() }), version: '0.0.0-test', onFatal },
    )
    this.#service = service
    this.#url = await service.app.listen({ host: '127.0.0.1', port: 0 })
  }

  /** Everything about a batch once it has drained, its log held against the invariants and its views. */
  async drained(id: string, shielded: number[] = []): Promise<Drained> {
    const drained = await this.me.drained(id)
    const { batch, jobs, events } = drained
    // The log as it came over the wire: every event of it has a number and a stamp.
    const replay = new Replay(events as LoggedEvent[], (index) => shielded.includes(index))
    expect(replay.problems).toEqual([])
    expect(replay.counts).toEqual(batch.counts)
    expect(replay.jobs.map(({ state, attempts, cause }) => ({ state, attempts, cause }))).toEqual(
      jobs.map(({ state, attempts, cause }) => ({ state, attempts, cause })),
    )
    // semantics.md 2: startedAt is null exactly when no byte can have reached the target.
    expect(jobs.map(({ startedAt }) => startedAt !== null)).toEqual(replay.jobs.map(({ attempts }) => attempts > 0))
    return drained
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#service?.close()
    await this.origin[Symbol.asyncDispose]()
    for (const dir of this.#dirs) rmSync(dir, { recursive: true, force: true })
  }
}

function newDir(): string {
  return mkdtempSync(join(tmpdir(), 'gatherd-reopen-'))
}

function refusing(): Writable {
  return new Writable({
    write(chunk) {
      throw new Error(`The service logged an error: ${chunk}`)
    },
  })
}

function onFatal(error: Error): void {
  throw error
}
