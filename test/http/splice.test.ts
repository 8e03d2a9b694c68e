import { Writable } from 'node:stream'
import fc from 'fast-check'
import { type FastifyReply, fastify } from 'fastify'
import { describe, expect, it } from 'vitest'
import { arrayOf, inPieces, sendRead, sendSpliced } from '../../src/http/splice.ts'
import { SMALL_PAGE_BYTES, UnreadBytes } from '../../src/http/unread.ts'
import { FakeClock } from '../support/fake-clock.ts'

async function* pagesOf(pages: string[][]): AsyncGenerator<string[]> {
  yield* pages
}

function unreadOf(reply: FastifyReply) {
  return new UnreadBytes({ limit: 2 ** 28, clock: new FakeClock() }).answer('acme', reply.raw)
}

/** The body that `sendSpliced` writes. */
async function spliced(head: object, pages: string[][], tail?: Record<string, unknown>) {
  await using app = fastify()
  app.get('/', async (_request, reply) =>
    sendSpliced(reply, head, 'jobs', pagesOf(pages), { tail, unread: unreadOf(reply) }),
  )
  const response = await app.inject('/')
  return { type: response.headers['content-type'], body: response.json() }
}

describe('sendSpliced', () => {
  it('writes valid JSON, however many pages there are', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(fc.string(), fc.integer(), { maxKeys: 2, noNullPrototype: true }),
        fc.array(fc.array(fc.jsonValue(), { maxLength: 3 }), { maxLength: 4 }),
        async (head, pages) => {
          fc.pre(!Object.keys(head).some((key) => key === '__proto__' || key === 'jobs' || key === 'pending'))
          const texts = pages.map((page) => page.map((job) => JSON.stringify(job)))

          const { body } = await spliced(head, texts, { pending: ['x'] })

          expect(JSON.stringify(body)).toBe(JSON.stringify({ ...head, jobs: pages.flat(), pending: ['x'] }))
        },
      ),
      { numRuns: 40 },
    )
  })

  it.each([
    [{}, [], { jobs: [] }],
    [{ a: 1 }, [[]], { a: 1, jobs: [] }],
    [{ a: 1 }, [['1'], [], ['2', '3']], { a: 1, jobs: [1, 2, 3] }],
  ])('writes %j and %j', async (head, pages, expected) => {
    expect(await spliced(head, pages)).toEqual({ type: 'application/json; charset=utf-8', body: expected })
  })

  it('fetches a page only when the reader has room for it', async () => {
    await using app = fastify()
    let fetched = 0
    async function* endless() {
      for (;;) {
        fetched += 1
        yield [JSON.stringify('x'.repeat(100_000))]
      }
    }
    app.get('/', async (_request, reply) => sendSpliced(reply, {}, 'jobs', endless(), { unread: unreadOf(reply) }))
    const address = await app.listen({ port: 0 })

    const stop = new AbortController()
    const response = await fetch(address, { signal: stop.signal })
    const reader = response.body?.getReader()
    await reader?.read()
    // Sockets hold some megabytes; a writer that does not wait would have filled the memory.
    for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    const before = fetched
    for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve))

    expect(fetched).toBe(before)
    stop.abort()
  })
})

describe('sendRead', () => {
  it.each([0, SMALL_PAGE_BYTES - 2, SMALL_PAGE_BYTES - 1, 3 * SMALL_PAGE_BYTES, 200_001])(
    'says how long %d characters are, and sends them as they are',
    async (length) => {
      await using app = fastify()
      const text = JSON.stringify('\u20ac'.repeat(length))
      app.get('/', async (_request, reply) => sendRead(reply, text, unreadOf(reply)))

      const response = await app.inject('/')

      expect(response.body === text).toBe(true)
      expect(response.headers['content-length']).toBe(String(Buffer.byteLength(text)))
      expect(response.headers['content-type']).toBe('application/json; charset=utf-8')
    },
  )
})

describe('inPieces', () => {
  it('asks for no more than the next piece while the reader has not taken what it was given', async () => {
    let asked = 0
    function* text() {
      for (;;) {
        asked++
        yield 'x'
      }
    }
    const unread = new UnreadBytes({ limit: 2 ** 28, clock: new FakeClock() })
    const stream = inPieces(unread.answer('acme', new Writable()), text())
    const full = new Writable({ highWaterMark: 1, write: () => undefined })

    stream.pipe(full)
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve))

    expect(asked).toBe(2)
    stream.destroy()
  })

  it('gives what is long in pieces, and what is short as it is', async () => {
    const unread = new UnreadBytes({ limit: 2 ** 28, clock: new FakeClock() })
    const chunks: Buffer[] = []
    const text = ['short', 'y'.repeat(2 * SMALL_PAGE_BYTES + 1), Buffer.from('end')]
    for await (const chunk of inPieces(unread.answer('acme', new Writable()), text)) chunks.push(chunk)

    expect(chunks.map(({ length }) => length)).toEqual([5, SMALL_PAGE_BYTES, SMALL_PAGE_BYTES, 1, 3])
    expect(Buffer.concat(chunks).toString()).toBe(text.join(''))
  })
})

describe('arrayOf', () => {
  it('joins JSON texts', () => {
    expect(JSON.parse(arrayOf([]))).toEqual([])
    expect(JSON.parse(arrayOf(['{"a":1}', '2']))).toEqual([{ a: 1 }, 2])
  })
})
