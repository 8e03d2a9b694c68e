import { afterEach, describe, expect, it, vi } from 'vitest'
import { Delivery } from '../../src/traces/delivery.ts'
import type { DoneSpan } from '../../src/traces/recorder.ts'
import { sdkRecorder } from '../../src/traces/sdk.ts'
import { StillClock } from '../support/fake-parts.ts'
import { Collector } from '../support/otlp.ts'

afterEach(() => vi.unstubAllEnvs())

/** A recorder over a clock that stands still, and the spans that it lost. */
async function start({ ratio = 1, parentBased = true } = {}) {
  const collector = await Collector.start()
  vi.stubEnv('OTEL_EXPORTER_OTLP_ENDPOINT', collector.url)
  vi.stubEnv('OTEL_EXPORTER_OTLP_TIMEOUT', '3000')
  const clock = new StillClock()
  const lost: object[] = []
  const batching = {
    scheduledDelayMillis: 60_000,
    exportTimeoutMillis: 30_000,
    maxQueueSize: 100,
    maxExportBatchSize: 100,
  }
  const recorder = sdkRecorder({
    settings: { endpoint: collector.url, sampler: { ratio, parentBased }, batching },
    version: '1.2.3',
    clock,
    delivery: new Delivery({ clock, lost: (facts) => lost.push(facts) }),
  })
  return { collector, clock, lost, recorder, [Symbol.asyncDispose]: () => collector[Symbol.asyncDispose]() }
}

const PARENT = { traceId: '0af7651916cd43dd8448eb211c80319c', spanId: 'b7ad6b7169203331', traceFlags: 1 }

/** A span of a second, long before this process was there. */
const span = (more: Partial<DoneSpan> = {}): DoneSpan => ({
  name: 'x',
  kind: 'internal',
  parent: PARENT,
  spanId: '00f067aa0ba902b7',
  startedAt: 1_000,
  endedAt: 2_000.5,
  attributes: { a: 'b', n: 1, none: undefined },
  error: null,
  ...more,
})

describe('a span', () => {
  it('is sent as it is told, however old, in the trace of its parent', async () => {
    await using sdk = await start()
    const now = Date.now()

    sdk.recorder.record(span({ startedAt: now - 1e9, endedAt: now, error: 'timeout', links: [PARENT], kind: 'client' }))
    await sdk.recorder.close(5_000)

    expect(sdk.collector.spans).toEqual([
      {
        traceId: PARENT.traceId,
        spanId: '00f067aa0ba902b7',
        parentId: PARENT.spanId,
        name: 'x',
        kind: 3,
        start: now - 1e9,
        end: now,
        attributes: { a: 'b', n: 1, 'error.type': 'timeout' },
        events: [],
        links: [{ traceId: PARENT.traceId, spanId: PARENT.spanId }],
        status: 2,
        resource: expect.objectContaining({ 'service.version': '1.2.3' }),
      },
    ])
  })

  it('has the id that it was given, and the next one that is begun another', async () => {
    await using sdk = await start()

    sdk.recorder.record(span())
    const open = sdk.recorder.begin({ name: 'y', parent: null, startedAt: 1, attributes: {} })
    open.end({ at: 2, attributes: { c: 1 }, error: null })
    await sdk.recorder.close(5_000)

    expect(sdk.collector.named('x')[0]?.spanId).toBe('00f067aa0ba902b7')
    expect(sdk.collector.named('y')[0]).toMatchObject({ ...placeOf(open.place), parentId: '', attributes: { c: 1 } })
    expect(open.place.spanId).not.toBe('00f067aa0ba902b7')
  })

  it.each([
    [{ ratio: 1, parentBased: true }, 0, 0],
    [{ ratio: 0, parentBased: true }, 1, 1],
    [{ ratio: 1, parentBased: false }, 0, 1],
    [{ ratio: 0, parentBased: false }, 1, 0],
  ])('is kept as %j has it, below one with the flags %i', async (sampler, traceFlags, count) => {
    await using sdk = await start(sampler)

    sdk.recorder.record(span({ parent: { ...PARENT, traceFlags } }))
    await sdk.recorder.close(5_000)

    expect(sdk.collector.spans).toHaveLength(count)
  })
})

const placeOf = ({ traceId, spanId }: { traceId: string; spanId: string }) => ({ traceId, spanId })

describe('the close', () => {
  it('waits no longer than it is given for a collector that does not answer', async () => {
    await using sdk = await start()
    sdk.collector.mood = 'hang'
    sdk.recorder.record(span())

    const closed = sdk.recorder.close(50)
    await sdk.collector.asked(1)
    sdk.clock.advance(50)
    await closed

    // It had not come to the exporter's own end, which would have lost it as well.
    expect(sdk.lost).toEqual([{ count: 1, reason: 'the service ended before they were sent' }])
  })

  it('waits for one that answers, and leaves no clock behind', async () => {
    await using sdk = await start()
    sdk.recorder.record(span())

    await sdk.recorder.close(50)

    expect(sdk.collector.spans).toHaveLength(1)
    expect(sdk.clock.armed).toBe(0)
  })
})
