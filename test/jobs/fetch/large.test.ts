import { describe, expect, it, vi } from 'vitest'
import { BodyThread, LargeBodies } from '../../../src/jobs/fetch/body-thread.ts'
import { InflightBytes } from '../../../src/jobs/fetch/inflight.ts'
import { type Kept, keep } from '../../../src/jobs/fetch/keep.ts'
import { Writing } from '../../../src/jobs/fetch/writing.ts'
import { bufferOf } from '../../../src/json/raw.ts'
import { startBench, stoppable } from '../attempt.ts'

const MIB = 1 << 20
const turn = () => new Promise((resolve) => setImmediate(resolve))

/** A thread that answers when the test says so. */
function heldThread() {
  const asked: { bytes: Buffer; answer(): void; fail(error: Error): void }[] = []
  const bodies = new LargeBodies(({ bytes, asJson }) => {
    const { promise, resolve, reject } = Promise.withResolvers<Kept>()
    asked.push({ bytes: bufferOf(bytes), answer: () => resolve(keep(bufferOf(bytes), asJson)), fail: reject })
    return promise
  })
  return { bodies, asked }
}

describe('a large body', () => {
  it('is kept on a thread of its own, and fetches of others begin and end meanwhile', async () => {
    const { bodies, asked } = heldThread()
    await using bench = await startBench({ parts: { bodies } })
    const large = bench.get('/objects?bytes=10400000', { response: 'json' })
    while (asked.length === 0) await turn()

    for (let i = 0; i < 8; i++) expect((await bench.get('/ok', {}, { tenantId: 'other' })).body).toBe('ok')

    asked[0]?.answer()
    const { body, bytes } = await large
    expect([JSON.parse(JSON.stringify(body)).length, bytes]).toEqual([1_040_001, 10_400_004])
  })

  it.each([
    ['full', '/big?bytes=1048576'],
    ['full', '/big?bytes=1048576&chunked=1'],
    ['full', '/gzip?of=1048576'],
    ['json', '/objects?bytes=1048576'],
  ])('is handed over in memory that threads share (%s %s)', async (response, path) => {
    const shared = vi.spyOn(BodyThread.shared, 'keep')
    await using bench = await startBench()

    await bench.get(path, { response })

    const [call] = shared.mock.calls
    const kept = await shared.mock.results[0]?.value
    expect(call?.[0].bytes.buffer).toBeInstanceOf(SharedArrayBuffer)
    expect(kept.kept.body.json.buffer).toBeInstanceOf(SharedArrayBuffer)
    expect(shared).toHaveBeenCalledOnce()
    shared.mockRestore()
  })

  it.each(['full', 'json'])('is not handed over when it is not large: %s', async (response) => {
    const { bodies, asked } = heldThread()
    await using bench = await startBench({ parts: { bodies } })

    await bench.get('/objects?bytes=262130', { response })
    expect(asked).toEqual([])
    const large = bench.get('/objects?bytes=262150', { response })
    while (asked.length === 0) await turn()
    asked[0]?.answer()
    await large
  })

  it('is kept as text when it is wrong at its last byte', async () => {
    await using bench = await startBench()

    const error = await bench.failure('/objects?bytes=2000000&wrong=1', { response: 'json' })

    expect(error).toMatchObject({
      code: 'decode_failed',
      message: 'The response body is not valid JSON.',
      result: { bodyEncoding: 'utf8', bytes: 2_000_004, body: `[${'{"a": 1}, '.repeat(200_000)}{}}` },
    })
  })

  it('ends at once when it is aborted, and what waits is not begun', async () => {
    const { bodies, asked } = heldThread()
    const [first, second] = [stoppable(), stoppable()]
    await using bench = await startBench({ parts: { bodies } })
    const fetching = [first, second].map(({ signal }) => bench.get('/big?bytes=400000', {}, { signal }))
    while (asked.length === 0 || first.listeners() + second.listeners() < 3) await turn()
    const ended = Promise.allSettled(fetching)

    first.stop()
    second.stop()

    expect(await ended).toEqual([first, second].map(({ reason }) => ({ status: 'rejected', reason })))
    asked[0]?.answer()
    for (let i = 0; i < 5; i++) await turn()
    expect([asked.length, first.listeners(), second.listeners()]).toEqual([1, 0, 0])
  })
})

