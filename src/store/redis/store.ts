import { randomBytes } from 'node:crypto'
import type { Redis } from 'ioredis'
import { type Clock, systemClock, type TimerHandle } from '../../clock.ts'
import type { JobStateName } from '../../core/states.ts'
import type { JsonText } from '../../engine/engine.ts'
import { StoreError } from '../error.ts'
import type {
  BatchHistory,
  BatchNo,
  BatchRow,
  CommitGroup,
  JobPage,
  KeyRow,
  LogPage,
  Store,
  TenantRow,
} from '../store.ts'
import { Connection } from './connection.ts'
import { Directory } from './directory.ts'
import { BURY, Expiry } from './expiry.ts'
import { KEYS, tenantKey } from './keys.ts'
import { Numbers } from './numbers.ts'
import { Reader } from './reader.ts'
import { countOf, foreign, listOf, textOf, textOrNull, textsOf } from './replies.ts'
import { TenantMap } from './tenant-map.ts'
import { type OwnerProof, Writer } from './writer.ts'

export type { OwnerProof } from './writer.ts'

/** Between two tries to take back what was refused and may be on record. */
const TAKE_BACK_MS = 250

/** Tries before a tenant is given up all the same: Redis answers other calls, or the lease would be over. */
const TRIES = 20

/** Of the secret, in bytes. */
const SECRET_BYTES = 32

/**
 * The store in Redis 6.2 or later, or Valkey. Several processes can share it: what each writes for a tenant carries the proof that
 * the tenant is its own, and Redis itself refuses it when that is no longer so.
 */
export class RedisStore implements Store {
  readonly secret: Uint8Array
  readonly #connection: Connection
  readonly #tenants: TenantMap
  readonly #numbers: Numbers
  readonly #directory: Directory
  readonly #reader: Reader
  readonly #writer: Writer
  readonly #expiry: Expiry
  /** Tenants come and go: others may own them in between. */
  readonly #shared: boolean
  readonly #stored = new Map<string, number>()
  readonly #clock: Clock
  readonly #takeBack = () => void this.#inTurn(() => this.#writer.takeBackAll()).then(() => this.#takeBackSoon())
  #takingBack: TimerHandle | null = null
  #closed = false
  /** Settles when everything that was to be written is. */
  #written: Promise<unknown> = Promise.resolve()

