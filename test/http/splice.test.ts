import fc from 'fast-check'
import { fastify } from 'fastify'
import { describe, expect, it } from 'vitest'
import { arrayOf, sendSpliced } from '../../src/http/splice.ts'

async function* pagesOf(pages: string[][]): AsyncGenerator<string[]> {
  yield* pages
}

/** The body that `sendSpliced` writes. */
async function spliced(head: object, pages: string[][], tail?: Record<string, unknown>) {
  await using app = fastify()
  app.get('/', async (_request, reply) => sendSpliced(reply, head, 'jobs', pagesOf(pages), tail))
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
    app.get('/', async (_request, reply) => sendSpliced(reply, {}, 'jobs', endless()))
    const address = await app.listen({ port: 0 })

    const stop = new AbortController()
    const response = await fetch(address, { signal: stop.signal })
    const reader = response.body?.getReader()
    await reader?.read()
    // Sockets and streams hold some megabytes; a writer that does not wait would have filled the memory.
    for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    const before = fetched
    for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve))

    expect(fetched).toBe(before)
    stop.abort()
  })
})

describe('arrayOf', () => {
  it('joins JSON texts', () => {
    expect(JSON.parse(arrayOf([]))).toEqual([])
    expect(JSON.parse(arrayOf(['{"a":1}', '2']))).toEqual([{ a: 1 }, 2])
  })
})
