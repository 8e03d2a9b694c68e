import { randomBytes } from 'node:crypto'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Coding, codingsOf, Decoder } from '../../../src/jobs/fetch/decoder.ts'

const ENCODE: Record<Coding, (plain: Buffer) => Buffer> = {
  gzip: (plain) => gzipSync(plain),
  deflate: (plain) => deflateSync(plain),
  br: (plain) => brotliCompressSync(plain),
  zstd: (plain) => zstdCompressSync(plain),
}
const CODINGS = Object.keys(ENCODE) as Coding[]

/** Decode chunks, waiting whenever the decoder says so. */
async function decode(codings: Coding[], chunks: Buffer[]): Promise<Buffer> {
  const out: Buffer[] = []
  let drained: () => void = () => undefined
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const decoder = new Decoder({
    codings,
    owner: {
      decoded: (chunk) => void out.push(chunk),
      decodedAll: () => resolve(Buffer.concat(out)),
      decodeFailed: reject,
      decoderDrained: () => drained(),
    },
  })
  for (const chunk of chunks) {
    if (!decoder.write(chunk)) await Promise.race([promise, new Promise<void>((go) => (drained = go))])
  }
  decoder.end()
  return promise
}

function cut(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, n) => bytes.subarray(n * size, (n + 1) * size))
}

describe('Decoder', () => {
  it('undoes any one or two codings, however the bytes are cut', async () => {
    const codings = fc.array(fc.constantFrom(...CODINGS), { minLength: 1, maxLength: 2 })
    await fc.assert(
      fc.asyncProperty(
        codings,
        fc.uint8Array({ minLength: 1, maxLength: 2_000 }),
        fc.integer({ min: 1, max: 500 }),
        async (applied, array, size) => {
          const plain = Buffer.from(array)
          const coded = applied.reduce<Buffer>((bytes, coding) => ENCODE[coding](bytes), plain)

          expect((await decode(applied, cut(coded, size))).equals(plain)).toBe(true)
        },
      ),
    )
  })

  it('makes its writer wait, and loses nothing', async () => {
    const plain = randomBytes(2 << 20)

    expect((await decode(['gzip'], cut(gzipSync(plain), 60_000))).equals(plain)).toBe(true)
  })

  it('understands deflate without the header of zlib', async () => {
    expect((await decode(['deflate'], [deflateRawSync('hello')])).toString()).toBe('hello')
  })

  it('takes a body without a byte as empty', async () => {
    expect((await decode(['gzip'], [Buffer.alloc(0)])).length).toBe(0)
  })

  it.each(CODINGS)('fails for garbage, and for a %s that stops in the middle', async (coding) => {
    const coded = ENCODE[coding](randomBytes(1_000))

    await expect(decode([coding], [Buffer.from('\x08garbage, garbage, garbage')])).rejects.toThrow()
    await expect(decode([coding], [coded.subarray(0, 500)])).rejects.toThrow()
    await expect(decode([coding, 'gzip'], [gzipSync(coded.subarray(0, 500))])).rejects.toThrow()
  })

  it('refuses a zstd window above 8 MiB', async () => {
    // Magic, a frame header with a window descriptor of 2^(10+17) = 128 MiB, and an empty last block (RFC 8878, 3.1.1).
    const frame = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 17 << 3, 0x01, 0x00, 0x00])

    await expect(decode(['zstd'], [frame])).rejects.toThrow()
  })
})

describe('codingsOf', () => {
  it.each([
    ['gzip', ['gzip']],
    ['X-GZIP', ['gzip']],
    ['gzip, br', ['gzip', 'br']],
    ['identity', []],
    ['', []],
    ['identity,deflate ,, zstd', ['deflate', 'zstd']],
    ['rot13', null],
    ['gzip, constructor', null],
  ])('reads %j as %j', (header, expected) => {
    expect(codingsOf(header)).toEqual(expected)
  })

  it('refuses a third', () => {
    expect(() => codingsOf('gzip, gzip, gzip')).toThrow(RangeError)
  })
})
