import { createHash } from 'node:crypto'
import type { Idempotency } from '../engine/engine.ts'
import { fitsDepth } from '../json/depth.ts'
import { MAX_BODY_DEPTH } from '../schema/limits.ts'

/**
 * The `Idempotency-Key` of a request (draft-ietf-httpapi-idempotency-key-header), quoted or bare, with a digest of the body;
 * undefined without one, and for a body so deep that it is refused whatever its key. Bodies that differ in nothing but white space are
 * the same.
 */
export function idempotencyOf(header: unknown, body: unknown): Idempotency | undefined {
  // What is nested deeper could not be written out again.
  if (typeof header !== 'string' || !fitsDepth(body, MAX_BODY_DEPTH)) return undefined
  const key = header.startsWith('"') ? header.slice(1, -1) : header
  return { key, hash: createHash('sha256').update(JSON.stringify(body)).digest('base64url') }
}