describe('the thread of large bodies', () => {
  const body = (text: string) => ({ bytes: Buffer.from(text), asJson: true })
  const never = new AbortController().signal

  it('has one at a time, of each tenant in turn, in the order they came', async () => {
    const { bodies, asked } = heldThread()
    const all = ['a1', 'a2', 'a3', 'b1', 'b2', 'c1'].map((name) =>
      bodies.keep(name.slice(0, 1), body(JSON.stringify(name)), never),
    )
    for (let i = 0; i < all.length; i++) {
      for (let j = 0; j < 5; j++) await turn()
      expect(asked.length).toBe(i + 1)
      asked[i]?.answer()
    }

    await Promise.all(all)
    expect(asked.map(({ bytes }) => JSON.parse(String(bytes)))).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3'])
  })

  it('goes on after one that fails', async () => {
    const { bodies, asked } = heldThread()
    const [bad, good] = [bodies.keep('a', body('1'), never), bodies.keep('a', body('2'), never)]
    const failed = expect(bad).rejects.toThrow('no memory')
    await turn()
    asked[0]?.fail(new Error('no memory'))
    await failed
    await turn()
    asked[1]?.answer()

    expect((await good).kept.body).toMatchObject({ json: '2' })
  })

  it('keeps what the event loop would have kept', async () => {
    const thread = new BodyThread()
    for (const [bytes, asJson] of [
      [Buffer.from('[1, 2]'), true],
      [Buffer.from('[1, 2'), true],
      [Buffer.alloc(300_000, '"'), false],
      [Buffer.alloc(300_000, 0xff), false],
    ] as const)
      expect(await thread.keep({ bytes, asJson })).toEqual(keep(Buffer.from(bytes), asJson))
  })

  it('says so when it dies, and is started again', async () => {
    const thread = new BodyThread()

    await expect(thread.keep({ bytes: null as unknown as Buffer, asJson: true })).rejects.toThrow()

    expect((await thread.keep({ bytes: Buffer.from('1'), asJson: true })).kept.body).toMatchObject({ json: '1' })
  })
})

describe('large bodies on their way to the disk', () => {
  it('go there one after the other, of each tenant in turn, each when the end of the one before is on record', async () => {
    const writing = new Writing(100_000)
    const recorded: (() => void)[] = []
    const bodies = new LargeBodies(async ({ bytes, asJson }) => keep(bufferOf(bytes), asJson))
    await using bench = await startBench({ parts: { writing, bodies } })
    const ended: string[] = []
    const get = async (path: string, tenantId: string) => {
      await bench.get(path, {}, { tenantId, onRecorded: (done) => void recorded.push(done) })
      ended.push(tenantId)
    }
    const turns = vi.spyOn(writing, 'turn')
    await get('/big?bytes=400000', 'a')
    const later: Promise<void>[] = []
    for (const tenantId of ['a', 'a', 'b', 'a']) {
      later.push(get('/big?bytes=400000', tenantId))
      while (turns.mock.calls.length < 1 + later.length) await turn()
    }

    await get('/big?bytes=200000', 'small')
    expect([ended, writing.total]).toEqual([['a', 'small'], 400_000])

    for (const tenantId of ['a', 'b', 'a', 'a']) {
      for (const done of recorded.splice(0)) done()
      while (recorded.length === 0) await turn()
      expect([ended.at(-1), writing.total]).toEqual([tenantId, 400_000])
    }
    for (const done of recorded.splice(0)) done()
    await Promise.all(later)
    expect(writing.total).toBe(0)
  })

  it('go together while they are few', async () => {
    const writing = new Writing(100)
    const { signal } = new AbortController()
    const began: number[] = []
    for (const bytes of [60, 39, 500, 1]) void writing.turn('a', bytes, signal).then(() => began.push(bytes))
    for (let i = 0; i < 10; i++) await turn()

    expect([began, writing.total]).toEqual([[60, 39, 500], 599])
  })

  it('are waited for no longer than the job lives', async () => {
    const writing = new Writing(1)
    const written = await writing.turn('other', 500_000, new AbortController().signal)
    const turns = vi.spyOn(writing, 'turn')
    await using bench = await startBench({ parts: { writing } })
    const { signal, reason, stop, listeners } = stoppable()
    const fetching = bench.get('/big?bytes=400000', {}, { signal })
    while (turns.mock.calls.length === 0) await turn()

    stop()

    await expect(fetching).rejects.toBe(reason)
    written()
    for (let i = 0; i < 5; i++) await turn()
    expect([writing.total, listeners()]).toEqual([0, 0])
  })
})

