import { describe, expect, it } from 'vitest'
import { type Origin, startOrigin } from '../support/origin.ts'
import { Collector, type WireSpan } from '../support/otlp.ts'
import { ADMIN_KEY, Installation } from '../support/process.ts'

const ERROR = 2

/** A traced service in a process of its own, and what it sends. */
async function startInstallation() {
  const [origin, collector] = [await startOrigin(), await Collector.start()]
  const env = {
    OTEL_EXPORTER_OTLP_ENDPOINT: collector.url,
    OTEL_BSP_SCHEDULE_DELAY: '20',
    GATHERD_DRAIN_GRACE_MS: '50',
  }
  const installation = new Installation(env)
  await installation.start()
  let key = ADMIN_KEY
  const call = async (method: string, path: string, body?: object) => {
    const headers = { authorization: `Bearer ${key}`, ...(body && { 'content-type': 'application/json' }) }
    const sent = body && JSON.stringify(body)
    const response = await fetch(installation.url + path, { method, headers, body: sent })
    return (await response.json()) as { id: string; key: string }
  }
  key = (await call('POST', '/v1/admin/tenants/default/keys', {})).key
  const close = async () => {
    await installation[Symbol.asyncDispose]()
    await collector[Symbol.asyncDispose]()
    await origin[Symbol.asyncDispose]()
  }
  return { origin, collector, installation, call, [Symbol.asyncDispose]: close }
}

/** A batch whose one job is at its target when the process ends, and has ended after the next start. */
async function throughARestart(signal: 'SIGKILL' | 'SIGTERM', onRestart: 'retry' | 'fail') {
  await using traced = await startInstallation()
  const { origin, collector, installation, call } = traced
  const { id } = await call('POST', '/v1/batches', { jobs: [{ kind: 'fetch', url: origin.url('/hold/a'), onRestart }] })
  await origin.whenHit('/hold/a')
  // The request that submitted it is over, and its span sent.
  await collector.until((spans) => spans.some(({ name }) => name === 'POST /v1/batches'))

  await installation.process.end(signal)
  const before = collector.spans.length
  await installation.start()
  origin.release('/hold/a')
  const spans = await collector.until((all) => all.some(({ name }) => name === 'batch'))
  await installation.process.end('SIGTERM')
  expect(before).toBe(1)
  return { id, spans, sent: sentOf(origin) }
}

const sentOf = (origin: Origin) =>
  origin.hits.filter(({ path }) => path === '/hold/a').map(({ headers }) => headers.traceparent)

function treeOf(spans: readonly WireSpan[]) {
  const of = (name: string) => spans.filter((span) => span.name === name)
  const [submit, batch, job] = [of('POST /v1/batches')[0], of('batch')[0], of('job')[0]]
  return { submit, batch, job, cut: of('attempt'), attempts: of('attempt fetch') }
}

describe('the trace of a batch that lives through a restart', { timeout: 60_000 }, () => {
  it.each(['SIGKILL', 'SIGTERM'] as const)(
    'is the tree of any other, with the attempt that was cut off, after %s',
    async (signal) => {
      const { id, spans, sent } = await throughARestart(signal, 'retry')

      const { submit, batch, job, cut, attempts } = treeOf(spans)
      expect(new Set(spans.map(({ traceId }) => traceId)).size).toBe(1)
      expect([batch?.parentId, batch?.links]).toEqual([
        submit?.spanId,
        [{ traceId: submit?.traceId, spanId: submit?.spanId }],
      ])
      expect(job?.parentId).toBe(batch?.spanId)
      expect([...cut, ...attempts].map(({ parentId }) => parentId)).toEqual([job?.spanId, job?.spanId])
      expect(
        cut.map(({ status, attributes }) => [status, attributes['error.type'], attributes['gatherd.attempt']]),
      ).toEqual([[ERROR, 'interrupted', 1]])
      expect(attempts.map(({ status, attributes }) => [status, attributes['gatherd.attempt']])).toEqual([[0, 2]])
      expect(job?.events.map(({ name, attributes }) => [name, attributes['gatherd.attempt']])).toEqual([
        ['job.retried', 2],
      ])
      expect(job?.attributes).toMatchObject({
        'gatherd.job.id': `${id}-0`,
        'gatherd.job.attempts': 2,
        'gatherd.job.state': 'succeeded',
      })
      expect(job?.start).toBeLessThanOrEqual(cut[0]?.start ?? 0)
      expect(sent).toEqual([cut[0], attempts[0]].map((span) => `00-${submit?.traceId}-${span?.spanId}-01`))
    },
  )

  it('ends with the attempt that must not be repeated', async () => {
    const { spans } = await throughARestart('SIGKILL', 'fail')

    const { job, cut, attempts } = treeOf(spans)
    expect([cut.length, attempts.length]).toEqual([1, 0])
    expect(cut[0]?.parentId).toBe(job?.spanId)
    expect([job?.status, job?.attributes['error.type']]).toEqual([ERROR, 'interrupted'])
  })
})
