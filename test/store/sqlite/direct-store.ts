import { type Role, SqliteService } from '../../../src/store/sqlite/service.ts'
import type { CommitGroup, KeyRow, Store, TenantRow } from '../../../src/store/store.ts'

/**
 * A store over {@link SqliteService} without its threads: what the threads run, run here, where a debugger and the
 * coverage see it. Values are copied as they are when they cross threads.
 */
export class DirectStore implements Store {
  readonly lastBatchNo: number
  readonly secret: Uint8Array
  readonly #writer: SqliteService
  readonly #reader: SqliteService
  #lastId = 0

  constructor(dataDir: string) {
    const inMemory = dataDir === ':memory:'
    const open = (role: Role) => new SqliteService({ role, dataDir })
    this.#writer = open(inMemory ? 'both' : 'writer')
    this.secret = this.#ask(this.#writer, 'secret')
    this.#reader = inMemory ? this.#writer : open('reader')
    this.lastBatchNo = this.#ask(this.#reader, 'lastBatchNo')
  }

  #ask<T>(service: SqliteService, method: string, ...args: unknown[]): T {
    const answer = service.answer(structuredClone({ id: ++this.#lastId, method, args }))
    if (answer.id !== this.#lastId) throw new Error('An answer to another call.')
    if ('error' in answer) throw Object.assign(new Error(answer.error.message), { name: answer.error.name })
    // The type is the method's own.
    return structuredClone(answer.value) as T
  }

  async #read<T>(method: string, ...args: unknown[]): Promise<T> {
    return this.#ask<T>(this.#reader, method, ...args)
  }

  async commit(group: CommitGroup): Promise<void> {
    this.#ask(this.#writer, 'commit', group)
  }
  async putTenant(row: TenantRow): Promise<void> {
    this.#ask(this.#writer, 'putTenant', row)
  }
  async putKey(row: KeyRow): Promise<void> {
    this.#ask(this.#writer, 'putKey', row)
  }
  tenants: Store['tenants'] = () => this.#read('tenants')
  keys: Store['keys'] = () => this.#read('keys')
  batch: Store['batch'] = (...args) => this.#read('batch', ...args)
  batches: Store['batches'] = (...args) => this.#read('batches', ...args)
  job: Store['job'] = (...args) => this.#read('job', ...args)
  jobs: Store['jobs'] = (...args) => this.#read('jobs', ...args)
  completions: Store['completions'] = (...args) => this.#read('completions', ...args)
  pending: Store['pending'] = (...args) => this.#read('pending', ...args)
  log: Store['log'] = (...args) => this.#read('log', ...args)
  specs: Store['specs'] = (...args) => this.#read('specs', ...args)
  unfinished: Store['unfinished'] = (...args) => this.#read('unfinished', ...args)
  history: Store['history'] = (...args) => this.#read('history', ...args)
  namesTaken: Store['namesTaken'] = (...args) => this.#read('namesTaken', ...args)

  async close(): Promise<void> {
    this.#ask(this.#reader, 'close')
    this.#ask(this.#writer, 'close')
  }
}
