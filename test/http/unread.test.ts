import { EventEmitter } from 'node:events'
import { describe, expect, it } from 'vitest'
import { OverloadedError } from '../../src/errors.ts'
import { MOST_READS, SMALL_PAGE_BYTES, STALLED_MS, UnreadBytes } from '../../src/http/unread.ts'
import { FakeClock } from '../support/fake-clock.ts'

const MIB = 1_048_576
/** A page counts twice: as text, and as bytes. */
const HALF = MIB / 2

class Connection extends EventEmitter {
  destroyed = false

  destroy(): void {
    if (this.destroyed) return
    this.destroyed = true
    this.emit('close')
  }
}

/** Pages that the test reads, one at a time. */
class Bench {
  readonly clock = new FakeClock()
  readonly unread: UnreadBytes
  /** Reads that have begun, and how to end them. */
  readonly reading: { name: string; end: (bytes: number) => void; fail: (error: Error) => void }[] = []
  /** All that ever began, in order. */
  readonly began: string[] = []

  constructor(limit = 100 * MIB) {
    this.unread = new UnreadBytes({ limit, clock: this.clock })
  }

  answer(tenantId: string, name = tenantId) {
    const connection = new Connection()
    const answer = this.unread.answer(tenantId, connection)
    const page = () =>
      answer.page(
        () => {
          this.began.push(name)
          const { promise, resolve, reject } = Promise.withResolvers<number>()
          this.reading.push({ name, end: resolve, fail: reject })
          return promise
        },
        (bytes) => bytes,
      )
    return { answer, connection, page }
  }

  /** An answer whose page of so many bytes has been read, and that holds it. */
  async holding(tenantId: string, bytes: number, name?: string) {
    const one = this.answer(tenantId, name)
    const page = one.page()
    await this.end(bytes)
    await page
    return one
  }

