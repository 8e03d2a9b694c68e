import { randomBytes } from 'node:crypto'
import { StoreError, TenantsNotWrittenError } from '../error.ts'
import type { BatchNo, CommitGroup, NewBatch } from '../store.ts'
import { type BatchPart, commandOf, type PackedJob, type PackedJobs, packJobs } from './command.ts'
import { COMMIT, FORGET, STAGE, TAKE_BACK } from './commit-script.ts'
import type { Connection } from './connection.ts'
import { batchKey, numberKey, tenantKey } from './keys.ts'
import { countOf, foreign, textOf, textsOf } from './replies.ts'
import type { Argument, Script } from './script.ts'
import type { TenantMap } from './tenant-map.ts'

/** The proof under which this process writes for a tenant: its replica id, or null when it owns it no more. */
export type OwnerProof = (tenantId: string) => string | null

/** How long specs wait for the commit that they have gone ahead of. */
const STAGED_MS = 3_600_000

/** Jobs that one script stages: well below a millisecond of Redis. */
const STAGED_JOBS = 500

/** Rows and characters that one script writes, unless one batch alone has more. */
const SCRIPT = { rows: 2_000, chars: 1_048_576 }

/** A batch that is about to be written, ready to be sent. */
interface Sending {
  part: BatchPart
  packs: PackedJobs[]
  command: Argument[]
}

/** Writes commit groups: for each tenant in turn what is its, by scripts that Redis runs whole. */
export class Writer {
  readonly #connection: Connection
  readonly #tenants: TenantMap
  readonly #owner: OwnerProof | null
  readonly #onStale: (tenantId: string) => void
  readonly #onBytes: (tenantId: string, bytes: number) => void
  /** What Redis knows this process by, and how many writes it has sent. */
  readonly #name = randomBytes(8).toString('hex')
  #sent = 0
  /** New batches that were refused to their callers and may be in Redis. */
  readonly #uncertain = new Map<string, Map<BatchNo, { batch: NewBatch; proof: string | null }>>()

  constructor(options: {
    connection: Connection
    tenants: TenantMap
    owner: OwnerProof | null
    onStale: (tenantId: string) => void
    onBytes: (tenantId: string, bytes: number) => void
  }) {
    this.#connection = options.connection
    this.#tenants = options.tenants
    this.#owner = options.owner
    this.#onStale = options.onStale
    this.#onBytes = options.onBytes
  }

