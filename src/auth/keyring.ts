import { timingSafeEqual } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { InvalidArgumentError, NotFoundError, OverloadedError } from '../errors.ts'
import type { DirectoryStore, KeyRow, TenantRow } from '../store/store.ts'
import { bearerOf, digestOf, keyIdOf, newKey } from './key.ts'
import { type Session, Sessions } from './sessions.ts'

/** What a key may be used for. */
export type Scope = 'jobs' | 'admin'

/** Who calls: a tenant by one of its keys (null where none is needed), or the operator by the admin key. */
export type Caller =
  | { tenantId: string; scopes: readonly string[]; key: { id: string; expiresAt: number | null } | null }
  | 'admin'

/** The tenant of the first start, and of a service without authentication. */
export const DEFAULT_TENANT = 'default'

/** What a key is made with. */
export interface NewKey {
  tenantId: string
  name?: string | null
  /** Default `['jobs']`. */
  scopes?: readonly Scope[]
  /** Milliseconds since the epoch; null or absent: never. */
  expiresAt?: number | null
}

/** What a {@link KeyRing} is made of. */
export interface KeyRingOptions {
  store: DirectoryStore
  clock: Clock
  /** Absent: there is no admin. */
  adminKey?: string | undefined
  /** `off`: who sends no admin key is tenant {@link DEFAULT_TENANT}. */
  auth?: 'on' | 'off'
  /** Other processes make and revoke keys as well: one that is not known here may be good. Default false. */
  shared?: boolean
}

/** From one look for unknown keys in the store to the next: whoever makes keys up does not make it busy. */
const LOOK_EVERY_MS = 200

/** What is wrong with a key that could never be used. */
const PAST = { pointer: '/expiresAt', detail: 'Must be an instant that is still to come.' }

const NOT_ON_RECORD =
  'The key is useless here now, but the store could not write that down: a restart, or another replica, would let it in. Revoke it again.'

/** Compared with when there is no such key, so that an unknown id costs what a known one costs. */
const NOBODY = Buffer.alloc(32)

/** The API keys, found by id in memory, kept by the store as digests. */
export class KeyRing {
  /** The requests that its keys are good for. */
  readonly sessions: Sessions
  readonly #store: DirectoryStore
  readonly #clock: Clock
  readonly #admin: Buffer | null
  readonly #open: boolean
  readonly #shared: boolean
  readonly #keys = new Map<string, KeyRow>()
  /** Keys that were revoked here, and of which the store does not know it yet. */
  readonly #unrecorded = new Set<string>()
  /** There are keys, or were: this is no first start. */
  #hadKeys = false
  #lookedAt = Number.NEGATIVE_INFINITY
  /** The next look in the store, for all who ask before it begins. */
  #look: Promise<void> | null = null

  constructor({ store, clock, adminKey, auth = 'on', shared = false }: KeyRingOptions) {
    this.#shared = shared
    this.#store = store
    this.#clock = clock
    this.sessions = new Sessions({ clock })
    this.#admin = adminKey === undefined ? null : digestOf(adminKey)
    this.#open = auth === 'off'
  }

