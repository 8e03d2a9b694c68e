import type { Clock } from '../clock.ts'
import type { LogEntry } from '../core/events.ts'
import type { AttemptFacts } from '../engine/local/context.ts'
import type { LiveBatch } from '../engine/local/live-batch.ts'
import type { AttemptTrace, EndFacts, EngineTraces } from '../engine/local/traces.ts'
import type { RequestTrace, RequestTraces } from '../http/traces.ts'
import { jobIdOf } from '../ids.ts'
import { StopReason } from '../jobs/kind.ts'
import { BatchTrace } from './batch-trace.ts'
import { attemptSpanId, jobSpanId } from './ids.ts'
import { keptPlaceOf, placeOf, traceparentOf } from './place.ts'
import type { Attribute, Recorder } from './recorder.ts'

/**
 * Makes the spans of a service. Those of submissions are open while their requests are; those of batches, jobs and attempts are made
 * when these end, out of their stamps and with ids that follow from theirs: nothing has to be kept of them meanwhile, and a batch that
 * lives through a restart, or goes on on another replica, has the same tree as any other. Below whom they are is on record with the batch.
 */
export class Spans implements EngineTraces, RequestTraces {
  readonly #recorder: Recorder
  readonly #clock: Clock
  readonly #batches = new WeakMap<LiveBatch, BatchTrace>()

  constructor({ recorder, clock }: { recorder: Recorder; clock: Clock }) {
    this.#recorder = recorder
    this.#clock = clock
  }

  submission({ method, route, at, traceparent }: Parameters<RequestTraces['submission']>[0]): RequestTrace {
    const attributes = { 'http.request.method': method, 'http.route': route, 'url.path': route, 'url.scheme': 'http' }
    const name = `${method} ${route}`
    const span = this.#recorder.begin({ name, parent: placeOf(traceparent), startedAt: at, attributes })
    let batch: string | undefined
    return {
      traceId: span.place.traceId,
      traceparent: traceparentOf(span.place),
      accepted: (batchId) => {
        batch = batchId
        span.event({ name: 'batch.accepted', at: this.#clock.now() })
      },
      end: ({ at: endedAt, status, tenantId }) =>
        span.end({
          at: endedAt,
          attributes: {
            'http.response.status_code': status,
            'gatherd.batch.id': batch,
            'gatherd.tenant.id': tenantId || undefined,
          },
          error: status >= 500 ? String(status) : null,
        }),
    }
  }

  attempt(facts: AttemptFacts, kind: string): AttemptTrace | undefined {
    const place = keptPlaceOf(facts.traceparent)
    if (place === null) return undefined
    const jobId = jobIdOf(facts.batchId, facts.index)
    const spanId = attemptSpanId(jobId, facts.attempt)
    // What a restart repeats may count from its first start.
    const startedAt = facts.attempt === 1 ? facts.startedAt : this.#clock.now()
    const notes: Record<string, Attribute> = {}
    return {
      traceparent: traceparentOf({ ...place, spanId }),
      annotate: (attributes) => void Object.assign(notes, attributes),
      end: (end, signal) => {
        const why = end.type === 'unwound' ? whyOf(signal) : undefined
        // It is not over: whoever goes on with the job says what became of it.
        if (why === 'shutdown') return
        this.#recorder.record({
          name: `attempt ${kind}`,
          kind: kind === 'fetch' ? 'client' : 'internal',
          parent: { ...place, spanId: jobSpanId(jobId) },
          spanId,
          startedAt,
          endedAt: this.#clock.now(),
          attributes: {
            // First: what a kind notes down takes the place of nothing of ours.
            ...notes,
            'gatherd.tenant.id': facts.tenantId,
            'gatherd.batch.id': facts.batchId,
            'gatherd.job.id': jobId,
            'gatherd.job.kind': kind,
            'gatherd.attempt': facts.attempt,
            'gatherd.cause': why,
          },
          error: errorOf(end, why),
        })
      },
    }
  }

  logged(live: LiveBatch, entry: LogEntry, ended?: { index: number; end: EndFacts | undefined }): void {
    const trace = this.#batches.get(live) ?? this.#traceOf(live)
    trace?.logged(live, entry, ended?.index === entry.index ? ended.end : undefined)
  }

  #traceOf(live: LiveBatch): BatchTrace | undefined {
    const place = keptPlaceOf(live.header.traceparent)
    if (place === null) return undefined
    const trace = new BatchTrace(this.#recorder, place)
    this.#batches.set(live, trace)
    return trace
  }
}

function whyOf({ reason }: { readonly reason: unknown }): string | undefined {
  return reason instanceof StopReason ? reason.why : undefined
}

/** A cancel is no error; a clock of the job that ran out is. */
function errorOf(end: EndFacts, why: string | undefined): string | null {
  if (end.type === 'threw') return end.facts.code
  return why === 'timeout' || why === 'deadline' ? why : null
}
