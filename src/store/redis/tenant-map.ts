import type { BatchNo } from '../store.ts'
import type { Connection } from './connection.ts'
import { numberKey } from './keys.ts'
import { textOrNull } from './replies.ts'

/** Batches that are remembered though this process does not write for them. */
const REMEMBERED = 10_000

/** Whose a batch number is: those that this process writes for for as long as it does, others while they are in use. */
export class TenantMap {
  readonly #connection: Connection
  readonly #written = new Map<BatchNo, string>()
  readonly #seen = new Map<BatchNo, string>()

  constructor(connection: Connection) {
    this.#connection = connection
  }

  /** Remember a batch that was read. */
  see(no: BatchNo, tenantId: string): void {
    this.#seen.delete(no)
    this.#seen.set(no, tenantId)
    if (this.#seen.size <= REMEMBERED) return
    const [oldest] = this.#seen.keys()
    this.#seen.delete(oldest)
  }

  /** Remember a batch until `drop` or `dropTenant`. */
  keep(no: BatchNo, tenantId: string): void {
    this.#written.set(no, tenantId)
  }

  /** It has drained, and is read at most. */
  drop(no: BatchNo): void {
    const tenantId = this.#written.get(no)
    this.#written.delete(no)
    if (tenantId !== undefined) this.see(no, tenantId)
  }

  /** Another process writes for the tenant. */
  dropTenant(tenantId: string): void {
    for (const [no, owner] of this.#written) if (owner === tenantId) this.drop(no)
  }

  /** Null: there is no such batch. */
  async of(no: BatchNo): Promise<string | null> {
    const known = this.#written.get(no) ?? this.#seen.get(no)
    if (known !== undefined) return known
    const key = numberKey(no)
    const tenantId = textOrNull(await this.#connection.call('GET', key), key)
    if (tenantId !== null) this.see(no, tenantId)
    return tenantId
  }
}
