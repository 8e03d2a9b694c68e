import { describe, expect, it } from 'vitest'
import type { StreamEvent } from '../../src/engine/engine.ts'
import { follow, HEARTBEAT_MS } from '../../src/stream/follow.ts'
import { ndjson, sse } from '../../src/stream/frames.ts'
import { StillClock } from '../support/fake-parts.ts'

const event = (seq: number): StreamEvent => ({ seq, type: 'x', json: JSON.stringify({ seq }) })

/** A source that yields when told, and notes what is asked of it. */
class Source implements AsyncIterable<StreamEvent[]> {
  asked = 0
  returned = 0
  #answer = Promise.withResolvers<IteratorResult<StreamEvent[], undefined>>()

  push(...events: StreamEvent[]): void {
    this.#settle({ done: false, value: events })
  }

  end(): void {
    this.#settle({ done: true, value: undefined })
  }

  #settle(result: IteratorResult<StreamEvent[], undefined>): void {
    this.#answer.resolve(result)
    this.#answer = Promise.withResolvers()
  }

  [Symbol.asyncIterator]() {
    return {
      next: () => {
        this.asked += 1
        return this.#answer.promise
      },
      return: async () => {
        this.returned += 1
        return { done: true as const, value: undefined }
      },
    }
  }
}

describe('follow', () => {
  it('opens, and frames each array of events as one chunk', async () => {
    const source = new Source()
    const text = follow(source, sse, new StillClock())

    expect((await text.next()).value).toBe(sse.opening)
    const chunk = text.next()
    source.push(event(1), event(2))

    expect(String((await chunk).value)).toBe(sse.frame(event(1)) + sse.frame(event(2)))
  })

  it('shares the bytes of a page with all who follow the same', async () => {
    const page = [event(1), event(2)]
    async function* one() {
      yield page
    }

    const chunks = [follow(one(), ndjson, new StillClock()), follow(one(), ndjson, new StillClock())].map((each) =>
      each.next(),
    )

    const [first, second] = await Promise.all(chunks)
    expect(first?.value).toBeInstanceOf(Buffer)
    expect(first?.value).toBe(second?.value)
  })

  it('asks for more only when it is asked itself', async () => {
    const source = new Source()
    const text = follow(source, ndjson, new StillClock())
    const first = text.next()
    source.push(event(1))
    await first

    await new Promise((resolve) => setImmediate(resolve))

    expect(source.asked).toBe(1)
  })

  it('ends with its source, and lets go of it', async () => {
    const source = new Source()
    const text = follow(source, ndjson, new StillClock())
    const end = text.next()
    source.end()

    expect(await end).toEqual({ done: true, value: undefined })
    expect(source.returned).toBe(1)
  })

  it('lets go of its source when its consumer leaves', async () => {
    const source = new Source()
    const text = follow(source, sse, new StillClock())
    await text.next()

    await text.return()

    expect(source.returned).toBe(1)
  })

  it('skips empty arrays', async () => {
    const source = new Source()
    const text = follow(source, ndjson, new StillClock())
    const chunk = text.next()
    source.push()
    await new Promise((resolve) => setImmediate(resolve))
    source.push(event(1))

    expect(String((await chunk).value)).toBe(ndjson.frame(event(1)))
  })

  it('shows that it lives every fifteen seconds of silence, and loses no event over it', async () => {
    const source = new Source()
    const clock = new StillClock()
    const text = follow(source, sse, clock)
    await text.next()

    for (let beat = 0; beat < 3; beat += 1) {
      const chunk = text.next()
      await new Promise((resolve) => setImmediate(resolve))
      clock.advance(HEARTBEAT_MS)
      expect((await chunk).value).toBe(sse.heartbeat)
    }
    const chunk = text.next()
    source.push(event(1))

    expect(String((await chunk).value)).toBe(sse.frame(event(1)))
    expect(source.asked).toBe(1)
    expect(clock.armed).toBe(0)
  })

  it('has no heartbeat where the format has none, and arms no timer', async () => {
    const source = new Source()
    const clock = new StillClock()
    const chunk = follow(source, ndjson, clock).next()
    await new Promise((resolve) => setImmediate(resolve))

    expect(clock.armed).toBe(0)
    source.end()
    await chunk
  })

  it('hands on what its source throws, and leaves no timer behind', async () => {
    const clock = new StillClock()
    async function* broken(): AsyncGenerator<StreamEvent[]> {
      yield [event(1)]
      throw new Error('log unreadable')
    }
    const text = follow(broken(), sse, clock)
    await text.next()
    await text.next()

    await expect(text.next()).rejects.toThrow('log unreadable')
    expect(clock.armed).toBe(0)
  })
})
