import type { DatabaseSync, StatementSync } from 'node:sqlite'
import { bufferOf, type JsonAhead, type JsonPieces } from '../../json/raw.ts'
import { JOBS_PER_BATCH } from '../store.ts'

/** Bytes of a part of a long result: some milliseconds on most disks, which is what a commit beside it waits for at most. */
export const PART_BYTES = 524_288

/** Parts that one step of deleting a batch takes. */
const PURGED_AT_ONCE = 32

/** A text in parts of {@link PART_BYTES} but for the last; a character may begin in one and end in the next. */
export function* partsOf(pieces: JsonPieces): Generator<Uint8Array> {
  let part: Uint8Array[] = []
  let room = PART_BYTES
  for (const piece of pieces) {
    let rest: Uint8Array = typeof piece === 'string' ? Buffer.from(piece) : bufferOf(piece)
    while (rest.length > 0) {
      const taken = rest.subarray(0, room)
      part.push(taken)
      room -= taken.length
      rest = rest.subarray(taken.length)
      if (room > 0) continue
      yield joined(part)
      part = []
      room = PART_BYTES
    }
  }
  if (part.length > 0) yield joined(part)
}

/** Mostly there is one, which then is not copied. */
function joined(part: Uint8Array[]): Uint8Array {
  return part.length === 1 ? part[0] : Buffer.concat(part)
}

/** What {@link writeParts} asks of a {@link PartsWriter}, wherever that is. */
export interface PartCalls {
  putPart(id: number, part: number, bytes: Uint8Array): Promise<void>
  dropParts(id: number): Promise<void>
}

/** Write the result of job `id`, a call a part: what else is asked of the writer goes between. See `Store.putAhead`. */
export async function writeParts(
  calls: PartCalls,
  id: number,
  pieces: JsonPieces,
  signal: AbortSignal,
): Promise<JsonAhead> {
  let [part, bytes] = [0, 0]
  try {
    for (const text of partsOf(pieces)) {
      signal.throwIfAborted()
      await calls.putPart(id, part++, text)
      bytes += text.length
    }
    signal.throwIfAborted()
    return { bytes }
  } catch (error) {
    // Where nothing can be written, nothing can be deleted either: the next start does.
    await calls.dropParts(id).catch(() => undefined)
    throw error
  }
}

/** SQL: the result of job `s.id` with its record `r`, wherever it is. */
export const RESULT = `CASE WHEN r.parts IS NULL THEN r.result ELSE
  (SELECT CAST(group_concat(p.bytes, '' ORDER BY p.part) AS TEXT) FROM parts p WHERE p.id = s.id) END`

/** Writes long results a part at a time, before the records that have them. Synchronous: it runs on the writer's thread. */
export class PartsWriter {
  readonly #add: StatementSync
  readonly #dropFrom: StatementSync
  readonly #dropSome: StatementSync

  constructor(database: DatabaseSync) {
    this.#add = database.prepare('INSERT INTO parts (id, part, bytes) VALUES (?, ?, ?)')
    this.#dropFrom = database.prepare('DELETE FROM parts WHERE id = ?')
    this.#dropSome = database.prepare(
      'DELETE FROM parts WHERE rowid IN (SELECT rowid FROM parts WHERE id >= ? AND id < ? LIMIT ?)',
    )
  }

  /** One part of the result of job `id`, from 0. The first takes the place of what another attempt has left. */
  put(id: number, part: number, bytes: Uint8Array): void {
    if (part === 0) this.drop(id)
    this.#add.run(id, part, bytes)
  }

  /** The parts of a job, which no record has. */
  drop(id: number): void {
    this.#dropFrom.run(id)
  }

  /** Some of the parts of a batch that is deleted: a few milliseconds. Returns how many. */
  purge(no: number): number {
    return Number(this.#dropSome.run(no * JOBS_PER_BATCH, (no + 1) * JOBS_PER_BATCH, PURGED_AT_ONCE).changes)
  }
}

/** At a start: the parts that no record has, of attempts that a crash cut short. */
export function dropUnclaimed(database: DatabaseSync): void {
  database.exec(`DELETE FROM parts WHERE id NOT IN (SELECT p.id FROM (SELECT DISTINCT id FROM parts) p
    JOIN records r ON r.id = p.id WHERE r.parts IS NOT NULL)`)
}
