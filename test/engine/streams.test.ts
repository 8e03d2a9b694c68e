import { describe, expect, it, vi } from 'vitest'
import { bytesOfLog, Streams } from '../../src/engine/streams.ts'
import type { BatchRow } from '../../src/store/store.ts'
import { FakeClock, turn } from '../support/fake-clock.ts'

// All that a last line is made of.
const ROW = { no: 7, id: 'batch_7' } as BatchRow

function start() {
  const clock = new FakeClock()
  const shutdown = new AbortController()
  const store = { pending: async (no: number) => (no === ROW.no ? [1, 4] : []) }
  return { clock, shutdown, streams: new Streams({ store, clock, shutdown: shutdown.signal }) }
}

async function* numbers(...values: number[]) {
  yield* values
}

describe('Streams', () => {
  it('tell all who asked that the service stops, once, and nobody who took it back, with one listener of the signal', () => {
    const { shutdown } = start()
    const listening = vi.spyOn(shutdown.signal, 'addEventListener')
    const streams = new Streams({
      store: { pending: async () => [] },
      clock: new FakeClock(),
      shutdown: shutdown.signal,
    })
    const told: number[] = []
    const takeBack = [0, 1, 2, 3].map((i) => streams.onShutdown(() => told.push(i)))
    takeBack[1]()
    // Whoever is told may take back his own.
    streams.onShutdown(() => takeBack[3]())

    shutdown.abort()

    expect(told).toEqual([0, 2, 3])
    expect(listening).toHaveBeenCalledTimes(1)
  })

  it('has the same lines as the stream that is counted', async () => {
    const { streams } = start()
    const seen: number[] = []
    for await (const each of streams.counted(numbers(1, 2, 3))) seen.push(each)

    expect(seen).toEqual([1, 2, 3])
  })

  it('has ended when nothing was read yet', async () => {
    const { streams } = start()
    streams.counted(numbers(1))

    await expect(streams.ended()).resolves.toBeUndefined()
  })

  it('has ended when the last one has, whether it was read to its end, given up or failed', async () => {
    const { streams } = start()
    const failing = streams.counted(
      (async function* () {
        yield 1
        throw new Error('gone')
      })(),
    )
    const [read, givenUp] = [streams.counted(numbers(1)), streams.counted(numbers(1, 2))]
    for (const stream of [read, givenUp, failing]) await stream.next()
    let told = 0
    for (let i = 0; i < 2; i++) void streams.ended().then(() => told++)

    const heard: number[] = []
    for (const end of [() => read.next(), () => givenUp.return(undefined), () => failing.next()]) {
      heard.push(told)
      await end().catch(() => undefined)
      await turn()
    }

    expect([...heard, told]).toEqual([0, 0, 0, 2])
    await expect(streams.ended()).resolves.toBeUndefined()
  })

  it('lets the inner stream go when it is given up', async () => {
    const { streams } = start()
    let released = 0
    const stream = streams.counted(
      (async function* () {
        try {
          yield* numbers(1, 2)
        } finally {
          released++
        }
      })(),
    )

    await stream.next()
    await stream.return(undefined)

    expect(released).toBe(1)
  })

  it('lets a stream wait until its timeout, and without one for ever', async () => {
    const { streams, clock } = start()
    const deadline = streams.deadlineOf({ timeoutMs: 100 })

    await clock.advance(40)
    expect(streams.left(deadline)).toBe(60)
    expect(streams.left(streams.deadlineOf({}))).toBe(Number.POSITIVE_INFINITY)
    await clock.advance(61)
    expect(streams.left(deadline)).toBe(0)
  })

  it('ends with what is pending at the timeout', async () => {
    const { streams } = start()

    const line = await streams.lastLine(ROW)

    expect(line).toMatchObject({ seq: null, type: 'stream.timeout' })
    expect(JSON.parse(line.json)).toEqual({
      type: 'stream.timeout',
      batchId: 'batch_7',
      pending: ['batch_7-1', 'batch_7-4'],
    })
  })

  it('ends at once with the service, and says so', async () => {
    const { streams, shutdown } = start()
    shutdown.abort()

    expect(streams.left(Number.POSITIVE_INFINITY)).toBe(0)
    expect(await streams.lastLine(ROW)).toEqual({
      seq: null,
      type: 'stream.shutdown',
      json: '{"type":"stream.shutdown","batchId":"batch_7"}',
    })
  })
})

describe('bytesOfLog', () => {
  it('adds up what its events are as JSON', () => {
    const events = ['{"a":1}', '{}'].map((json, i) => ({ seq: i, type: 'job.started', json }))

    expect(bytesOfLog({ events, after: 2 })).toBe(9)
  })
})
