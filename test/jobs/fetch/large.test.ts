import { describe, expect, it } from 'vitest'
import { InflightBytes } from '../../../src/jobs/fetch/inflight.ts'
import { Turns } from '../../../src/json/turns.ts'
import { startBench, stoppable } from '../attempt.ts'

const MIB = 1 << 20
const turn = () => new Promise((resolve) => setImmediate(resolve))

/** Turns with what the test does between the steps; the next step waits for it. */
function turnsWith(between: (count: number) => unknown) {
  let count = 0
  const turns = new Turns({
    nextTurn: (go) => {
      setImmediate(async () => {
        await between(++count)
        go()
      })
    },
  })
  return { turns, count: () => count }
}

describe('a large body', () => {
  it('of JSON is scanned in steps, and fetches of others begin and end between any two of them', async () => {
    const done: string[] = []
    const neighbour = async (count: number) => {
      if (count % 20 === 1) done.push((await bench.get('/ok', {}, { tenantId: 'other' })).body as string)
    }
    const { turns, count } = turnsWith(neighbour)
    await using bench = await startBench({ parts: { turns } })

    const { body, bytes } = await bench.get('/objects?bytes=10400000', { response: 'json' })

    // 80 steps to scan it, and as many to take its white space out.
    expect([body, bytes]).toEqual([expect.objectContaining({ length: 1_040_001 }), 10_400_004])
    expect(count()).toBe(160)
    expect(done).toEqual(Array(8).fill('ok'))
  })

  it.each([
    ['full', '/big?bytes=1048576', 8 + 1],
    ['json', '/objects?bytes=1048576&wrong=1', 8 + 1 + 8],
  ])('of text is written in steps as well (%s)', async (response, path, steps) => {
    const { turns, count } = turnsWith(() => undefined)
    await using bench = await startBench({ parts: { turns } })

    await bench.get(path, { response }).catch(({ code }) => expect(code).toBe('decode_failed'))

    expect(count()).toBe(steps)
  })

  it.each(['full', 'json'])('takes no turn when it is not large: %s', async (response) => {
    const { turns, count } = turnsWith(() => undefined)
    await using bench = await startBench({ parts: { turns } })

    await bench.get('/objects?bytes=262130', { response })
    expect(count()).toBe(0)
    await bench.get('/objects?bytes=262150', { response })
    expect(count()).toBeGreaterThan(1)
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

  it('ends at once when it is aborted between two steps, and takes no other', async () => {
    const { signal, reason, stop, listeners } = stoppable()
    const { turns, count } = turnsWith((count) => count === 3 && stop())
    await using bench = await startBench({ parts: { turns } })

    await expect(bench.get('/objects?bytes=4000000', { response: 'json' }, { signal })).rejects.toBe(reason)

    for (let i = 0; i < 5; i++) await turn()
    expect([count(), listeners()]).toEqual([3, 0])
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
