import { describe, expect, it } from 'vitest'
import { systemClock } from '../../../src/clock.ts'
import type { FetchResult } from '../../../src/jobs/fetch/result.ts'
import { LOCAL } from '../../egress/certificate.ts'
import { attempt, type FetchBench, startBench, stoppable } from '../attempt.ts'

/** Stop a fetch once `ready`, and say what it ended with and how many of its sockets were still open then. */
async function stopped(
  bench: FetchBench,
  path: string,
  ready: () => Promise<unknown>,
  input: Record<string, unknown> = {},
) {
  const { signal, reason, stop, listeners } = stoppable()
  const ended = bench.get(path, input, { signal }).then(
    () => ({ with: 'a value', open: bench.egress.stats.open }),
    (error: unknown) => ({ with: error === reason ? 'the reason' : error, open: bench.egress.stats.open }),
  )
  await ready()
  stop()
  return { ...(await ended), listeners: listeners() }
}

const cleanly = { with: 'the reason', open: 0, listeners: 0 }

describe('a fetch that is stopped', () => {
  it.each([{}, { tls: LOCAL, egress: { ca: [LOCAL.cert] } }])(
    'ends when its socket has closed, before the headers (%#)',
    async (options) => {
      await using bench = await startBench(options)

      expect(await stopped(bench, '/hang', () => bench.origin.whenHit('/hang'))).toEqual(cleanly)

      await bench.origin.whenClosed('/hang')
    },
  )

  it('ends when its socket has closed, in the body', async () => {
    await using bench = await startBench()

    expect(await stopped(bench, '/half/a', () => bench.origin.whenHit('/half/a'))).toEqual(cleanly)

    await bench.origin.whenClosed('/half/a')
  })

  it('ends when its socket has closed, after a redirect', async () => {
    await using bench = await startBench()

    expect(await stopped(bench, '/redirect?to=/hang', () => bench.origin.whenHit('/hang'))).toEqual(cleanly)
  })

  it('ends at once while it is connecting', async () => {
    const { promise: asked, resolve: ask } = Promise.withResolvers<void>()
    const resolve = () => {
      ask()
      return new Promise<never>(() => undefined)
    }
    await using bench = await startBench({ egress: { resolve } })

    expect(await stopped(bench, '/ok', () => asked)).toEqual(cleanly)

    expect([bench.egress.stats.dialling, bench.origin.sockets.length]).toEqual([0, 0])
  })

  it('sends no byte when it was stopped before', async () => {
    await using bench = await startBench()

    expect(await stopped(bench, '/ok', async () => undefined)).toEqual(cleanly)
    const reason = new Error('before')
    await expect(bench.get('/ok', {}, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason)

    expect(bench.origin.hits.length).toBe(0)
  })

  it('never results in a value once it is stopped, in whichever turn that is', async () => {
    await using bench = await startBench()
    await bench.get('/ok')
    const spec = { kind: 'fetch', ...bench.kind.spec.parse({ url: bench.origin.url('/ok') }) } as never

    for (let turns = 0; turns < 60; turns++) {
      const { signal, stop, reason } = stoppable()
      let settledBefore = false
      const run = bench.kind.run(spec, attempt({ signal })).then(
        // What a fetch resolves with.
        (value) => (value as FetchResult).status,
        (error: unknown) => error,
      )
      void run.then(() => (settledBefore ||= !signal.aborted))
      // Microtasks and whole turns in alternation, so that some stops fall between the last byte and the promise.
      for (let n = 0; n < turns; n++) await (n % 3 ? undefined : new Promise(setImmediate))
      stop()
      const outcome = await run
      if (!settledBefore) expect([reason, 200]).toContain(outcome)
    }
  })

  it('does not result in a value when it is stopped as the last byte arrives', async () => {
    await using bench = await startBench()
    const { signal, stop, reason } = stoppable()
    let looks = 0
    // The first look at the clock is for the headers, the last one for the finished result.
    const now = () => {
      if (++looks === 2) stop()
      return systemClock.now()
    }
    await bench.get('/ok')

    await expect(bench.get('/ok', {}, { clock: { ...systemClock, now }, startedAt: 0, signal })).rejects.toBe(reason)

    expect(looks).toBe(2)
  })

  it('ends with the reason even if it fails by itself in the same turn', async () => {
    await using bench = await startBench()
    const { signal, stop, reason } = stoppable()
    const run = bench.get('/half/a', { maxResponseBytes: 4 }, { signal })
    const failing = bench.get('/hang', {}, { signal })
    const ended = Promise.all([expect(run).rejects.toBe(reason), expect(failing).rejects.toBe(reason)])

    await bench.origin.whenHit('/hang')
    void bench.egress.close()
    stop()

    await ended
  })
})

describe('a thousand fetches', () => {
  it('one after the other need one connection', async () => {
    await using bench = await startBench()
    const { signal, listeners } = stoppable()

    for (let n = 0; n < 1_000; n++) await bench.get('/ok', {}, { signal })

    expect(bench.origin.sockets.length).toBe(1)
    expect([listeners(), bench.egress.stats]).toEqual([0, { open: 1, idle: 1, pools: 1, dialling: 0 }])
  })

  it('at once leave nothing open, and no more idle than allowed', async () => {
    await using bench = await startBench({ egress: { maxIdle: 50 } })
    const { signal, listeners } = stoppable()
    const paths = ['/ok', '/gzip', '/redirect?to=/ok', '/fail', '/reset', '/big?bytes=100000']

    await Promise.allSettled(
      Array.from({ length: 1_000 }, (_, n) =>
        bench.get(paths[n % paths.length] ?? '', {}, { signal, tenantId: `${n % 100}` }),
      ),
    )

    expect(listeners()).toBe(0)
    expect(bench.egress.stats.idle).toBeLessThanOrEqual(50)
    expect(bench.egress.stats.pools).toBeLessThanOrEqual(50)
    await bench.egress.close()
    expect(bench.egress.stats).toEqual({ open: 0, idle: 0, pools: 0, dialling: 0 })
    await bench.origin.whenIdle()
    expect(process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap')).toEqual([])
  })

  it('stopped at once leave nothing open', async () => {
    await using bench = await startBench()
    const { signal, reason, stop, listeners } = stoppable()
    const all = Promise.allSettled(Array.from({ length: 1_000 }, () => bench.get('/hang', {}, { signal })))

    await bench.origin.whenHit('/hang', 200)
    stop()

    expect((await all).every((outcome) => outcome.status === 'rejected' && outcome.reason === reason)).toBe(true)
    expect([listeners(), bench.egress.stats]).toEqual([0, { open: 0, idle: 0, pools: 0, dialling: 0 }])
    await bench.origin.whenIdle()
  })
})
