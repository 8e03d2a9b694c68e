import type { AddressInfo } from 'node:net'
import { Writable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import supertest from 'supertest'
import { z } from 'zod'
import { buildApp } from '../../src/app.ts'
import { KeyRing } from '../../src/auth/keyring.ts'
import { type Clock, systemClock } from '../../src/clock.ts'
import { type Config, readConfig } from '../../src/config.ts'
import { listen } from '../../src/http/listen.ts'
import type { RequestTraces } from '../../src/http/traces.ts'
import type { JobKind } from '../../src/jobs/kind.ts'
import { buildLogger } from '../../src/log.ts'
import { logRefusals } from '../../src/refusals.ts'
import type { DirectoryStore, KeyRow, TenantRow } from '../../src/store/store.ts'
import { FakeEngine } from './fake-engine.ts'

/** The admin key of every service under test. */
export const ADMIN_KEY = 'admin-'.padEnd(40, 'k')

/** Two kinds that look like the real ones and do nothing. */
export const FAKE_KINDS: JobKind[] = [
  {
    name: 'fetch',
    description: 'One HTTP request.',
    spec: z.strictObject({
      url: z.string().max(8_192),
      method: z.enum(['GET', 'POST']).default('GET'),
      headers: z.record(z.string(), z.string().max(8_192)).optional(),
      body: z.string().max(1_048_576).optional(),
      json: z.unknown().optional(),
      okStatus: z.array(z.union([z.int().min(100).max(599), z.enum(['2xx', '3xx'])])).optional(),
    }),
    run: async () => null,
  },
  {
    name: 'sleep',
    spec: z.strictObject({ durationMs: z.int().min(0).max(2_592_000_000), result: z.unknown().optional() }),
    run: async () => null,
  },
]

/** A {@link DirectoryStore} that keeps its rows in memory. */
export class FakeDirectory implements DirectoryStore {
  readonly tenantRows = new Map<string, TenantRow>()
  readonly keyRows = new Map<string, KeyRow>()
  #hadKeys = false
  async tenants(): Promise<TenantRow[]> {
    return [...this.tenantRows.values()]
  }
  /** How often all keys were read. */
  reads = 0
  async keys(): Promise<KeyRow[]> {
    this.reads++
    return [...this.keyRows.values()]
  }
  async putTenant(row: TenantRow): Promise<void> {
    this.tenantRows.set(row.id, row)
  }
  async putKey(row: KeyRow): Promise<void> {
    this.keyRows.set(row.id, row)
    this.#hadKeys = true
  }
  async hadKeys(): Promise<boolean> {
    return this.#hadKeys
  }
  async putFirstKey(row: KeyRow): Promise<boolean> {
    if (this.#hadKeys) return false
    await this.putKey(row)
    return true
  }
  /** A tenant with its keys, as the engine has its store do it. */
  drop(tenantId: string): void {
    this.tenantRows.delete(tenantId)
    for (const { id } of [...this.keyRows.values()].filter((row) => row.tenantId === tenantId)) this.keyRows.delete(id)
  }
}

/** A clock that stands still until a test moves it. */
export class StillClock implements Clock {
  #now = Date.parse('2026-01-02T03:04:05.678Z')
  readonly #timers = new Set<{ at: number; fire: () => void }>()

  now(): number {
    return this.#now
  }

  after(delayMs: number, fire: () => void) {
    const timer = { at: this.#now + delayMs, fire }
    this.#timers.add(timer)
    return { cancel: () => void this.#timers.delete(timer) }
  }

  /** Timers that have neither fired nor been cancelled. */
  get armed(): number {
    return this.#timers.size
  }

  /** Let time pass, and fire what is due. */
  advance(ms: number): void {
    this.#now += ms
    for (const timer of [...this.#timers]) {
      if (timer.at > this.#now) continue
      this.#timers.delete(timer)
      timer.fire()
    }
  }
}

/** What a service under test may differ in. */
export interface FakeOptions {
  env?: Record<string, string>
  clock?: Clock
  kinds?: JobKind[]
  traces?: RequestTraces
}

/** The app on a free port over fakes, with the first tenant's key. Let it go with `await using`. */
export async function startFake({ env = {}, clock = systemClock, kinds = FAKE_KINDS, traces }: FakeOptions = {}) {
  const config: Config = readConfig({ GATHERD_ADMIN_KEY: ADMIN_KEY, ...env })
  const directory = new FakeDirectory()
  const keys = new KeyRing({ store: directory, clock, adminKey: config.adminKey, auth: config.auth })
  const key = (await keys.load()) ?? ''
  const engine = new FakeEngine()
  engine.onDelete = (id) => directory.drop(id)
  const log = new LogLines()
  const logger = buildLogger({ level: 'info', destination: log })
  const egressProblem = (list: string, entry: string) => (entry.includes('!') ? `${list} has ${entry}.` : undefined)
  const app = buildApp({
    engine,
    keys,
    directory,
    config,
    kinds,
    clock,
    egressProblem,
    logger,
    onRefused: logRefusals(logger),
    traces,
  })
  await listen(app, { port: Number(env.GATHERD_PORT ?? 0), host: config.host })
  return new FakeService(app, { engine, keys, directory, key, log })
}

/** A running service over fakes. */
export class FakeService {
  readonly app: FastifyInstance
  readonly engine: FakeEngine
  readonly keys: KeyRing
  readonly directory: FakeDirectory
  /** A good key of tenant `default`. */
  readonly key: string
  readonly log: LogLines
  constructor(app: FastifyInstance, parts: Pick<FakeService, 'engine' | 'keys' | 'directory' | 'key' | 'log'>) {
    this.app = app
    this.engine = parts.engine
    this.keys = parts.keys
    this.directory = parts.directory
    this.key = parts.key
    this.log = parts.log
  }

  get port(): number {
    // It listens on TCP, so its address is one.
    return (this.app.server.address() as AddressInfo).port
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Requests with the tenant's key. */
  get http() {
    return supertest.agent(this.origin).set('authorization', `Bearer ${this.key}`)
  }

  /** Requests with the admin key. */
  get admin() {
    return supertest.agent(this.origin).set('authorization', `Bearer ${ADMIN_KEY}`)
  }

  /** Requests without a key. */
  get anybody() {
    return supertest.agent(this.origin)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.app.close()
  }
}

/** A log kept as parsed lines. */
export class LogLines extends Writable {
  readonly lines: Record<string, unknown>[] = []
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    for (const line of chunk.toString().split('\n')) if (line) this.lines.push(JSON.parse(line))
    done()
  }
}
