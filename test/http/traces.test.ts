import { describe, expect, it } from 'vitest'
import type { BatchSubmission } from '../../src/engine/engine.ts'
import type { RequestTraces } from '../../src/http/traces.ts'
import { type FakeService, startFake } from '../support/fake-parts.ts'

const CALLER = '0af7651916cd43dd8448eb211c80319c'
const OURS = 'f'.repeat(32)
const TRACEPARENT = `00-${CALLER}-b7ad6b7169203331-01`
const BATCH = { jobs: [{ kind: 'sleep', durationMs: 1 }] }

/** What makes traces, and what it was told. */
class FakeTraces implements RequestTraces {
  readonly begun: object[] = []
  readonly accepted: string[] = []
  readonly ended: { status: number; tenantId: string }[] = []
  submission({ at: _at, ...request }: Parameters<RequestTraces['submission']>[0]) {
    this.begun.push(request)
    return {
      traceId: OURS,
      traceparent: `00-${OURS}-${'1'.repeat(16)}-01`,
      accepted: (id: string) => void this.accepted.push(id),
      end: ({ at: _end, ...facts }: { at: number; status: number; tenantId: string }) => void this.ended.push(facts),
    }
  }
}

/** The trace that the log names for the one request that there was. */
async function loggedTrace({ log }: FakeService): Promise<unknown> {
  while (!log.lines.some(({ msg }) => msg === 'answered')) await new Promise((resolve) => setImmediate(resolve))
  return log.lines.find(({ msg }) => msg === 'answered')?.traceId
}

/** Below whom the batches are that the engine was given. */
function submitted({ engine }: FakeService): unknown[] {
  // As the fake notes the arguments of `submit`.
  return engine.calls.flatMap(([method, _, batch]) =>
    method === 'submit' ? [(batch as BatchSubmission).traceparent] : [],
  )
}

describe('a submission', () => {
  it('has a span below its caller, and the batch is below that', async () => {
    const traces = new FakeTraces()
    await using service = await startFake({ traces })

    const { body } = await service.http.post('/v1/batches').set({ traceparent: TRACEPARENT }).send(BATCH).expect(202)

    expect(await loggedTrace(service)).toBe(OURS)
    expect(traces.begun).toEqual([{ method: 'POST', route: '/v1/batches', traceparent: TRACEPARENT }])
    expect(traces.accepted).toEqual([body.id])
    expect(traces.ended).toEqual([{ status: 202, tenantId: 'default' }])
    expect(submitted(service)).toEqual([`00-${OURS}-${'1'.repeat(16)}-01`])
  })

  it('that is refused has one, too, and no batch', async () => {
    const traces = new FakeTraces()
    await using service = await startFake({ traces })

    await service.anybody.post('/v1/batches').set({ traceparent: 'nonsense' }).send(BATCH).expect(401)

    expect(await loggedTrace(service)).toBe(OURS)
    expect(traces.begun).toEqual([{ method: 'POST', route: '/v1/batches', traceparent: undefined }])
    expect([traces.accepted, traces.ended]).toEqual([[], [{ status: 401, tenantId: '' }]])
  })

  it('has none without traces: the batch is below the caller', async () => {
    await using service = await startFake()

    await service.http.post('/v1/batches').set({ traceparent: TRACEPARENT }).send(BATCH).expect(202)

    expect(await loggedTrace(service)).toBe(undefined)
    expect(submitted(service)).toEqual([TRACEPARENT])
  })
})

describe('any other request', () => {
  it.each([
    ['/v1/tenant', TRACEPARENT, CALLER],
    ['/livez', TRACEPARENT, CALLER],
    ['/nowhere', TRACEPARENT, CALLER],
    ['/v1/tenant', 'nonsense', undefined],
    ['/v1/batches', '', undefined],
  ])('has no span, and in the log the trace of its caller: %s %s', async (path, traceparent, named) => {
    const traces = new FakeTraces()
    await using service = await startFake({ traces })

    await service.http.get(path).set({ traceparent })

    expect(await loggedTrace(service)).toBe(named)
    expect(traces.begun).toEqual([])
  })

  it('that fails has the trace on the line that says so', async () => {
    await using service = await startFake({ traces: new FakeTraces() })
    service.engine.batch = async () => {
      throw new Error('canary')
    }

    await service.http.get('/v1/batches/0190a000-0000-7000-8000-000000000000').set({ traceparent: TRACEPARENT })

    expect(service.log.lines[0]).toMatchObject({ msg: 'request failed', traceId: CALLER })
  })
})