  private constructor(options: {
    connection: Connection
    numbers: Numbers
    secret: Uint8Array
    owner: OwnerProof | null
    onStale: (tenantId: string) => void
    clock: Clock
  }) {
    const { connection, numbers, secret, owner, onStale } = options
    this.#clock = options.clock
    // Those that keep nothing are not remembered.
    const onBytes = (tenantId: string, bytes: number) =>
      void (bytes === 0 ? this.#stored.delete(tenantId) : this.#stored.set(tenantId, bytes))
    this.secret = secret
    this.#shared = owner !== null
    this.#connection = connection
    this.#numbers = numbers
    this.#tenants = new TenantMap(connection)
    this.#directory = new Directory(connection)
    this.#reader = new Reader(connection, this.#tenants)
    this.#writer = new Writer({ connection, tenants: this.#tenants, owner, onStale, onBytes })
    this.#expiry = new Expiry({ connection, onBytes })
    connection.redis.on('ready', this.#takeBack)
  }

  /**
   * Open the store of a Redis database.
   *
   * @param options.redis - Made by the caller, who closes it, and whose settings decide how long a call waits for Redis
   *   (`commandTimeout`, `maxRetriesPerRequest`).
   * @param options.owner - The proof under which this process writes for a tenant; absent: it writes for all of them, and
   *   alone.
   * @param options.onStale - Called, before the commit resolves, when something of a tenant was not written: the tenant has
   *   another owner, or its record is older than this process knows it.
   * @param options.clock - For when what was refused is taken back. Default: the system's.
   * @throws {StoreError} when Redis cannot be reached, or its database is another program's.
   */
  static async open(options: {
    redis: Redis
    owner?: OwnerProof
    onStale?: (tenantId: string) => void
    clock?: Clock
  }): Promise<RedisStore> {
    const { redis, owner = null, onStale = () => undefined, clock = systemClock } = options
    const connection = new Connection(redis)
    const [secret, numbers] = await Promise.all([readSecret(connection), Numbers.open(connection)])
    return new RedisStore({ connection, numbers, secret, owner, onStale, clock })
  }

  get lastBatchNo(): BatchNo {
    return this.#numbers.last
  }

  nextBatchNo(): BatchNo {
    return this.#numbers.next()
  }

  async commit(group: CommitGroup): Promise<void> {
    this.#connection.assertOpen()
    await this.#inTurn(() => this.#writer.commit(group)).finally(() => this.#takeBackSoon())
  }

  /**
   * A tenant is about to be given up: take back what was refused of it, which its next owner would run. Resolves when that is done, or
   * was tried often.
   */
  async makeCertain(tenantId: string): Promise<void> {
    for (let left = TRIES; left > 0 && this.#writer.hasUncertain(tenantId); left--)
      await this.#makeCertain(tenantId).catch(() => new Promise<void>((go) => this.#clock.after(TAKE_BACK_MS, go)))
  }

  /** A tenant is about to be taken up: what this process has refused of it before may have been accepted by another since. */
  leaveBe(tenantId: string): void {
    this.#writer.leaveBe(tenantId)
  }

  storedBytes(tenantId: string): number {
    return this.#stored.get(tenantId) ?? 0
  }

  tenants(): Promise<TenantRow[]> {
    return this.#directory.tenants()
  }

  keys(): Promise<KeyRow[]> {
    return this.#directory.keys()
  }

  hadKeys(): Promise<boolean> {
    return this.#directory.hadKeys()
  }

  putTenant(row: TenantRow): Promise<void> {
    return this.#directory.putTenant(row)
  }

  putKey(row: KeyRow): Promise<void> {
    return this.#directory.putKey(row)
  }

  putFirstKey(row: KeyRow): Promise<boolean> {
    return this.#directory.putFirstKey(row)
  }

  /** The mark of the key that secrets are sealed with; null: of none yet. */
  keyMark(): Promise<string | null> {
    return this.#directory.keyMark()
  }

  putKeyMark(mark: string): Promise<void> {
    return this.#directory.putKeyMark(mark)
  }

  async idempotent(tenantId: string, key: string): Promise<{ hash: string; answer: string } | null> {
    if (this.#writer.isUncertain(tenantId, { key })) await this.#makeCertain(tenantId)
    return await this.#reader.idempotent(tenantId, key)
  }

  async batch(tenantId: string, id: string): Promise<BatchRow | null> {
    if (this.#writer.isUncertain(tenantId, { id })) await this.#makeCertain(tenantId)
    return await this.#reader.batch(tenantId, id)
  }

  batches(query: Parameters<Store['batches']>[0]): Promise<BatchRow[]> {
    return this.#reader.batches(query)
  }

  job(no: BatchNo, index: number): Promise<JsonText | null> {
    return this.#reader.job(no, index)
  }

  jobs(no: BatchNo, query: { from: number; limit: number; states?: JobStateName[] }): Promise<JobPage> {
    return this.#reader.jobs(no, query)
  }

  async completions(no: BatchNo, query: { from: number; limit: number; state?: JobStateName }): Promise<JobPage> {
    const tenantId = await this.#tenants.of(no)
    return tenantId === null ? { data: [], next: null } : this.#reader.logs.completions(tenantId, no, query)
  }

  pending(no: BatchNo): Promise<number[]> {
    return this.#reader.pending(no)
  }

  async log(no: BatchNo, query: { after: number; limit: number; completionsOnly: boolean }): Promise<LogPage> {
    const tenantId = await this.#tenants.of(no)
    return tenantId === null ? { events: [], after: query.after } : this.#reader.logs.page(tenantId, no, query)
  }

  specs(no: BatchNo, query: { from: number; limit: number }): Promise<string[]> {
    return this.#reader.specs(no, query)
  }

  namesTaken(no: BatchNo, names: string[]): Promise<string[]> {
    return this.#reader.namesTaken(no, names)
  }

  wasDeleted(tenantId: string, id: string): Promise<boolean> {
    return this.#reader.wasDeleted(tenantId, id)
  }

  /** @throws {StoreError} when another process owns the tenant, too. */
  deleteTenant(tenantId: string, lastNo: BatchNo): Promise<void> {
    return this.#inTurn(async () => {
      const proof = this.#writer.proofOf(tenantId)
      const args = [proof ?? '', lastNo]
      const said = proof === null ? ['stale'] : await this.#connection.run(BURY, [tenantKey(tenantId, 't')], args)
      if (textsOf(said, 'the answer of a script')[0] !== 'ok') {
        this.#writer.lose(tenantId)
        throw new StoreError(`Tenant ${tenantId} is another replica's now; nothing was deleted.`)
      }
      this.#stored.delete(tenantId)
      this.#tenants.dropTenant(tenantId)
      await this.#directory.removeTenant(tenantId)
    })
  }

  expire(step: Parameters<Store['expire']>[0]): Promise<number> {
    return this.#expiry.step(step)
  }

  async unfinished(tenantId?: string): Promise<BatchRow[]> {
    const tenants = tenantId === undefined ? await this.#reader.known() : [tenantId]
    // What was refused must not be taken up, unless others may have taken it up before.
    if (tenantId !== undefined && this.#shared) await this.#inTurn(async () => this.#writer.leaveBe(tenantId))
    else await this.#inTurn(() => this.#writer.takeBackAll())
    const rows: BatchRow[] = []
    for (const each of tenants) {
      await this.#know(each)
      rows.push(...(await this.#reader.unfinished(each)))
    }
    for (const row of rows) this.#tenants.keep(row.no, row.tenantId)
    return rows.sort((a, b) => a.no - b.no)
  }

  async history(no: BatchNo): Promise<BatchHistory> {
    const tenantId = await this.#tenants.of(no)
    if (tenantId === null) throw new StoreError(`There is no batch number ${no}.`)
    return this.#reader.histories.read(tenantId, no)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#takingBack?.cancel()
    this.#connection.redis.off('ready', this.#takeBack)
    await this.#inTurn(async () => this.#connection.close())
  }

  /** A connection can be there and Redis stand still, which then does what it was told. */
  #takeBackSoon(): void {
    if (this.#takingBack !== null || this.#closed || !this.#writer.hasUncertain()) return
    this.#takingBack = this.#clock.after(TAKE_BACK_MS, () => {
      this.#takingBack = null
      this.#takeBack()
    })
  }

  /** What was refused is not shown to whoever asks whether it was accepted. */
  #makeCertain(tenantId: string): Promise<void> {
    return this.#inTurn(() => this.#writer.takeBack(tenantId))
  }

  /** Read what a tenant keeps, and give only numbers above all that it had. */
  async #know(tenantId: string): Promise<void> {
    const key = tenantKey(tenantId, 't')
    const facts = listOf(await this.#connection.call('HMGET', key, 'no', 'grave', 'bytes'), key)
    const [no, grave, bytes] = facts.map((fact) => countOf(textOrNull(fact, key) ?? '0', key))
    this.#stored.set(tenantId, bytes)
    await this.#numbers.goAbove(Math.max(no, grave))
  }

  /** Writes go one by one, in the order in which they were asked for. */
  #inTurn<T>(write: () => Promise<T>): Promise<T> {
    const done = this.#written.then(write)
    this.#written = done.catch(() => undefined)
    return done
  }
}

/** The store's own secret, made by whoever is first. */
async function readSecret(connection: Connection): Promise<Uint8Array> {
  await connection.call('SET', KEYS.secret, randomBytes(SECRET_BYTES).toString('hex'), 'NX')
  const text = textOf(await connection.call('GET', KEYS.secret), KEYS.secret)
  if (!new RegExp(`^[0-9a-f]{${2 * SECRET_BYTES}}$`).test(text)) throw foreign(KEYS.secret)
  return Buffer.from(text, 'hex')
}