  /** End the read that began first. */
  async end(bytes: number): Promise<void> {
    this.reading.shift()?.end(bytes)
    await settle()
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await Promise.resolve()
}

describe('the turns of UnreadBytes', () => {
  it('reads pages at once, as many as that, while they are small', async () => {
    const bench = new Bench()
    for (let n = 0; n < MOST_READS + 3; n++) void bench.answer('a', `a${n}`).page()
    expect(bench.began).toHaveLength(MOST_READS)

    await bench.end(SMALL_PAGE_BYTES - 1)

    expect(bench.began).toHaveLength(MOST_READS + 1)
    expect(bench.unread.waiting).toBe(2)
  })

  it('reads one page of a tenant at a time as soon as they are large, and more when they are small again', async () => {
    const bench = new Bench()
    await bench.holding('a', SMALL_PAGE_BYTES)
    for (let n = 0; n < 20; n++) void bench.answer('a', `a${n}`).page()
    expect(bench.reading).toHaveLength(1)

    await bench.end(SMALL_PAGE_BYTES)
    expect(bench.reading).toHaveLength(1)
    await bench.end(1)
    expect(bench.reading).toHaveLength(2)
    await bench.end(1)

    expect(bench.reading).toHaveLength(4)
  })

  it('reads a page of another tenant beside what fifty of the first wait for, and all of them in the end', async () => {
    const bench = new Bench()
    const first = await bench.holding('a', MIB)
    const pages = Array.from({ length: 50 }, (_, n) => {
      const { page, connection } = bench.answer('a', `a${n}`)
      return page().then(() => connection.destroy())
    })
    first.connection.destroy()
    expect(bench.reading.map(({ name }) => name)).toEqual(['a0'])

    void bench.answer('b').page()

    expect(bench.reading.map(({ name }) => name)).toEqual(['a0', 'b'])
    while (bench.reading.length > 0) await bench.end(MIB)
    await Promise.all(pages)
    expect(bench.began.filter((name) => name !== 'b')).toEqual(['a', ...Array.from({ length: 50 }, (_, n) => `a${n}`)])
  })

  it('goes on after a read that failed, which its answer is told', async () => {
    const bench = new Bench()
    await bench.holding('a', MIB)
    const failing = bench.answer('a', 'a1').page()
    void bench.answer('a', 'a2').page()

    bench.reading.shift()?.fail(new Error('gone'))

    await expect(failing).rejects.toThrow('gone')
    expect(bench.began).toEqual(['a', 'a1', 'a2'])
  })

  it('reads nothing for those that hang up while they wait', async () => {
    const bench = new Bench()
    const first = bench.answer('a', 'a0')
    await bench.holding('a', MIB)
    void first.page()
    const gone = bench.answer('a', 'a1')
    const page = gone.page()
    void bench.answer('a', 'a2').page()

    gone.connection.destroy()

    await expect(page).rejects.toThrow(OverloadedError)
    await bench.end(1)
    expect(bench.began).toEqual(['a', 'a0', 'a2'])
    await expect(gone.page()).rejects.toThrow(OverloadedError)
  })
})

describe('the bytes of UnreadBytes', () => {
  it('count a page until the next one is asked for, or the connection is done', async () => {
    const bench = new Bench()
    const one = await bench.holding('a', HALF)
    const two = await bench.holding('a', HALF)
    expect(bench.unread.total).toBe(2 * MIB)

    two.connection.destroy()
    expect(bench.unread.total).toBe(MIB)

    const page = one.page()
    await bench.end(1)
    await page
    expect(bench.unread.total).toBe(0)
  })

  it('do not count what is small', async () => {
    const bench = new Bench()
    await bench.holding('a', SMALL_PAGE_BYTES - 1)

    expect(bench.unread.total).toBe(0)
  })

  it('count nothing for a connection that ended while its page was read', async () => {
    const bench = new Bench()
    const { page, connection } = bench.answer('a')
    const read = page()

    connection.destroy()
    await bench.end(MIB)
    await read

    expect(bench.unread.total).toBe(0)
  })

  it('keep a tenant from reading more than half of what there is, until something has been taken', async () => {
    const bench = new Bench(10 * MIB)
    const held = []
    for (let n = 0; n < 5; n++) held.push(await bench.holding('a', HALF, `a${n}`))
    void bench.answer('a', 'more').page()
    expect([bench.unread.total, bench.unread.waiting]).toEqual([5 * MIB, 1])

    held[2]?.connection.destroy()
    await settle()

    expect(bench.unread.waiting).toBe(0)
    expect(bench.began.at(-1)).toBe('more')
  })

  it('have room for a tenant that has nothing when another one has its share', async () => {
    const bench = new Bench(10 * MIB)
    for (let n = 0; n < 5; n++) await bench.holding('a', HALF)
    for (let n = 0; n < 9; n++) void bench.answer('a').page()

    void bench.answer('b').page()

    expect(bench.reading.map(({ name }) => name)).toEqual(['b'])
  })

  it('can always hold one page, however large', async () => {
    const bench = new Bench(MIB)
    const one = await bench.holding('a', 50 * MIB)
    const next = bench.answer('a', 'next')
    void next.page()
    expect(bench.reading).toHaveLength(0)

    one.connection.destroy()
    await settle()

    expect(bench.reading.map(({ name }) => name)).toEqual(['next'])
  })

  it('give what a tenant that has nothing waits for to nobody else', async () => {
    const bench = new Bench(10 * MIB)
    const a = await bench.holding('a', 3 * MIB)
    const c = await bench.holding('c', 2.5 * MIB)
    void bench.answer('a', 'a1').page()
    a.connection.destroy()
    // Of ten five are free, and a waits for six.
    void bench.answer('d').page()
    expect(bench.began).toEqual(['a', 'c'])

    c.connection.destroy()
    await settle()

    expect(bench.began).toEqual(['a', 'c', 'a1', 'd'])
  })
})

describe('readers that take nothing', () => {
  it('are kept as long as nobody waits', async () => {
    const bench = new Bench(MIB)
    const one = await bench.holding('a', MIB)

    await bench.clock.advance(10 * STALLED_MS)

    expect(one.connection.destroyed).toBe(false)
    expect(bench.clock.armed).toBe(0)
  })

  it('are cut while somebody waits, and those that take something are not', async () => {
    const bench = new Bench(10 * MIB)
    const stalled = await bench.holding('a', HALF * 2)
    const slow = await bench.holding('a', HALF * 2)
    const pieces = slow.answer.pieces([Buffer.alloc(4 * SMALL_PAGE_BYTES)])
    void bench.answer('a', 'next').page()
    expect(bench.unread.waiting).toBe(1)

    await pieces.next()
    await bench.clock.advance(STALLED_MS - 1)
    expect(stalled.connection.destroyed).toBe(false)
    await pieces.next()
    await bench.clock.advance(6_000)

    expect([stalled.connection.destroyed, slow.connection.destroyed]).toEqual([true, false])
    expect(bench.began.at(-1)).toBe('next')
  })

  it('are not those whose page is still being read', async () => {
    const bench = new Bench(10 * MIB)
    // Its tenant is known by this one, and so is how much a page of it takes: the other one holds that while it reads.
    const idle = await bench.holding('a', HALF)
    const reader = await bench.holding('a', HALF)
    void reader.page()
    void bench.answer('a', 'next').page()
    expect([bench.unread.total, bench.unread.waiting]).toEqual([2 * MIB, 1])

    await bench.clock.advance(3 * STALLED_MS)

    expect([idle.connection.destroyed, reader.connection.destroyed]).toEqual([true, false])
  })
})