  /**
   * One at a time.
   * @throws {TenantsNotWrittenError} when what some tenants have of it was not written, or may not have been. It can be tried again whole.
   * @throws {StoreError} when that is so of all of it.
   */
  async commit(group: CommitGroup): Promise<void> {
    const byTenant = await this.#split(group)
    const proofs = new Map([...byTenant.keys()].map((tenantId) => [tenantId, this.proofOf(tenantId)]))
    const done = await Promise.allSettled([...byTenant].map(([tenantId, parts]) => this.#write(tenantId, parts)))
    const failed = new Map([...byTenant.keys()].flatMap((tenantId, i) => reasonOf(tenantId, done[i])))
    const [reason] = failed.values()
    if (reason === undefined) return
    for (const batch of group.batches) {
      if (!failed.has(batch.tenantId)) continue
      const own = this.#uncertain.get(batch.tenantId) ?? new Map()
      this.#uncertain.set(batch.tenantId, own.set(batch.no, { batch, proof: proofs.get(batch.tenantId) ?? null }))
    }
    throw failed.size === byTenant.size ? reason : new TenantsNotWrittenError(new Set(failed.keys()), reason)
  }

  /** Whether something was refused to its caller, of a tenant or of any, that may be there until it is taken back. */
  hasUncertain(tenantId?: string): boolean {
    if (tenantId !== undefined) return (this.#uncertain.get(tenantId)?.size ?? 0) > 0
    return [...this.#uncertain.values()].some(({ size }) => size > 0)
  }

  /** Take back what was refused to its callers, of all tenants, as far as Redis can be reached. */
  async takeBackAll(): Promise<void> {
    await Promise.allSettled([...this.#uncertain.keys()].map((tenantId) => this.#takeBack(tenantId)))
  }

  /** Whether a batch of a tenant, by its id or by its Idempotency-Key, was refused to its caller, and may be there until it is taken back. */
  isUncertain(tenantId: string, { id, key }: { id?: string; key?: string }): boolean {
    for (const { batch } of this.#uncertain.get(tenantId)?.values() ?? [])
      if (batch.id === id || (key !== undefined && batch.idempotency?.key === key)) return true
    return false
  }

  /** Take back what was refused of a tenant. @throws {StoreError} while Redis cannot be reached. */
  async takeBack(tenantId: string): Promise<void> {
    await this.#takeBack(tenantId)
  }

  /** Leave what was refused of a tenant to the record: this is a new owner, if by the same name. */
  leaveBe(tenantId: string): void {
    // Also for who is about to take some of it back.
    this.#uncertain.get(tenantId)?.clear()
    this.#uncertain.delete(tenantId)
  }

  /** The proof to send: '' where none is asked for, null when the tenant is another's. */
  proofOf(tenantId: string): string | null {
    return this.#owner === null ? '' : this.#owner(tenantId)
  }

  /** Another process owns the tenant. */
  lose(tenantId: string): void {
    this.#uncertain.delete(tenantId)
    this.#tenants.dropTenant(tenantId)
    this.#onStale(tenantId)
  }

  async #split(group: CommitGroup): Promise<Map<string, BatchPart[]>> {
    const parts = new Map<BatchNo, BatchPart>()
    const part = (no: BatchNo): BatchPart => {
      const found = parts.get(no) ?? { no, entry: null, jobs: [], head: null, records: [], logs: [] }
      parts.set(no, found)
      return found
    }
    for (const batch of group.batches) {
      if (part(batch.no).entry !== null) throw new StoreError(`The batch number ${batch.no} is there twice.`)
      part(batch.no).entry = batch
    }
    for (const jobs of group.jobs) part(jobs.no).jobs.push(jobs)
    for (const head of group.heads) part(head.no).head = head
    for (const record of group.records) part(record.no).records.push(record)
    for (const rows of group.logs) part(rows.no).logs.push(rows)
    return this.#byTenant([...parts.values()])
  }

  async #byTenant(parts: BatchPart[]): Promise<Map<string, BatchPart[]>> {
    const byTenant = new Map<string, BatchPart[]>()
    for (const part of parts) {
      const tenantId = part.entry?.tenantId ?? (await this.#tenants.of(part.no))
      // Of a batch that is gone nothing is left to write; who is told which tenants it lost asks for it no more.
      if (tenantId === null && this.#owner !== null) continue
      if (tenantId === null) throw new StoreError(`There is no batch number ${part.no} to write to.`)
      const own = byTenant.get(tenantId)
      if (own === undefined) byTenant.set(tenantId, [part])
      else own.push(part)
    }
    return byTenant
  }

  /** Everything of one tenant. */
  async #write(tenantId: string, parts: BatchPart[]): Promise<void> {
    if (!(await this.#takeBack(tenantId))) return
    await this.#announce(parts)
    const sendings = parts.map((part): Sending => {
      const packs = part.jobs.map(packJobs)
      return { part, packs, command: commandOf(part, packs) }
    })
    if (!(await this.#stage(tenantId, sendings))) return
    for (const some of inScripts(sendings)) {
      const keys = some.map(({ part }) => batchKey(tenantId, part.no))
      const args = some.flatMap(({ command }) => command)
      if ((await this.#fenced(tenantId, COMMIT, keys, args)) === null) return
    }
    for (const { no, entry, head } of parts) {
      if (head?.drainedAt != null) this.#tenants.drop(no)
      else if (entry !== null) this.#tenants.keep(no, tenantId)
    }
  }

  /** Say whose the new numbers are: what looks for them goes by that. */
  async #announce(parts: BatchPart[]): Promise<void> {
    const entries = parts.flatMap(({ entry }) => entry ?? [])
    if (entries.length === 0) return
    const owners = entries.map(async ({ no, tenantId }) => {
      const key = numberKey(no)
      const [, holder] = await Promise.all([
        this.#connection.call('SETNX', key, tenantId),
        this.#connection.call('GET', key),
      ])
      if (holder !== tenantId) throw new StoreError(`The batch number ${no} is another tenant's: Redis has lost data.`)
    })
    await Promise.all(owners)
  }

  /** Send ahead what is too much for one script. */
  async #stage(tenantId: string, sendings: Sending[]): Promise<boolean> {
    for (const { part, packs } of sendings) {
      const lifetime = part.entry === null ? 0 : STAGED_MS
      for (const { packed, staged } of packs) {
        if (!staged) continue
        for (const some of inStages(packed)) {
          const key = batchKey(tenantId, part.no)
          if ((await this.#fenced(tenantId, STAGE, [key], [lifetime, ...some.flat()])) === null) return false
        }
      }
    }
    return true
  }

  /** False: the tenant is another's. */
  async #takeBack(tenantId: string): Promise<boolean> {
    for (const [no, { batch, proof }] of this.#uncertain.get(tenantId) ?? []) {
      const { id, idempotency } = batch
      // Another owner was there in between: it went on with what it found, and may have said that it was accepted.
      if (this.#owner !== null && this.proofOf(tenantId) !== proof) {
        this.#uncertain.get(tenantId)?.delete(no)
        continue
      }
      const args = [id, no, idempotency?.key ?? '']
      const said = await this.#fenced(tenantId, TAKE_BACK, [batchKey(tenantId, no)], args)
      if (said === null) return false
      if (said === 'ok') await this.#connection.run(FORGET, [numberKey(no)], [tenantId])
      this.#uncertain.get(tenantId)?.delete(no)
    }
    return true
  }

  /** Run a script under the tenant's proof. @returns null when the tenant is another's: `onStale` was called. */
  async #fenced(tenantId: string, script: Script, keys: string[], args: Argument[]): Promise<'ok' | 'taken' | null> {
    const proof = this.proofOf(tenantId)
    if (proof === null) {
      this.lose(tenantId)
      return null
    }
    const fence = [proof, this.#name, ++this.#sent]
    const reply = await this.#connection.run(script, [tenantKey(tenantId, 't'), ...keys], [...fence, ...args])
    return this.#understand(tenantId, textsOf(reply, 'the answer of a script'))
  }

  #understand(tenantId: string, [said, what]: string[]): 'ok' | 'taken' | null {
    switch (said) {
      case 'ok':
        this.#onBytes(tenantId, countOf(what, 'the bytes of a tenant'))
        return 'ok'
      case 'taken':
        return 'taken'
      case 'conflict':
        throw new StoreError(`Nothing of tenant ${tenantId} was written: ${textOf(what, 'a conflict')}.`)
      case 'late':
        throw new StoreError(`A write for tenant ${tenantId} came after a later one, and was not done.`)
      case 'stale':
      case 'gone':
        if (this.#owner === null)
          throw new StoreError(`Redis has lost data: what was written of batch ${what} before is not there.`)
        this.lose(tenantId)
        return null
      default:
        throw foreign('the answer of a script')
    }
  }
}

/** Why a tenant's write failed, if it did. What fails here is an error of ours. */
function reasonOf(tenantId: string, result: PromiseSettledResult<void> | undefined): [string, Error][] {
  return result?.status === 'rejected' ? [[tenantId, result.reason as Error]] : []
}

function inStages(packed: PackedJob[]): PackedJob[][] {
  const stages: PackedJob[][] = []
  let chars = Number.POSITIVE_INFINITY
  for (const job of packed) {
    if (chars >= SCRIPT.chars || (stages.at(-1)?.length ?? STAGED_JOBS) >= STAGED_JOBS) {
      stages.push([])
      chars = 0
    }
    stages.at(-1)?.push(job)
    chars += job[1].length
  }
  return stages
}

/** As few scripts as may be, each small. */
function inScripts(sendings: Sending[]): Sending[][] {
  const scripts: Sending[][] = []
  let rows = Number.POSITIVE_INFINITY
  let chars = 0
  for (const sending of sendings) {
    const own = sending.command.length
    const text = sending.command.reduce<number>((sum, each) => sum + (typeof each === 'string' ? each.length : 8), 0)
    if (rows + own > 2 * SCRIPT.rows || chars + text > SCRIPT.chars) {
      scripts.push([])
      rows = 0
      chars = 0
    }
    scripts.at(-1)?.push(sending)
    rows += own
    chars += text
  }
  return scripts
}
