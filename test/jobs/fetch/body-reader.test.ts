import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { BodyReader } from '../../../src/jobs/fetch/body-reader.ts'

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
