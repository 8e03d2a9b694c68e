import { isUtf8 } from 'node:buffer'
import { Compaction } from '../../json/compact.ts'
import { Quoting } from '../../json/quote.ts'
import { RawJson } from '../../json/raw.ts'
import { JsonScanner } from '../../json/scanner.ts'
import { type KeptBody, NO_BODY } from './result.ts'

/** A response's JSON is at most this deep. */
export const MAX_RESPONSE_JSON_DEPTH = 64

/** Up to so many bytes a body is kept in one step; a larger one takes several, of {@link STEP_BYTES} each. */
export const AT_ONCE_BYTES = 262_144

/** About a millisecond of work. */
export const STEP_BYTES = 131_072

/** How a body becomes what is kept of it. `step` is called until it returns true, and then `kept` is there. */
export interface Keeper {
  readonly kept: KeptBody
  /** Why it is not the JSON that was asked for, without quoting it; it is kept as text then. */
  readonly failure: string | undefined
  step(size: number): boolean
}

/** @param asJson - `response: "json"`. Else, text when the bytes are UTF-8, or base64; both give back the same bytes. */
export function keeperOf(bytes: Buffer, asJson: boolean): Keeper {
  return asJson ? new JsonKeeper(bytes) : new TextKeeper(bytes)
}

class TextKeeper implements Keeper {
  readonly failure: undefined
  readonly #bytes: Buffer
  #quoting: Quoting | undefined
  #kept: KeptBody = NO_BODY

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get kept(): KeptBody {
    return this.#kept
  }

  step(size: number): boolean {
    if (this.#quoting === undefined) return this.#begin(size)
    if (!this.#quoting.step(size)) return false
    this.#keep('utf8', new RawJson(this.#quoting.text))
    return true
  }

  /** A body that takes several steps is also written as JSON in them: `JSON.stringify` of 10 MiB takes up to 0.15 s. */
  #begin(size: number): boolean {
    const bodyEncoding = isUtf8(this.#bytes) ? 'utf8' : 'base64'
    if (bodyEncoding === 'utf8' && this.#bytes.length > size) {
      this.#quoting = new Quoting(this.#bytes)
      return false
    }
    const body = this.#bytes.toString(bodyEncoding)
    // Base64 has nothing to escape.
    this.#keep(bodyEncoding, this.#bytes.length > size ? new RawJson(`"${body}"`) : body)
    return true
  }

  #keep(bodyEncoding: 'utf8' | 'base64', body: string | RawJson): void {
    this.#kept = { body, bodyEncoding, bytes: this.#bytes.length }
  }
}

class JsonKeeper implements Keeper {
  readonly #bytes: Buffer
  readonly #scanner = new JsonScanner({ maxDepth: MAX_RESPONSE_JSON_DEPTH })
  #read: number
  #work: (size: number) => boolean
  #asText: Keeper | undefined
  #kept: KeptBody = NO_BODY

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.#read = markOf(bytes)
    this.#work = (size) => this.#scan(size)
  }

  get kept(): KeptBody {
    return this.#asText?.kept ?? this.#kept
  }

  get failure(): string | undefined {
    const { fault } = this.#scanner
    if (fault === null) return undefined
    if (fault.kind === 'depth') return `The response body is JSON nested more than ${MAX_RESPONSE_JSON_DEPTH} deep.`
    return 'The response body is not valid JSON.'
  }

  step(size: number): boolean {
    return this.#work(size)
  }

  #scan(size: number): boolean {
    const to = Math.min(this.#bytes.length, this.#read + size)
    this.#scanner.write(this.#bytes, this.#read, to)
    this.#read = to
    if (this.#scanner.fault === null && to < this.#bytes.length) return false
    return this.#scanner.end() === null ? this.#beginCompact(size) : this.#beginText(size)
  }

  #beginText(size: number): boolean {
    const keeper = new TextKeeper(this.#bytes)
    this.#asText = keeper
    this.#work = (next) => keeper.step(next)
    return this.#bytes.length <= size && this.#work(size)
  }

  /** In place: from here on the bytes are known to be JSON, and nobody needs them as they were. */
  #beginCompact(size: number): boolean {
    const own = this.#bytes.subarray(markOf(this.#bytes))
    if (this.#scanner.spaces === 0) return this.#keep(own)
    const compaction = new Compaction(own)
    this.#work = (next) => compaction.step(next) && this.#keep(own.subarray(0, compaction.bytes.length))
    return this.#bytes.length <= size && this.#work(size)
  }

  #keep(compact: Buffer): true {
    this.#kept = { body: new RawJson(compact.toString('utf8')), bodyEncoding: 'json', bytes: this.#bytes.length }
    return true
  }
}

/** The length of a byte order mark, which may be ignored (RFC 8259, 8.1). */
function markOf(bytes: Buffer): number {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
}
