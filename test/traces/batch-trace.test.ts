import { describe, expect, it } from 'vitest'
import type { LogEntry } from '../../src/core/events.ts'
import { BatchTrace } from '../../src/traces/batch-trace.ts'
import type { DoneSpan } from '../../src/traces/recorder.ts'
import { liveBatch } from '../engine/local/live.ts'

/** A trace of a batch, and the spans that were recorded of it. */
function start() {
  const spans: DoneSpan[] = []
  const refuse = () => {
    throw new Error('Nothing of the sort was to happen.')
  }
  const recorder = { record: (span: DoneSpan) => void spans.push(span), begin: refuse, close: refuse }
  const trace = new BatchTrace(recorder, { traceId: '0'.repeat(32), spanId: '0'.repeat(16), traceFlags: 1 })
  const live = liveBatch()
  const log = (entry: Partial<LogEntry>) =>
    trace.logged(live, { seq: 1, at: 0, index: -1, count: 1, cause: null, ...entry } as LogEntry, undefined)
  return { log, spans }
}

const eventsOf = (span: DoneSpan | undefined) => (span?.events ?? []).map(({ name, at }) => [name, at])

describe('the events of a batch that stays open', () => {
  it('are no more than a span may have, the newest of them and how it settled', () => {
    const { log, spans } = start()

    for (let at = 1; at <= 500; at++) log({ type: 'job.cancelled', count: 10, at })
    log({ type: 'batch.drained', at: 501 })

    const events = eventsOf(spans[0])
    expect(events).toHaveLength(128)
    expect([events[0], events[126], events[127]]).toEqual([
      ['job.cancelled', 374],
      ['job.cancelled', 500],
      ['batch.settled', 501],
    ])
  })

  it('are all there while they are few', () => {
    const { log, spans } = start()

    log({ type: 'batch.aborting', at: 1 })
    log({ type: 'job.cancelled', count: 2, at: 2 })
    log({ type: 'batch.drained', at: 3 })

    expect(eventsOf(spans[0]).map(([name]) => name)).toEqual(['batch.aborting', 'job.cancelled', 'batch.settled'])
  })

  it('are bounded of a job as well, however often it is taken up again', () => {
    const { log, spans } = start()

    for (let at = 1; at <= 500; at++) log({ type: 'job.queued', index: 0, attempt: at + 1, at })
    spans.length = 0
    log({ type: 'job.succeeded', index: 0, at: 501 })

    expect(eventsOf(spans.find(({ name }) => name === 'job'))).toHaveLength(128)
  })
})
