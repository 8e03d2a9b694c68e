import type { JobError } from '../kind.ts'
import { ByteSink } from './byte-sink.ts'
import { type Coding, codingsOf, Decoder, type DecoderOwner } from './decoder.ts'
import { fetchError } from './errors.ts'
import type { Claim } from './inflight.ts'

/** Who waits for a body. One of the first two is called, once; nothing after `destroy`. */
export interface BodyOwner {
  bodyRead(bytes: Buffer): void
  bodyFailed(error: JobError): void
  /** After a `write` that returned false: more can be taken. */
  bodyDrained(): void
}

/** So many bytes of a body are held whatever else is: most bodies are smaller, and have nothing to do with the budget. */
export const UNCLAIMED_BYTES = 65_536

/** What a reader is for. */
export interface BodyReaderOptions {
  /** The response's `content-encoding`. */
  encoding: string | undefined
  /** Decoded bytes that the body may have. */
  maxBytes: number
  /** Bytes that the response says it has on the wire, if it does. */
  announcedBytes?: number
  /** Claims what a body of more than {@link UNCLAIMED_BYTES} can become; nothing more is read before it is granted. */
  claim?: (bytes: number, onGranted: () => void) => Claim
  owner: BodyOwner
}

/** Collects a response body, undoing its content codings as it comes, and stops at the first byte over its limit. */
export class BodyReader implements DecoderOwner {
  readonly #owner: BodyOwner
  readonly #sink: ByteSink
  readonly #decoder: Decoder | undefined
  /** Absent once it has been called, and when nothing is claimed. */
  #claim: BodyReaderOptions['claim']
  /** What a body that is not encoded says it has; 0: nothing. */
  readonly #announced: number
  readonly #most: number
  #waits = false
  /** The last byte came while it waited. */
  #complete = false
  #over = false

  /** @throws {JobError} `decode_failed` for more codings than are undone. */
  constructor({ encoding, maxBytes, announcedBytes, claim, owner }: BodyReaderOptions) {
    this.#owner = owner
    this.#claim = claim
    this.#sink = new ByteSink({ limit: maxBytes })
    const codings = encoding === undefined ? null : undoable(encoding)
    this.#decoder = codings?.length ? new Decoder({ codings, owner: this }) : undefined
    this.#announced = this.#decoder ? 0 : (announcedBytes ?? 0)
    this.#most = Math.min(maxBytes, this.#announced || maxBytes)
  }

  /** Whether the bytes of the wire are not those of the body. */
  get decodes(): boolean {
    return this.#decoder !== undefined
  }

  /** False: wait for `bodyDrained`. */
  write(chunk: Buffer): boolean {
    if (this.#decoder) return this.#decoder.write(chunk)
    this.decoded(chunk)
    return !this.#waits
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
    if (this.#over) return
    if (!this.#sink.push(chunk)) this.#fail(fetchError('response_too_large'))
    else if (this.#claim && this.#sink.length > UNCLAIMED_BYTES) this.#claimAll(this.#claim)
  }

  decodedAll(): void {
    if (this.#over) return
    if (this.#waits) this.#complete = true
    else this.#conclude()
  }

  decodeFailed(cause: Error): void {
    this.#fail(fetchError('decode_failed', { cause }))
  }

  decoderDrained(): void {
    if (!this.#over) this.#owner.bodyDrained()
  }

  #claimAll(claim: NonNullable<BodyReaderOptions['claim']>): void {
    this.#claim = undefined
    this.#waits = !claim(this.#most, () => this.#granted()).granted
    if (!this.#waits) this.#sink.expect(this.#announced)
    if (this.#waits) this.#decoder?.pause()
  }

  #granted(): void {
    this.#waits = false
    this.#sink.expect(this.#announced)
    if (this.#over) return
    if (this.#complete) this.#conclude()
    else if (this.#decoder) this.#decoder.resume()
    else this.#owner.bodyDrained()
  }

  #conclude(): void {
    this.destroy()
    this.#owner.bodyRead(this.#sink.bytes())
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
