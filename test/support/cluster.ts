import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import supertest from 'supertest'
import { expect } from 'vitest'
import type { TenantSettings } from '../../src/engine/engine.ts'
import { checkCap, checkLog } from '../service/check-log.ts'
import { type Origin, startOrigin } from './origin.ts'
import { ADMIN_KEY, type Exit, ServeProcess } from './process.ts'
import { RedisServer } from './redis.ts'
import { Caller } from './service.ts'

/** The lease of the replicas in tests, in milliseconds: long enough for a machine that is busy, and short enough to wait for. */
export const LEASE_MS = 1_500

/** What a cluster of a test is made of. */
export interface ClusterOptions {
  replicas?: number
  leaseMs?: number
  /** Settings of every replica. */
  env?: Record<string, string>
}

/** Replicas in processes of their own, over one redis-server that keeps what it is given. */
export class Cluster implements AsyncDisposable {
  readonly redis: RedisServer
  readonly origin: Origin
  readonly nodes: Node[] = []
  readonly leaseMs: number
  readonly #client: Redis
  readonly #tenants = new Map<string, Tenant>()

  private constructor(redis: RedisServer, origin: Origin, options: ClusterOptions) {
    this.redis = redis
    this.origin = origin
    this.leaseMs = options.leaseMs ?? LEASE_MS
    this.#client = redis.client({ maxRetriesPerRequest: 50 })
  }

  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const [redis, origin] = await Promise.all([RedisServer.start({ appendOnly: true }), startOrigin()])
    const cluster = new Cluster(redis, origin, options)
    const wires = await Promise.all(Array.from({ length: options.replicas ?? 3 }, () => Wire.to(redis.port)))
    const env = { GATHERD_LEASE_MS: String(cluster.leaseMs), GATHERD_LOG_LEVEL: 'info', ...options.env }
    cluster.nodes.push(...wires.map((wire) => new Node(wire, env)))
    await Promise.all(cluster.nodes.map((node) => node.start()))
    return cluster
  }

  /** A new tenant, made at the first replica that runs. */
  async tenant(name: string, settings: TenantSettings = {}): Promise<Tenant> {
    const { admin } = this.running[0]
    const { status } = await admin.put(`/v1/admin/tenants/${name}`).send(settings)
    expect(status).toBe(201)
    const { body } = await admin.post(`/v1/admin/tenants/${name}/keys`).send({}).expect(201)
    const tenant = new Tenant(name, body.key, this.nodes)
    this.#tenants.set(name, tenant)
    return tenant
  }

  /** Resolves when each replica that runs has its lease and its way to Redis. */
  async whenReady(): Promise<void> {
    await Promise.all(this.running.map((node) => node.readyIs(200)))
  }

  get running(): Node[] {
    return this.nodes.filter((node) => node.runs)
  }

  /** The replica that owns a tenant. Waits until one that runs does. */
  async owner(tenant: string): Promise<Node> {
    for (;;) {
      const id = await this.#client.get(`gatherd:{${tenant}}:owner`)
      const node = this.running.find(({ replicaId }) => id !== null && id !== '' && replicaId === id)
      if (node !== undefined) return node
      await sleep(10)
    }
  }

  /** Replicas that run and do not own a tenant. */
  async others(tenant: string): Promise<Node[]> {
    const owner = await this.owner(tenant)
    return this.running.filter((node) => node !== owner)
  }

  /** Make one replica the owner, by asking it first. */
  async settle(tenant: Tenant, node: Node): Promise<void> {
    const { id } = await tenant.at(node).submit({ jobs: [{ kind: 'sleep', durationMs: 0 }] })
    await tenant.at(node).drained(id)
    expect(await this.owner(tenant.name)).toBe(node)
  }

  /** Start again what a test has ended, end all work, and hold every log against the invariants. */
  async mend(): Promise<void> {
    if (!this.redis.runs) await this.redis.start()
    await Promise.all(this.nodes.filter((node) => !node.runs).map((node) => node.start()))
    await this.whenReady()
    for (const tenant of this.#tenants.values()) await tenant.check(this.nodes[0])
    this.#tenants.clear()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node[Symbol.asyncDispose]()))
    await this.origin[Symbol.asyncDispose]()
    await this.redis[Symbol.asyncDispose]()
  }
}

/** A replica: one process after the other, each with the same way to Redis. */
export class Node implements AsyncDisposable {
  /** Its way to Redis. */
  readonly wire: Wire
  url = ''
  readonly #env: Record<string, string>
  #process: ServeProcess | null = null