describe('the bytes that bodies hold', () => {
  it('are claimed by a body that is not small, and free once its end is on record', async () => {
    const inflight = new InflightBytes(20 * MIB)
    const recorded: (() => void)[] = []
    await using bench = await startBench({ parts: { inflight } })
    const onRecorded = (done: () => void) => void recorded.push(done)

    await bench.get('/big?bytes=65536', {}, { onRecorded })
    expect([inflight.total, recorded]).toEqual([0, []])
    await bench.get('/big?bytes=65537&chunked=1', {}, { onRecorded })
    expect([inflight.total, recorded.length]).toEqual([65_537, 1])
    await bench.failure('/objects?bytes=300000&wrong=1', { response: 'json' }, { onRecorded })
    expect([inflight.total, recorded.length]).toEqual([65_537 + 300_004, 2])
    for (const done of recorded) done()
    expect(inflight.total).toBe(0)
  })

  it('are as many as the response says, or as it may have', async () => {
    const inflight = new InflightBytes(100 * MIB)
    await using bench = await startBench({ parts: { inflight } })
    const totals: number[] = []
    for (const path of ['/unfinished/a?bytes=100000', '/unfinished/b?bytes=100000&chunked=1']) {
      const fetching = bench.get(path)
      while (inflight.total === 0) await turn()
      totals.push(inflight.total)
      bench.origin.release(path.split('?')[0] as string)
      await fetching
    }

    expect(totals).toEqual([100_000, 10 * MIB])
  })

  it.each([
    ['/big', '?bytes=4000000', 'full'],
    ['/gzip', '?of=4000000', 'full'],
    ['/objects', '?bytes=4000000', 'json'],
  ])('hold up what does not fit, which then comes whole: %s', async (path, query, response) => {
    const inflight = new InflightBytes(10 * MIB)
    await using bench = await startBench({ parts: { inflight } })
    const all = inflight.claim('other', 10 * MIB, () => undefined)
    const fetching = bench.get(path + query, { response })
    while (inflight.waiting === 0) await turn()
    for (let i = 0; i < 50; i++) await turn()
    expect([inflight.total, inflight.waiting]).toEqual([10 * MIB, 1])

    all.release()

    expect((await fetching).bytes).toBeGreaterThanOrEqual(4_000_000)
    expect(inflight.total).toBe(0)
  })

  it.each(['/big?bytes=4000000', '/big?bytes=4000000&chunked=1', '/gzip?of=4000000'])(
    'are waited for no longer than the job lives: %s',
    async (path) => {
      const inflight = new InflightBytes(10 * MIB)
      await using bench = await startBench({ parts: { inflight } })
      const all = inflight.claim('other', 10 * MIB, () => undefined)
      const { signal, reason, stop, listeners } = stoppable()
      const fetching = bench.get(path, {}, { signal })
      while (inflight.waiting === 0) await turn()

      stop()

      await expect(fetching).rejects.toBe(reason)
      expect([inflight.waiting, inflight.total, listeners()]).toEqual([0, 10 * MIB, 0])
      all.release()
      await bench.origin.whenIdle()
    },
  )

  it('are free when a job is stopped in the middle of its body, or that breaks off', async () => {
    const inflight = new InflightBytes(10 * MIB)
    await using bench = await startBench({ parts: { inflight }, limits: { maxResponseBytes: 200_000 } })
    const { signal, stop } = stoppable()
    const fetching = bench.get('/unfinished/a?bytes=100000', {}, { signal })
    while (inflight.total === 0) await turn()
    stop()

    await fetching.catch(() => undefined)
    expect(inflight.total).toBe(0)
    await bench.failure('/big?bytes=300000&chunked=1')
    expect(inflight.total).toBe(0)
  })
})
