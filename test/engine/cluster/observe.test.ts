import { describe, expect, it } from 'vitest'
import { Observer } from '../../../src/engine/cluster/observe.ts'
import type { StreamEvent } from '../../../src/engine/engine.ts'
import type { BatchRow, Store } from '../../../src/store/store.ts'
import { FakeClock, turn } from '../../support/fake-clock.ts'

const ID = '00000000-0000-7000-8000-000000000001'

/** A record that a test writes, and an observer over it; `tell` is the news of a commit. */
function world() {
  const clock = new FakeClock()
  const stopping = new AbortController()
  const listeners = new Set<() => void>()
  const log: StreamEvent[] = []
  const state = {
    settledAt: null as number | null,
    drainedAt: null as number | null,
    pending: [0, 1],
    failed: '',
    gone: false,
  }
  const reads = { log: 0, batch: 0 }
  const row = (): BatchRow =>
    ({
      no: 1,
      id: ID,
      tenantId: 'a',
      state: state.settledAt === null ? 'running' : 'succeeded',
      seq: log.length,
      acceptedAt: 0,
      settledAt: state.settledAt,
      drainedAt: state.drainedAt,
      header: '{}',
      facts: JSON.stringify({
        counts: [],
        accepted: [{ from: 0, at: 0 }],
        error: null,
        winner: null,
        cancel: null,
        decided: null,
      }),
      // As much of it as is used.
    }) as unknown as BatchRow
  const store = {
    async batch() {
      reads.batch++
      return state.gone ? null : row()
    },
    async log(_no: number, { after }: { after: number }) {
      reads.log++
      await turn()
      return { events: log.slice(after), after: log.length }
    },
    pending: async () => state.pending,
    jobs: async () => ({ data: state.failed === '' ? [] : [state.failed], next: null }),
  } as Partial<Store> as Store
  const watches = {
    async watch(_batchId: string, listener: () => void) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
  }
  const observer = new Observer({ store, watches, clock, shutdown: stopping.signal })
  const tell = () => {
    for (const listener of listeners) listener()
  }
  const write = (...types: string[]) => {
    for (const type of types) log.push({ seq: log.length + 1, type, json: `{"seq":${log.length + 1}}` })
  }
  return { clock, stopping, listeners, state, reads, row, observer, tell, write }
}

type World = ReturnType<typeof world>

/** Reads a stream; what has come of it so far. */
function reading({ observer, row }: World, query: Parameters<Observer['events']>[1]) {
  const seen = { types: [] as string[], over: false }
  void (async () => {
    for await (const events of observer.events(row(), query)) seen.types.push(...events.map(({ type }) => type))
    seen.over = true
  })()
  return seen
}

async function settled(): Promise<void> {
  for (let nth = 0; nth < 10; nth++) await turn()
}

