import type { LogEntry } from '../../core/events.ts'
import type { AttemptContext } from '../../jobs/kind.ts'
import type { AttemptFacts } from './context.ts'
import type { LiveBatch } from './live-batch.ts'

/** What traces need of the end of an attempt, whatever has become of its result. */
export type EndFacts = { type: 'returned' | 'unwound' } | { type: 'threw'; facts: { code: string } }

/** Who is told what becomes of batches, jobs and attempts, to make traces of it. Absent in an engine that is not traced. */
export interface EngineTraces {
  /** An attempt begins in this process; undefined: its batch was submitted without a trace. */
  attempt(facts: AttemptFacts, kind: string): AttemptTrace | undefined
  /**
   * The core has logged something of a batch.
   *
   * @param ended - The attempt whose end that turn was about; without an `end` it was cut off.
   */
  logged(live: LiveBatch, entry: LogEntry, ended?: { index: number; end: EndFacts | undefined }): void
}

/** An attempt that is traced, from its start to its end. */
export interface AttemptTrace {
  /** Of its span: what a request of the attempt carries. */
  readonly traceparent: string
  /** Facts for the span, see {@link AttemptContext.annotate}. */
  readonly annotate: NonNullable<AttemptContext['annotate']>
  /** Its work has stopped. @param signal - What told it to, if anything did. */
  end(end: EndFacts, signal: { readonly reason: unknown }): void
}
