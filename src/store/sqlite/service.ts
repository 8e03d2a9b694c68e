import type { DatabaseSync } from 'node:sqlite'
import { type PackedGroup, unpackGroup } from './message.ts'
import { keyMark, lockDirectory, openReader, openWriter, putKeyMark, storeSecret } from './open.ts'
import { dropUnclaimed } from './parts.ts'
import { SqliteReader } from './reader.ts'
import { SqliteWriter } from './writer.ts'

/** What a thread is for. An in-memory database cannot be shared, so there one thread does `both`. */
export type Role = 'writer' | 'reader' | 'both'

/** One call to a thread: a method of {@link SqliteWriter} or {@link SqliteReader}, or `close`. */
export interface Call {
  id: number
  method: string
  args: unknown[]
}

/** Its answer. Errors cross threads as their words. */
export type Answer = { id: number; value: unknown } | { id: number; error: { name: string; message: string } }

/** The database work of one thread, without the thread: that is in worker.ts. */
export class SqliteService {
  readonly #open: DatabaseSync[] = []
  readonly #targets: object[] = []
  /** A reader beside a writer: what one call reads must be of one moment. */
  #snapshots: DatabaseSync | null = null

  /** Opens, locks and migrates. @throws {StoreUnusableError} */
  constructor(options: { role: Role; dataDir: string }) {
    const { role, dataDir } = options
    try {
      if (role !== 'reader') this.#openWriter(dataDir)
      const [database] = role === 'reader' ? [openReader(dataDir)] : this.#open
      if (role === 'reader') {
        this.#open.push(database)
        this.#snapshots = database
      }
      this.#targets.push(new SqliteReader(database))
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Run one call. */
  answer(call: Call): Answer {
    try {
      return { id: call.id, value: this.#invoke(call) }
    } catch (error) {
      const { name, message } = error instanceof Error ? error : new Error(String(error))
      return { id: call.id, error: { name, message } }
    }
  }

  /** May be called twice. */
  close(): void {
    while (this.#open.length > 0) this.#open.shift()?.close()
  }

  #openWriter(dataDir: string): void {
    const lock = lockDirectory(dataDir)
    if (lock !== null) this.#open.push(lock)
    const database = openWriter(dataDir)
    this.#open.unshift(database)
    dropUnclaimed(database)
    const writer = new SqliteWriter(database)
    this.#targets.push(writer, {
      commitPacked: (packed: PackedGroup) => writer.commit(unpackGroup(packed)),
      secret: () => storeSecret(database),
      keyMark: () => keyMark(database),
      putKeyMark: (mark: string) => putKeyMark(database, mark),
    })
  }

  #invoke({ method, args }: Call): unknown {
    if (method === 'close') return this.close()
    for (const target of this.#targets) {
      const found: unknown = Reflect.get(target, method)
      if (typeof found === 'function') return this.#atOneMoment(() => Reflect.apply(found, target, args))
    }
    throw new Error(`The store has no ${method}.`)
  }

  /** All statements of one read see the same commits. */
  #atOneMoment(read: () => unknown): unknown {
    if (this.#snapshots === null) return read()
    this.#snapshots.exec('BEGIN')
    try {
      return read()
    } finally {
      this.#snapshots.exec('COMMIT')
    }
  }
}
