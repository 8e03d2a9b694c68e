import { createHash, randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'

const KEY = /^gth_([0-9a-f]{16})_([A-Za-z0-9_-]{43})_([0-9a-f]{8})$/

/** A new API key: its id, by which it is found and named, and its whole text, which is shown once and never kept. */
export function newKey(): { id: string; text: string } {
  const id = randomBytes(8).toString('hex')
  const body = `gth_${id}_${randomBytes(32).toString('base64url')}`
  return { id, text: `${body}_${checksum(body)}` }
}

/** The id inside a key's text, or null when the text is no key of ours: mistyped ones fail here. */
export function keyIdOf(text: string): string | null {
  const match = KEY.exec(text)
  return match && match[3] === checksum(text.slice(0, text.lastIndexOf('_'))) ? (match[1] ?? null) : null
}

/** The key in an `Authorization` header; empty when that is no bearer's. */
export function bearerOf(header: string | undefined): string {
  return /^bearer +([\x21-\x7e]{1,512})$/i.exec(header ?? '')?.[1] ?? ''
}

/** SHA-256: a key has 256 random bits, so nothing slower would make it safer. */
export function digestOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

function checksum(body: string): string {
  return crc32(body).toString(16).padStart(8, '0')
}
