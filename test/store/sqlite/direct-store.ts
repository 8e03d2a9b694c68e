import type { JsonPieces } from '../../../src/json/raw.ts'
import { type PartCalls, writeParts } from '../../../src/store/sqlite/parts.ts'
import { SqliteReader } from '../../../src/store/sqlite/reader.ts'
import { type Role, SqliteService } from '../../../src/store/sqlite/service.ts'
import type { StoredBytes } from '../../../src/store/sqlite/stored.ts'
import { type CommitGroup, JOBS_PER_BATCH, type KeyRow, type Store } from '../../../src/store/store.ts'

/**
 * A store over {@link SqliteService} without its threads: what the threads run, run here, where a debugger and the
 * coverage see it. Values are copied as they are when they cross threads; what the reader knows it is asked.
 */
export function directStore(dataDir: string): Store {
  const inMemory = dataDir === ':memory:'
  const open = (role: Role) => new SqliteService({ role, dataDir })
  const writer = open(inMemory ? 'both' : 'writer')
  const secret = ask<Uint8Array>(writer, 'secret', [])
  const reader = inMemory ? writer : open('reader')
  let lastNo = ask<number>(reader, 'lastBatchNo', [])
  const stored = new Map(ask<StoredBytes>(reader, 'stored', []))
  const own = {
    secret,
    get lastBatchNo() {
      return lastNo
    },
    nextBatchNo: () => ++lastNo,
    storedBytes: (tenantId: string) => stored.get(tenantId) ?? 0,
    async commit(group: CommitGroup) {
      for (const [tenantId, bytes] of ask<StoredBytes>(writer, 'commit', [group])) stored.set(tenantId, bytes)
    },
    putAhead(no: number, index: number, pieces: JsonPieces, signal: AbortSignal) {
      const calls: PartCalls = {
        putPart: async (...args) => ask(writer, 'putPart', args),
        dropParts: async (id) => ask(writer, 'dropParts', [id]),
      }
      return writeParts(calls, no * JOBS_PER_BATCH + index, pieces, signal)
    },
    async expire(step: unknown) {
      const done = ask<{ deleted: number; stored: StoredBytes }>(writer, 'expire', [step])
      for (const [tenantId, bytes] of done.stored) stored.set(tenantId, bytes)
      return done.deleted
    },
    async deleteTenant(tenantId: string, upTo: number) {
      ask(writer, 'deleteTenant', [tenantId, upTo])
      stored.delete(tenantId)
    },
    // Of two calls, as in SqliteStore.
    async putFirstKey(row: KeyRow) {
      if (ask<boolean>(reader, 'hadKeys', [])) return false
      ask(writer, 'putKey', [row])
      return true
    },
    async close() {
      ask(reader, 'close', [])
      ask(writer, 'close', [])
    },
  }
  const call = (method: string | symbol) => {
    // A promise is not one of its methods.
    if (typeof method === 'symbol' || method === 'then') return undefined
    const service = method in SqliteReader.prototype ? reader : writer
    return async (...args: unknown[]) => ask(service, method, args)
  }
  const get = (_target: object, name: string | symbol) => (name in own ? Reflect.get(own, name) : call(name))
  // Every method of a Store is one of the writer or of the reader, by the same name: that is what SqliteStore relies on.
  return new Proxy({}, { get }) as Store
}

function ask<T>(service: SqliteService, method: string, args: unknown[]): T {
  const answer = service.answer(structuredClone({ id: 1, method, args }))
  if ('error' in answer) throw Object.assign(new Error(answer.error.message), { name: answer.error.name })
  // The type is the method's own.
  return structuredClone(answer.value) as T
}
