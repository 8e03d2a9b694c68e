import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { BodyReader } from '../../../src/jobs/fetch/body-reader.ts'

/** Read chunks; resolves with all that the owner was told, once it was told something. */
async function read(encoding: string | undefined, maxBytes: number, chunks: Buffer[], stop = false): Promise<string[]> {
  const told: string[] = []
  const reader = new BodyReader({
    encoding,
    maxBytes,
    owner: {
      bodyRead: (bytes) => told.push(`read ${bytes}`),
      bodyFailed: ({ code }) => told.push(code),
      bodyDrained: () => undefined,
    },
  })
  for (const chunk of chunks) reader.write(chunk)
  reader.end()
  if (stop) reader.destroy()
  for (let turns = 0; turns < 50; turns++) await new Promise((resolve) => setImmediate(resolve))
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

  it('says nothing once it is destroyed', async () => {
    expect(await read('gzip', 5, [gzipSync('hello')], true)).toEqual([])
    expect(await read('gzip', 5, [Buffer.from('garbage')], true)).toEqual([])
  })
})
