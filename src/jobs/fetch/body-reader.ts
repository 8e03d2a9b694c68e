import type { JobError } from '../kind.ts'
import { ByteSink } from './byte-sink.ts'
import { type Coding, codingsOf, Decoder, type DecoderOwner } from './decoder.ts'
import { fetchError } from './errors.ts'

/** Who waits for a body. One of the first two is called, once; nothing after `destroy`. */
export interface BodyOwner {
  bodyRead(bytes: Buffer): void
  bodyFailed(error: JobError): void
  /** After a `write` that returned false: more can be taken. */
  bodyDrained(): void
}

/** What a reader is for. */
export interface BodyReaderOptions {
  /** The response's `content-encoding`. */
  encoding: string | undefined
  /** Decoded bytes that the body may have. */
  maxBytes: number
  owner: BodyOwner
}

/** Collects a response body, undoing its content codings as it comes, and stops at the first byte over its limit. */
export class BodyReader implements DecoderOwner {
  readonly #owner: BodyOwner
  readonly #sink: ByteSink
  readonly #decoder: Decoder | undefined
  #over = false

  /** @throws {JobError} `decode_failed` for more codings than are undone. */
  constructor({ encoding, maxBytes, owner }: BodyReaderOptions) {
    this.#owner = owner
    this.#sink = new ByteSink({ limit: maxBytes })
    const codings = encoding === undefined ? null : undoable(encoding)
    this.#decoder = codings?.length ? new Decoder({ codings, owner: this }) : undefined
  }

  /** Whether the bytes of the wire are not those of the body. */
  get decodes(): boolean {
    return this.#decoder !== undefined
  }

  /** False: wait for `bodyDrained`. */
  write(chunk: Buffer): boolean {
    if (this.#decoder) return this.#decoder.write(chunk)
    this.decoded(chunk)
    return true
  }

  /** The last byte has come. */
  end(): void {
    if (this.#decoder) this.#decoder.end()
    else this.decodedAll()
  }

  /** Want no more. May be called twice. */
  destroy(): void {
    this.#over = true
    this.#decoder?.destroy()
  }

  decoded(chunk: Buffer): void {
    if (!this.#over && !this.#sink.push(chunk)) this.#fail(fetchError('response_too_large'))
  }

  decodedAll(): void {
    if (this.#over) return
    this.destroy()
    this.#owner.bodyRead(this.#sink.bytes())
  }

  decodeFailed(cause: Error): void {
    this.#fail(fetchError('decode_failed', { cause }))
  }

  decoderDrained(): void {
    if (!this.#over) this.#owner.bodyDrained()
  }

  #fail(error: JobError): void {
    if (this.#over) return
    this.destroy()
    this.#owner.bodyFailed(error)
  }
}

function undoable(encoding: string): Coding[] | null {
  try {
    return codingsOf(encoding)
  } catch (cause) {
    throw fetchError('decode_failed', { cause })
  }
}