  /**
   * Read all keys. On a first start, which is one on a store that never had a key, makes tenant {@link DEFAULT_TENANT} with one.
   * An operator who deletes the last key, or that tenant, finds neither again.
   *
   * @param options.first - False: the key is made by a later call of `first`. Default true.
   * @returns The new key's text, to be printed once; null when there were keys, or none are needed.
   */
  async load({ first = true } = {}): Promise<string | null> {
    for (const row of await this.#store.keys()) this.#keys.set(row.id, row)
    this.#hadKeys = await this.#store.hadKeys()
    const tenants = await this.#store.tenants()
    if (!tenants.some(({ id }) => id === DEFAULT_TENANT) && (!this.#hadKeys || this.#open)) await this.#putDefault()
    return first ? await this.first() : null
  }

  /** Read all keys again: another process may have made or revoked some. What is revoked or gone ends the requests it was good for. */
  async reload(): Promise<void> {
    const before = [...this.#keys.keys()]
    const rows = new Map((await this.#store.keys()).map((row) => [row.id, row]))
    this.#hadKeys ||= rows.size > 0
    // What was made here since it was read is not gone, and what was revoked stays so.
    for (const id of before) if (!rows.has(id)) this.#end(id)
    for (const [id, row] of rows) {
      // Of what was revoked here, the request that asked for it is still to be answered.
      if ((this.#keys.get(id)?.revokedAt ?? null) !== null) continue
      this.#keys.set(id, row)
      if (row.revokedAt !== null) this.sessions.end(id)
    }
  }

  /**
   * Whether a header has what looks like a key of ours, and of which nothing is known here though another process may have made it.
   * Then {@link look} for it.
   */
  isUnheardOf(header: string | undefined): boolean {
    if (!this.#shared || this.#open) return false
    const id = keyIdOf(bearerOf(header))
    return id !== null && !this.#keys.has(id)
  }

  /** Read all keys again, once for all who ask at about the same time. @throws what the store says. */
  look(): Promise<void> {
    this.#look ??= this.#lookSoon()
    return this.#look
  }

  async #lookSoon(): Promise<void> {
    const waitMs = Math.max(0, this.#lookedAt + LOOK_EVERY_MS - this.#clock.now())
    await (waitMs === 0 ? null : new Promise<void>((resolve) => this.#clock.after(waitMs, resolve)))
    this.#lookedAt = this.#clock.now()
    // Who asks from now on may ask for what is made after this look.
    this.#look = null
    await this.reload()
  }

  #end(id: string): void {
    this.#keys.delete(id)
    this.#unrecorded.delete(id)
    this.sessions.end(id)
  }

  /** The text of the first key, made now; null when there are keys, or were, or none are needed. */
  async first(): Promise<string | null> {
    if (this.#open || this.#hadKeys) return null
    const { row, text } = this.#newKey({ tenantId: DEFAULT_TENANT, name: 'first' })
    // Another process may have made it meanwhile.
    const isFirst = await this.#store.putFirstKey(row)
    this.#hadKeys = true
    if (isFirst) this.#keys.set(row.id, row)
    return isFirst ? text : null
  }

  /** Make a key; resolves when it is on disk. Its `text` is not kept anywhere. @throws {InvalidArgumentError} when it would be expired already. */
  async create(key: NewKey): Promise<{ row: KeyRow; text: string }> {
    if (key.expiresAt != null && key.expiresAt <= this.#clock.now()) throw new InvalidArgumentError([PAST])
    const made = this.#newKey(key)
    await this.#put(made.row)
    return made
  }

  #newKey({ tenantId, name = null, scopes = ['jobs'], expiresAt = null }: NewKey): { row: KeyRow; text: string } {
    const { id, text } = newKey()
    const hash = digestOf(text).toString('hex')
    const createdAt = Math.floor(this.#clock.now())
    return { row: { id, tenantId, name, hash, scopes: [...scopes], createdAt, expiresAt, revokedAt: null }, text }
  }

  /** The keys of a tenant, oldest first, revoked and expired ones included. */
  list(tenantId: string): KeyRow[] {
    const rows = [...this.#keys.values()].filter((row) => row.tenantId === tenantId)
    return rows.sort((a, b) => a.createdAt - b.createdAt)
  }

  /** Whether no key is needed: then everybody is tenant {@link DEFAULT_TENANT}. */
  get isOpen(): boolean {
    return this.#open
  }

  /**
   * Make a key useless, at once and for good, for the requests under way too; resolves when that is on disk. May be called twice.
   *
   * @param by - A request that is answered all the same: the one that asks for this.
   * @throws {NotFoundError} when the tenant has no such key.
   * @throws {OverloadedError} when the store does not take it: the key is useless here and now; to be called again for the record.
   */
  async revoke(tenantId: string, keyId: string, by: Session | null = null): Promise<void> {
    this.disable(tenantId, keyId, by)
    await this.recordRevoked(keyId)
  }

  /** The part of {@link revoke} that waits for nothing. @throws {NotFoundError} */
  disable(tenantId: string, keyId: string, by: Session | null = null): void {
    const row = this.#keys.get(keyId)
    if (row?.tenantId !== tenantId) throw new NotFoundError()
    if (row.revokedAt === null) {
      this.#keys.set(keyId, { ...row, revokedAt: Math.floor(this.#clock.now()) })
      this.#unrecorded.add(keyId)
    }
    this.sessions.end(keyId, by)
  }

  /** The rest of it. Does nothing for a key that has gone meanwhile, with its tenant. @throws {OverloadedError} */
  async recordRevoked(keyId: string): Promise<void> {
    const row = this.#keys.get(keyId)
    if (row === undefined || !this.#unrecorded.has(keyId)) return
    try {
      await this.#store.putKey(row)
    } catch (cause) {
      throw new OverloadedError(NOT_ON_RECORD, 5, { cause })
    }
    this.#unrecorded.delete(keyId)
  }

  /** The tenant was deleted, and its keys with it: forget them, and end the requests that they were good for. */
  forget(tenantId: string): void {
    for (const { id } of this.list(tenantId)) this.#end(id)
  }

  /**
   * Who an `Authorization` header speaks for; null when for nobody, whatever the reason. Takes as long for an unknown key as for a
   * known one.
   */
  authenticate(header: string | undefined): Caller | null {
    const text = bearerOf(header)
    const digest = digestOf(text)
    if (this.#admin && timingSafeEqual(digest, this.#admin)) return 'admin'
    if (this.#open) return { tenantId: DEFAULT_TENANT, scopes: ['jobs'], key: null }
    const row = this.#keys.get(keyIdOf(text) ?? '')
    const same = timingSafeEqual(digest, row ? Buffer.from(row.hash, 'hex') : NOBODY)
    if (!row || !same || !this.#isValid(row)) return null
    const { id, tenantId, scopes, expiresAt } = row
    return { tenantId, scopes, key: { id, expiresAt } }
  }

  #isValid({ revokedAt, expiresAt }: KeyRow): boolean {
    return revokedAt === null && (expiresAt === null || this.#clock.now() < expiresAt)
  }

  async #put(row: KeyRow): Promise<void> {
    await this.#store.putKey(row)
    this.#hadKeys = true
    this.#keys.set(row.id, row)
  }

  async #putDefault(): Promise<void> {
    const row: TenantRow = { id: DEFAULT_TENANT, settings: {}, createdAt: Math.floor(this.#clock.now()) }
    await this.#store.putTenant(row)
  }
}
