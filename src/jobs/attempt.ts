import type { HaltSignal } from '../halt.ts'
import { type JsonPieces, lengthOf, stringify, textOf } from '../json/raw.ts'
import { type AttemptContext, type CommonSpec, JobError, type JobKind, StopReason, type StorageBound } from './kind.ts'

/** How an attempt came to its end. `result` and `error` are JSON texts, a long result is in pieces. */
export type AttemptEnd =
  | { type: 'returned'; result: string | JsonPieces | null }
  /** `error` has its facts, `result` what a {@link JobError} keeps beside it. */
  | {
      type: 'threw'
      facts: { type: string; code: string; message: string }
      error: string
      result: string | JsonPieces | null
    }
  /** It was told to stop, and did. */
  | { type: 'unwound' }

/**
 * Run one attempt to its end; never rejects. The promise settles when the kind's own does, so not before the work has
 * really stopped: nothing here races the work against its signal.
 *
 * @param over - Asked when the work has ended: the bound that its tenant has reached by then, or null.
 */
export async function runAttempt(
  kind: JobKind,
  spec: CommonSpec,
  context: AttemptContext,
  over: () => StorageBound | null = () => null,
): Promise<AttemptEnd> {
  const halt = context.halt ?? context.signal
  if (halt.aborted) return { type: 'unwound' }
  try {
    return returned(kind, await kind.run(spec, context), over())
  } catch (thrown) {
    return hasUnwound(thrown, halt) ? { type: 'unwound' } : failure(abridged(kind, thrown, over()), kind)
  }
}

function returned(kind: JobKind, result: unknown, bound: StorageBound | null): AttemptEnd {
  if (bound === null) return { type: 'returned', result: toJson(result, kind) }
  const kept = keptOf(kind, result)
  if (kept === result) return { type: 'returned', result: toJson(result, kind) }
  return noRoom(bound, kept)
}

function noRoom({ stored, limit }: StorageBound, kept: unknown): AttemptEnd {
  const message = `The tenant keeps ${stored} bytes, and may keep ${limit}: there was no room for the result.`
  return failure(new JobError('StorageError', 'response_too_large', message, {}, kept))
}

/** The end of an attempt that ran where nobody knew of the bound, as it would have been here. */
export function bounded(kind: JobKind, end: AttemptEnd, bound: StorageBound | null): AttemptEnd {
  if (bound === null || end.type === 'unwound' || end.result === null) return end
  const result: unknown = JSON.parse(textOfResult(end.result))
  const kept = keptOf(kind, result)
  if (kept === result) return end
  return end.type === 'returned' ? noRoom(bound, kept) : { ...end, result: toJson(kept) }
}

/** The same end with its result in one piece, for another process. */
export function inOnePiece(end: AttemptEnd): AttemptEnd {
  if (end.type === 'unwound' || end.result === null) return end
  return { ...end, result: textOfResult(end.result) }
}

function textOfResult(result: string | JsonPieces): string {
  return typeof result === 'string' ? result : textOf(result)
}

/** What was thrown, with as much of its result as is kept. */
function abridged(kind: JobKind, thrown: unknown, bound: StorageBound | null): unknown {
  if (bound === null || !(thrown instanceof JobError)) return thrown
  const kept = keptOf(kind, thrown.result)
  if (kept === thrown.result) return thrown
  const { type, code, message, facts } = thrown
  return new JobError(type, code, message, facts, kept)
}

function keptOf({ whenFull }: JobKind, result: unknown): unknown {
  if (result === null || result === undefined || whenFull === 'own') return result
  return whenFull === undefined ? null : whenFull(result)
}

/** True for what a kind throws because it was told to stop: the signal's reason, or an AbortError of a library. */
function hasUnwound(thrown: unknown, signal: HaltSignal): boolean {
  if (!signal.aborted) return false
  return (
    thrown === signal.reason ||
    (thrown instanceof Error && (thrown.name === 'AbortError' || thrown instanceof StopReason))
  )
}

/** The end of an attempt that threw `thrown`, whatever that is; its facts and result are left out when JSON cannot carry them. */
export function failure(thrown: unknown, kind?: JobKind): AttemptEnd {
  try {
    return described(thrown, kind)
  } catch {
    // Reading what was thrown threw in turn: a cycle, a BigInt, an object without a prototype.
    const facts = { type: 'Error', code: 'kind_error', message: 'The kind threw something that cannot be described.' }
    return { type: 'threw', facts, error: JSON.stringify(facts), result: null }
  }
}

function described(thrown: unknown, kind: JobKind | undefined): AttemptEnd {
  if (thrown instanceof JobError) {
    const { type, code, message } = thrown
    const error = JSON.stringify({ type, code, message, ...thrown.facts })
    return { type: 'threw', facts: { type, code, message }, error, result: toJson(thrown.result, kind) }
  }
  const facts = { type: nameOf(thrown), code: 'kind_error', message: messageOf(thrown) }
  return { type: 'threw', facts, error: JSON.stringify(facts), result: null }
}

/** The longest result of a job, in characters of JSON: more than any fetch may keep, and less than the store refuses. */
const MAX_RESULT_CHARS = 67_108_864

/** @throws {TypeError} for a value that JSON cannot carry, or too much of it; it fails the job like any error of its kind. */
function toJson(value: unknown, kind?: JobKind): string | JsonPieces | null {
  if (value === null || value === undefined) return null
  const json = kind?.write === undefined ? (stringify(value) ?? null) : kind.write(value)
  if (json !== null && lengthOf(json) > MAX_RESULT_CHARS)
    throw new TypeError(`The result is larger than ${MAX_RESULT_CHARS} characters of JSON.`)
  return json
}

function nameOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return 'Error'
  return thrown.name === 'Error' ? thrown.constructor.name : thrown.name
}

function messageOf(thrown: unknown): string {
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return message.slice(0, 1_000)
}