  constructor(wire: Wire, env: Record<string, string>) {
    this.wire = wire
    this.#env = env
  }

  /** The newest process. */
  get process(): ServeProcess {
    if (this.#process === null) throw new Error('It has not been started.')
    return this.#process
  }

  get runs(): boolean {
    return this.#process !== null
  }

  /** The id under which it is among the others now, or was last. */
  get replicaId(): string | undefined {
    return [...this.process.stdout.matchAll(/"replicaId":"([^"]+)".*"joined the cluster"/g)].at(-1)?.[1]
  }

  /** Requests with the operator's key. */
  get admin() {
    return supertest.agent(this.url).set('authorization', `Bearer ${ADMIN_KEY}`)
  }

  /** Requests without a key. */
  get anybody() {
    return supertest.agent(this.url)
  }

  async start(env: Record<string, string> = {}): Promise<void> {
    this.#process = new ServeProcess(':memory:', {
      ...this.#env,
      GATHERD_REDIS_URL: `redis://127.0.0.1:${this.wire.port}`,
      ...env,
    })
    this.url = await this.#process.listening
  }

  /** Send a signal, and wait for the end. */
  async end(signal: NodeJS.Signals): Promise<Exit> {
    const { process } = this
    this.#process = null
    return await process.end(signal)
  }

  /** Wait until it has said something in its log. */
  async said(text: string): Promise<void> {
    while (!this.process.stdout.includes(text)) await sleep(5)
  }

  /** Wait until `/readyz` answers with a status. */
  async readyIs(status: number): Promise<void> {
    while ((await this.anybody.get('/readyz')).status !== status) await sleep(20)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process !== null) await this.end('SIGKILL')
    await this.wire[Symbol.asyncDispose]()
  }
}

/** A tenant, that may ask any replica. */
export class Tenant {
  readonly name: string
  readonly key: string
  readonly #callers = new Map<string, Caller>()
  readonly #nodes: readonly Node[]

  constructor(name: string, key: string, nodes: readonly Node[]) {
    this.name = name
    this.key = key
    this.#nodes = nodes
  }

  /** The tenant as one replica sees it. */
  at(node: Node | number): Caller {
    const { url } = typeof node === 'number' ? this.#nodes[node] : node
    const caller = this.#callers.get(url) ?? new Caller({ name: this.name, key: this.key, url })
    this.#callers.set(url, caller)
    return caller
  }

  /** All batches that it submitted anywhere. */
  get submitted(): { id: string; shielded: Set<number> }[] {
    return [...this.#callers.values()].flatMap(({ submitted }) => submitted)
  }

  /** End all that it has, and hold every log against the invariants. */
  async check(node: Node): Promise<void> {
    const caller = this.at(node)
    for (const { id, shielded } of this.submitted) {
      const { batch, jobs, events } = await caller.ended(id)
      checkLog(events, batch, jobs, shielded, { restarts: true })
      if (batch.maxConcurrency !== null) checkCap([events], batch.maxConcurrency)
    }
  }
}

/** A way to Redis that can be cut in two ways: the connections are reset, or nothing comes through. */
export class Wire implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #state: 'open' | 'reset' | 'silent' = 'open'

  private constructor(to: number) {
    this.#server = createServer((near) => this.#relay(near, to))
  }

  static async to(port: number): Promise<Wire> {
    const wire = new Wire(port)
    await once(wire.#server.listen(0, '127.0.0.1'), 'listening')
    return wire
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  /** Reset all connections and every new one. */
  reset(): void {
    this.#state = 'reset'
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  /** Let nothing through, and keep all connections open. */
  silence(): void {
    this.#state = 'silent'
  }

  /** Everything as before; connections on which something was lost are cut. */
  mend(): void {
    if (this.#state === 'silent') for (const socket of this.#sockets) socket.destroy()
    this.#state = 'open'
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #relay(near: Socket, to: number): void {
    if (this.#state === 'reset') return void near.resetAndDestroy()
    const far = connect(to, '127.0.0.1')
    for (const [one, other] of [
      [near, far],
      [far, near],
    ]) {
      this.#sockets.add(one)
      one.on('error', () => undefined)
      one.on('data', (chunk) => void (this.#state === 'open' && other.write(chunk)))
      one.on('close', () => {
        this.#sockets.delete(one)
        other.destroy()
      })
    }
  }
}