describe('a stream of the record', () => {
  it('shows what is there, then what is told, and ends with the batch', async () => {
    const all = world()
    all.write('one', 'two')
    const seen = reading(all, { after: 1 })
    await settled()
    expect(seen).toEqual({ types: ['two'], over: false })

    all.write('three')
    await settled()
    expect(seen.types).toEqual(['two'])
    all.tell()
    await settled()
    expect(seen.types).toEqual(['two', 'three'])
    all.write('batch.drained')
    all.tell()
    await settled()

    expect(seen).toEqual({ types: ['two', 'three', 'batch.drained'], over: true })
    expect(all.listeners.size).toBe(0)
  })

  it('looks again by itself, should a message be lost', async () => {
    const all = world()
    const seen = reading(all, { after: 0 })
    await settled()
    all.write('lost')

    await all.clock.elapse(1_999)
    await settled()
    expect(seen.types).toEqual([])
    await all.clock.elapse(1)
    await settled()

    expect(seen.types).toEqual(['lost'])
  })

  it('misses nothing that is told while it reads', async () => {
    const all = world()
    const seen = reading(all, { after: 0 })
    await turn()
    all.write('meanwhile')
    all.tell()
    await settled()

    expect(seen.types).toEqual(['meanwhile'])
  })

  it('reads a page once for all who are at the same place', async () => {
    const all = world()
    const many = Array.from({ length: 50 }, () => reading(all, { after: 0 }))
    await settled()
    all.reads.log = 0
    all.write('one')
    all.tell()
    await settled()

    expect(new Set(many.map(({ types }) => types.join()))).toEqual(new Set(['one']))
    // The page with the event, and the one after it.
    expect(all.reads.log).toBeLessThanOrEqual(4)
  })

  it('ends at its time with what is pending, at the shutdown, when the reader goes, and when the batch is gone', async () => {
    const timely = world()
    const atTimeout = reading(timely, { after: 0, timeoutMs: 500 })
    await settled()
    await timely.clock.elapse(499)
    expect(atTimeout.over).toBe(false)
    await timely.clock.elapse(1)
    await settled()
    expect(atTimeout).toEqual({ types: ['stream.timeout'], over: true })

    const stopped = world()
    const atShutdown = reading(stopped, { after: 0 })
    await settled()
    const ended = stopped.observer.ended()
    stopped.stopping.abort()
    await ended
    await settled()
    expect(atShutdown).toEqual({ types: ['stream.shutdown'], over: true })

    const left = world()
    const gone = new AbortController()
    const ofReader = reading(left, { after: 0, signal: gone.signal })
    await settled()
    gone.abort()
    await settled()
    expect([ofReader, left.listeners.size]).toEqual([{ types: [], over: true }, 0])

    const deleted = world()
    const ofDeleted = reading(deleted, { after: 0 })
    await settled()
    deleted.state.gone = true
    deleted.tell()
    await settled()
    expect(ofDeleted).toEqual({ types: [], over: true })
  })

  it('waits for every last line before it counts as ended', async () => {
    const all = world()
    const stream = all.observer.events(all.row(), { after: 0 })
    const first = stream.next()
    await settled()
    let over = false
    void all.observer.ended().then(() => {
      over = true
    })
    all.stopping.abort()

    expect((await first).value?.[0].type).toBe('stream.shutdown')
    await settled()
    expect(over).toBe(false)
    await stream.next()
    await settled()

    expect(over).toBe(true)
  })
})

describe('a wait for the record', () => {
  it.each([
    ['FIRST_COMPLETED', { pending: [1], failed: '' }],
    ['FIRST_EXCEPTION', { pending: [1], failed: '{"index":0}' }],
    ['ALL_COMPLETED', { pending: [], failed: '' }],
  ] as const)('for %s resolves when it is so, and not before', async (returnWhen, then) => {
    const all = world()
    let over = false
    void all.observer.wait(all.row(), { returnWhen, timeoutMs: 60_000 }, 2).then(() => {
      over = true
    })
    all.tell()
    await settled()
    expect(over).toBe(false)

    Object.assign(all.state, { ...then, pending: [...then.pending] })
    all.tell()
    await settled()

    expect([over, all.listeners.size]).toEqual([true, 0])
  })

  it('is not met by what was appended after it began', async () => {
    const all = world()
    all.state.pending = [2]
    let over = false
    void all.observer.wait(all.row(), { returnWhen: 'ALL_COMPLETED', timeoutMs: 60_000 }, 2).then(() => {
      over = true
    })
    await settled()

    expect(over).toBe(true)
  })

  it.each(['timeout', 'signal', 'shutdown'])('ends at its %s as well', async (how) => {
    const all = world()
    const gone = new AbortController()
    let over = false
    const query = { returnWhen: 'ALL_COMPLETED' as const, timeoutMs: 700, signal: gone.signal }
    void all.observer.wait(all.row(), query, 2).then(() => {
      over = true
    })
    await settled()
    await all.clock.elapse(699)
    expect(over).toBe(false)

    if (how === 'timeout') await all.clock.elapse(1)
    else if (how === 'signal') gone.abort()
    else all.stopping.abort()
    await settled()

    expect([over, all.listeners.size]).toEqual([true, 0])
  })

  it('sees by itself that a batch has settled, should the news be lost', async () => {
    const all = world()
    let settledAt: string | null | undefined
    void all.observer.untilSettled(all.row(), 60_000).then((view) => {
      settledAt = view.settledAt
    })
    await settled()
    all.state.settledAt = 5

    await all.clock.elapse(1_999)
    expect(settledAt).toBeUndefined()
    await all.clock.elapse(1)
    await settled()

    expect(settledAt).toBe('1970-01-01T00:00:00.005Z')
  })
})
