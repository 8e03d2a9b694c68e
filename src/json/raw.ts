/** A JSON text in pieces that belong together, those of bytes in UTF-8: what is long is copied by nobody who need not. */
export type JsonPieces = readonly (string | Uint8Array)[]

/** A JSON text that is in the store already. */
export interface JsonAhead {
  /** How long it is, in bytes. */
  bytes: number
}

/** A value that is JSON text already, and is taken over as it is: nobody parses it to write it again. */
export class RawJson {
  /** As it was given. */
  readonly json: string | Uint8Array

  /** @param json - One whole JSON text, without line breaks; bytes are UTF-8. */
  constructor(json: string | Uint8Array) {
    this.json = json
  }

  get text(): string {
    return textOf([this.json])
  }

  /** For `JSON.stringify`, which knows nothing of it: the value that the text means. */
  toJSON(): unknown {
    return JSON.parse(this.text)
  }
}

/** Pieces as one string. */
export function textOf(pieces: JsonPieces): string {
  return pieces.map((piece) => (typeof piece === 'string' ? piece : bufferOf(piece).toString())).join('')
}

/** Whether a JSON text is in the store already. */
export function isAhead(json: string | JsonPieces | JsonAhead | null): json is JsonAhead {
  return json !== null && typeof json === 'object' && !Array.isArray(json)
}

/** The length of a JSON text, in characters, of what is in bytes in these; 0: there is none. */
export function lengthOf(json: string | JsonPieces | JsonAhead | null): number {
  if (json === null || typeof json === 'string') return json?.length ?? 0
  if (isAhead(json)) return json.bytes
  return json.reduce((sum, piece) => sum + piece.length, 0)
}

/** Pieces as the bytes of one text. */
export function bytesOf(pieces: JsonPieces): Uint8Array {
  return Buffer.concat(pieces.map((piece) => (typeof piece === 'string' ? Buffer.from(piece) : piece)))
}

/** The same bytes as a Buffer. */
export function bufferOf({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}

/**
 * `JSON.stringify`, where the value itself or any field of it may be a {@link RawJson}; deeper ones are parsed. In pieces if one of those is
 * bytes. Undefined for what JSON has nothing for.
 *
 * @throws what `JSON.stringify` throws: for a cycle or a BigInt, or out of a `toJSON`.
 */
export function stringify(value: unknown): string | JsonPieces | undefined {
  if (value instanceof RawJson) return joined([value.json])
  return hasRaw(value) ? joined(spliced(value)) : JSON.stringify(value)
}

function hasRaw(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || 'toJSON' in value) return false
  return Object.values(value).some((field) => field instanceof RawJson)
}

function spliced(value: Record<string, unknown>): JsonPieces {
  const pieces: (string | Uint8Array)[] = []
  for (const [name, field] of Object.entries(value)) {
    const json = field instanceof RawJson ? field.json : JSON.stringify(field)
    if (json !== undefined) pieces.push(`${pieces.length === 0 ? '{' : ','}${JSON.stringify(name)}:`, json)
  }
  return [...pieces, '}']
}

/** With the strings that stand beside each other as one. */
function joined(pieces: JsonPieces): string | JsonPieces {
  const long: (string | Uint8Array)[] = []
  let text = ''
  for (const piece of pieces) {
    if (typeof piece === 'string') text += piece
    else {
      long.push(text, piece)
      text = ''
    }
  }
  return long.length === 0 ? text : [...long, text]
}
