import { createHash } from 'node:crypto'
import type { Idempotency } from '../engine/engine.ts'

/**
 * The `Idempotency-Key` of a request (draft-ietf-httpapi-idempotency-key-header), quoted or bare, with a digest of the body;
 * undefined without one. Bodies that differ in nothing but white space are the same.
 */
export function idempotencyOf(header: unknown, body: unknown): Idempotency | undefined {
  if (typeof header !== 'string') return undefined
  const key = header.startsWith('"') ? header.slice(1, -1) : header
  return { key, hash: createHash('sha256').update(JSON.stringify(body)).digest('base64url') }
}
