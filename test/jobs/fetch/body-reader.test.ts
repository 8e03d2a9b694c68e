import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { BodyReader, UNCLAIMED_BYTES } from '../../../src/jobs/fetch/body-reader.ts'

/** Feed a reader, and collect what its owner is told; `first` resolves when that is something. */
function start(encoding: string | undefined, maxBytes: number, chunks: Buffer[]) {
  const told: string[] = []
  const { promise: first, resolve } = Promise.withResolvers<void>()
  const tell = (what: string) => {
    told.push(what)
    resolve()
  }
  const owner = {
    bodyRead: (bytes: Buffer) => tell(`read ${bytes}`),
    bodyFailed: ({ code }: { code: string }) => tell(code),
    bodyDrained: () => undefined,
  }
  const reader = new BodyReader({ encoding, maxBytes, owner })
  for (const chunk of chunks) reader.write(chunk)
  reader.end()
  return { reader, told, first }
}

/** All that the owner was told some turns after the first thing. */
async function read(...input: Parameters<typeof start>): Promise<string[]> {
  const { told, first } = start(...input)
  await first
  for (let turns = 0; turns < 5; turns++) await new Promise((resolve) => setImmediate(resolve))
  return told
}

describe('BodyReader', () => {
  it.each([undefined, 'identity', 'rot13'])('collects what comes with the coding %s', async (encoding) => {
    expect(await read(encoding, 5, [Buffer.from('he'), Buffer.from('llo')])).toEqual(['read hello'])
  })

  it('undoes a coding', async () => {
    expect(await read('gzip', 5, [gzipSync('hello')])).toEqual(['read hello'])
  })

  it.each([
    [undefined, Buffer.from('hello!'), 'response_too_large'],
    ['gzip', gzipSync('hello!'), 'response_too_large'],
    ['gzip', Buffer.from('hello!'), 'decode_failed'],
  ])('fails once, and says nothing more: %s', async (encoding, chunk, code) => {
    expect(await read(encoding, 5, [chunk, chunk])).toEqual([code])
  })

  it('refuses three codings', () => {
    const owner = { bodyRead: () => undefined, bodyFailed: () => undefined, bodyDrained: () => undefined }

    expect(() => new BodyReader({ encoding: 'br, br, br', maxBytes: 1, owner })).toThrow(
      expect.objectContaining({ code: 'decode_failed' }),
    )
  })

  it.each([gzipSync('hello'), Buffer.from('garbage')])('says nothing once it is destroyed (%#)', async (chunk) => {
    const { reader, told } = start('gzip', 5, [chunk])

    reader.destroy()
    // The same work, begun later, is done by then.
    await read('gzip', 5, [chunk])

    expect(told).toEqual([])
  })
})

/** A reader whose claim is granted when the test says so. */
function claiming(options: { encoding?: string; announcedBytes?: number; granted?: boolean } = {}) {
  const claims: number[] = []
  const told: string[] = []
  let grant: () => void = () => undefined
  const owner = {
    bodyRead: (bytes: Buffer) => void told.push(`read ${bytes.length}`),
    bodyFailed: ({ code }: { code: string }) => void told.push(code),
    bodyDrained: () => void told.push('drained'),
  }
  const reader = new BodyReader({
    encoding: options.encoding,
    announcedBytes: options.announcedBytes,
    maxBytes: 1_000_000,
    claim: (bytes, onGranted) => {
      claims.push(bytes)
      grant = onGranted
      return { granted: options.granted ?? false, shrink: () => undefined, release: () => undefined }
    },
    owner,
  })
  return { reader, claims, told, grant: () => grant() }
}

const SMALL = Buffer.alloc(UNCLAIMED_BYTES)
const turns = async (count: number) => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
}

describe('a body that is not small', () => {
  it('is claimed once, at the byte with which it is not small any more', () => {
    const { reader, claims } = claiming({ granted: true })

    expect([reader.write(SMALL), claims]).toEqual([true, []])
    expect([reader.write(Buffer.alloc(1)), claims]).toEqual([true, [1_000_000]])
    reader.write(SMALL)
    expect(claims).toEqual([1_000_000])
  })

  it.each([
    [{ announcedBytes: 70_000 }, 70_000],
    [{ announcedBytes: 7_000_000 }, 1_000_000],
    [{}, 1_000_000],
  ])('is claimed as what it can become: %j', (options, bytes) => {
    const { reader, claims } = claiming(options)
    reader.write(Buffer.alloc(70_000))

    expect(claims).toEqual([bytes])
  })

  it('is claimed as what it may become decoded, whatever it has on the wire', async () => {
    const { reader, claims } = claiming({ encoding: 'gzip', announcedBytes: 90, granted: true })
    reader.write(gzipSync(Buffer.alloc(70_000)))
    while (claims.length === 0) await turns(1)

    expect(claims).toEqual([1_000_000])
  })

  it('is read on once it is granted', () => {
    const { reader, told, grant } = claiming()

    expect(reader.write(Buffer.alloc(70_000))).toBe(false)
    expect(told).toEqual([])
    grant()
    expect(told).toEqual(['drained'])
    expect(reader.write(Buffer.alloc(1))).toBe(true)
    reader.end()
    expect(told).toEqual(['drained', 'read 70001'])
  })

  it('is not there before it is granted, though its last byte is', () => {
    const { reader, told, grant } = claiming()
    reader.write(Buffer.alloc(70_000))
    reader.end()

    expect(told).toEqual([])
    grant()
    expect(told).toEqual(['read 70000'])
  })

  it('waits within a decoder, whose writer is held up then', async () => {
    const { reader, claims, told, grant } = claiming({ encoding: 'gzip' })
    const coded = gzipSync(randomBytes(900_000))
    let taken = 0
    let held = 0
    while (taken < coded.length && held < 50) {
      const drained = told.length
      const full = !reader.write(coded.subarray(taken, taken + 8_192))
      taken += 8_192
      // Until it is claimed nothing holds it up: then the decoder is slow.
      for (held = 0; full && told.length === drained && held < 50; held = claims.length === 0 ? 0 : held + 1)
        await sleep(1)
    }
    const before = told.length

    expect(taken).toBeLessThan(coded.length)
    grant()
    while (told.length === before) await turns(1)
    reader.write(coded.subarray(taken))
    reader.end()
    while (!told.includes('read 900000')) await turns(1)
  })

  it('is nobody’s once it was destroyed', () => {
    const { reader, told, grant } = claiming()
    reader.write(Buffer.alloc(70_000))
    reader.destroy()
    grant()

    expect(told).toEqual([])
  })
})
