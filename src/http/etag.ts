import { createHash } from 'node:crypto'
import { splitList } from './prefer.ts'

/**
 * The entity tag of a representation.
 * @param text - What is hashed.
 * @param weak - True when `text` stands for more than itself, so that equal tags do not promise equal bytes.
 */
export function etagOf(text: string, weak = false): string {
  return `${weak ? 'W/' : ''}"${createHash('sha256').update(text).digest('base64url')}"`
}

/** True when `If-None-Match` names `etag`, compared weakly as RFC 9110 13.1.2 has it, or is `*`. */
export function noneMatchHits(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false
  if (header.trim() === '*') return true
  return splitList(header).some((member) => opaque(member) === opaque(etag))
}

function opaque(tag: string): string {
  return tag.trim().replace(/^W\//, '')
}
