import type { Transform } from 'node:stream'
import {
  constants,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createInflateRaw,
  createZstdDecompress,
} from 'node:zlib'

/** A content coding that can be undone (RFC 9110, 8.4.1; RFC 7932; RFC 8878). */
export type Coding = 'gzip' | 'deflate' | 'br' | 'zstd'

/** More than this many codings, one over the other, are refused: each may multiply the size by a thousand. */
export const MAX_CODINGS = 2

/** A window of 8 MiB is all that a `zstd` response may ask for (RFC 9659, 3). */
const ZSTD_WINDOW_LOG = 23

const ALIASES: Readonly<Record<string, Coding | 'identity'>> = {
  gzip: 'gzip',
  'x-gzip': 'gzip',
  deflate: 'deflate',
  br: 'br',
  zstd: 'zstd',
  identity: 'identity',
}

/**
 * The codings of a `content-encoding` in the order they were applied. Null when one of them is unknown: the body
 * stays as it came.
 *
 * @throws {RangeError} For more than two.
 */
export function codingsOf(contentEncoding: string): Coding[] | null {
  const codings: Coding[] = []
  for (const part of contentEncoding.toLowerCase().split(',')) {
    const name = part.trim()
    const coding = name === '' ? 'identity' : Object.hasOwn(ALIASES, name) ? ALIASES[name] : undefined
    if (coding === undefined) return null
    if (coding !== 'identity') codings.push(coding)
  }
  if (codings.length > MAX_CODINGS) throw new RangeError('Too many content codings.')
  return codings
}

/** Who gets what a decoder makes. Nothing is called after `destroy`. */
export interface DecoderOwner {
  decoded(chunk: Buffer): void
  decodedAll(): void
  decodeFailed(error: Error): void
  /** After a `write` that returned false: more can be taken. */
  decoderDrained(): void
}

/**
 * Undoes one or two content codings, chunk by chunk on zlib's threads. Each output chunk is shown at once, so its owner can count and
 * stop; a decoder that is behind says so, so no more than its buffers are ever held.
 */
export class Decoder {
  readonly #codings: Coding[]
  readonly #owner: DecoderOwner
  #first: Transform | undefined
  #last: Transform | undefined

  constructor({ codings, owner }: { codings: Coding[]; owner: DecoderOwner }) {
    this.#codings = codings
    this.#owner = owner
  }

  /** False: wait for `decoderDrained`. */
  write(chunk: Buffer): boolean {
    if (chunk.length === 0) return true
    return (this.#first ?? this.#start(chunk)).write(chunk)
  }

  /** No more input. A body without a byte is empty in any coding. */
  end(): void {
    if (this.#first) this.#first.end()
    else this.#owner.decodedAll()
  }

  /** Show nothing more until `resume`: what comes in then waits in the buffers, and `write` says so. */
  pause(): void {
    this.#last?.pause()
  }

  resume(): void {
    this.#last?.resume()
  }

  /** Stop now. May be called twice. */
  destroy(): void {
    for (const stream of [this.#first, this.#last])
      stream?.removeAllListeners('data').removeAllListeners('end').destroy()
  }

  #start(chunk: Buffer): Transform {
    const [outer, inner] = this.#codings.toReversed()
    // A decoder is made for at least one coding.
    const first = streamFor(outer as Coding, chunk)
    const last = inner ? first.pipe(streamFor(inner)) : first
    for (const stream of new Set([first, last])) stream.on('error', (error) => this.#owner.decodeFailed(error))
    first.on('drain', () => this.#owner.decoderDrained())
    last.on('data', (decoded: Buffer) => this.#owner.decoded(decoded))
    last.on('end', () => this.#owner.decodedAll())
    this.#first = first
    this.#last = last
    return first
  }
}

/** @param firstChunk - Tells the `deflate` of RFC 9110 from the one without zlib's header that some servers send. */
function streamFor(coding: Coding, firstChunk?: Buffer): Transform {
  switch (coding) {
    case 'gzip':
      return createGunzip()
    case 'br':
      return createBrotliDecompress()
    case 'zstd':
      return createZstdDecompress({ params: { [constants.ZSTD_d_windowLogMax]: ZSTD_WINDOW_LOG } })
    case 'deflate':
      return firstChunk && ((firstChunk[0] ?? 0) & 0x0f) !== 8 ? createInflateRaw() : createInflate()
  }
}
