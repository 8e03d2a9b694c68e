import { acceptedAt } from '../core/batch.ts'
import type { LogEntry } from '../core/events.ts'
import { JOB_STATE_NAMES, Job } from '../core/states.ts'
import type { LiveBatch } from '../engine/local/live-batch.ts'
import type { EndFacts } from '../engine/local/traces.ts'
import { jobIdOf } from '../ids.ts'
import { attemptSpanId, batchSpanId, jobSpanId } from './ids.ts'
import type { Attributes, Recorder, SpanEvent, SpanPlace } from './recorder.ts'

/** The error of an attempt that ended with the process that it ran in. */
const INTERRUPTED = 'interrupted'

/** Events that a span has at most, as many as the SDK's own limit; of more the newest are kept. */
const MAX_EVENTS = 128

/** What a trace needs of one batch while it lives: events of spans that have not ended. They are lost with the process. */
export class BatchTrace {
  readonly #recorder: Recorder
  /** Of what submitted the batch. */
  readonly #submission: SpanPlace
  readonly #events: SpanEvent[] = []
  readonly #jobEvents = new Map<number, SpanEvent[]>()

  /** @param submission - Below whose span that of the batch is. */
  constructor(recorder: Recorder, submission: SpanPlace) {
    this.#recorder = recorder
    this.#submission = submission
  }

  /** @param end - Of the attempt that the entry is about; undefined: there was none, or it was cut off. */
  logged(live: LiveBatch, entry: LogEntry, end: EndFacts | undefined): void {
    const { type, index, at, cause } = entry
    switch (type) {
      case 'batch.aborting':
        return add(this.#events, { name: type, at, attributes: { 'gatherd.cause': cause } })
      case 'batch.drained':
        return this.#batch(live, at)
      case 'job.queued':
        return entry.attempt === undefined ? undefined : this.#repeated(live, entry, entry.attempt)
      case 'job.cancelling':
        return this.#note(index, { name: type, at, attributes: { 'gatherd.cause': cause } })
      case 'job.succeeded':
      case 'job.failed':
      case 'job.timed_out':
      case 'job.cancelled':
        return entry.count > 1 ? this.#run(entry) : this.#job(live, entry, end)
      default:
        return undefined
    }
  }

  /** Jobs that never started and end together have no spans of their own: there can be a million of them. */
  #run({ type, at, count, cause }: LogEntry): void {
    add(this.#events, { name: type, at, attributes: { 'gatherd.cause': cause, 'gatherd.batch.jobs': count } })
  }

  #note(index: number, event: SpanEvent): void {
    const events = this.#jobEvents.get(index)
    if (events === undefined) this.#jobEvents.set(index, [event])
    else add(events, event)
  }

  #repeated(live: LiveBatch, { index, at }: LogEntry, attempt: number): void {
    this.#cutOff(live, index, attempt - 1, at)
    this.#note(index, {
      name: 'job.retried',
      at,
      attributes: { 'gatherd.attempt': attempt, 'gatherd.cause': INTERRUPTED },
    })
  }

  #job(live: LiveBatch, { type, index, at, cause }: LogEntry, end: EndFacts | undefined): void {
    const attempts = live.core.attempts.get(index)
    const events = this.#jobEvents.get(index) ?? []
    const isRepeat = events.some(({ name }) => name === 'job.retried')
    // One that was told to stop with the service has left it to this moment to say so.
    if (attempts > 0 && (end === undefined ? !isRepeat : cause === 'shutdown')) this.#cutOff(live, index, attempts, at)
    this.#jobEvents.delete(index)
    this.#recorder.record({
      name: 'job',
      kind: 'internal',
      parent: { ...this.#submission, spanId: batchSpanId(live.id) },
      spanId: jobSpanId(jobIdOf(live.id, index)),
      startedAt: acceptedAt(live.core, index),
      endedAt: at,
      attributes: {
        ...this.#jobFacts(live, index),
        'gatherd.job.state': type.slice('job.'.length),
        'gatherd.job.attempts': attempts,
        'gatherd.cause': cause,
      },
      events,
      error: this.#errorOf(type, cause, end),
    })
  }

  #errorOf(type: LogEntry['type'], cause: LogEntry['cause'], end: EndFacts | undefined): string | null {
    if (type === 'job.timed_out') return cause ?? 'timeout'
    if (type !== 'job.failed') return null
    return end?.type === 'threw' ? end.facts.code : INTERRUPTED
  }

  /** Nobody was there to see its end. */
  #cutOff(live: LiveBatch, index: number, attempt: number, at: number): void {
    const jobId = jobIdOf(live.id, index)
    this.#recorder.record({
      name: 'attempt',
      kind: 'internal',
      parent: { ...this.#submission, spanId: jobSpanId(jobId) },
      spanId: attemptSpanId(jobId, attempt),
      startedAt: live.attempts.get(index)?.startedAt ?? live.startedBefore.get(index)?.at ?? at,
      endedAt: at,
      attributes: { ...this.#jobFacts(live, index), 'gatherd.attempt': attempt },
      error: INTERRUPTED,
    })
  }

  #jobFacts(live: LiveBatch, index: number): Attributes {
    return {
      'gatherd.tenant.id': live.tenant.id,
      'gatherd.batch.id': live.id,
      'gatherd.job.id': jobIdOf(live.id, index),
      'gatherd.job.index': index,
    }
  }

  #batch(live: LiveBatch, at: number): void {
    const { core } = live
    const settled = { name: 'batch.settled', at: core.settledAt ?? at }
    const isError = core.outcome === 'failed' || core.outcome === 'timed_out'
    this.#recorder.record({
      name: 'batch',
      kind: 'internal',
      parent: this.#submission,
      spanId: batchSpanId(live.id),
      links: [this.#submission],
      startedAt: acceptedAt(core, 0),
      endedAt: at,
      attributes: {
        'gatherd.tenant.id': live.tenant.id,
        'gatherd.batch.id': live.id,
        'gatherd.batch.policy': core.policy,
        'gatherd.batch.state': core.outcome ?? undefined,
        'gatherd.batch.jobs': core.total,
        ...countsOf(core.counts),
      },
      events: [...this.#events.slice(1 - MAX_EVENTS), settled],
      error: isError ? (core.error?.code ?? core.outcome) : null,
    })
  }
}

function add(events: SpanEvent[], event: SpanEvent): void {
  if (events.length >= MAX_EVENTS) events.shift()
  events.push(event)
}

function countsOf(counts: Int32Array): Attributes {
  const ends = [Job.succeeded, Job.failed, Job.timedOut, Job.cancelled]
  return Object.fromEntries(ends.map((state) => [`gatherd.batch.jobs.${JOB_STATE_NAMES[state]}`, counts[state]]))
}
