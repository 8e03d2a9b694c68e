/** A value of a span's attribute. */
export type Attribute = string | number | boolean

/** Attributes by name; what is undefined is left out. */
export type Attributes = Readonly<Record<string, Attribute | undefined>>

/** Where a span is: 32 and 16 hexadecimal digits, and the flags of W3C Trace Context. */
export interface SpanPlace {
  traceId: string
  spanId: string
  traceFlags: number
}

/** Something that happened in the time of a span. */
export interface SpanEvent {
  name: string
  /** Milliseconds since the epoch. */
  at: number
  attributes?: Attributes
}

/** A span that has ended. Instants in milliseconds since the epoch. */
export interface DoneSpan {
  name: string
  kind: 'internal' | 'client' | 'server'
  /** Null: it begins a trace. */
  parent: SpanPlace | null
  /** Its own id; it is in the trace of its parent. */
  spanId: string
  links?: readonly SpanPlace[]
  startedAt: number
  endedAt: number
  attributes: Attributes
  events?: readonly SpanEvent[]
  /** The `error.type` of a span with the status error; null: it has none. */
  error: string | null
}

/** A span whose end is still to come. */
export interface OpenSpan {
  readonly place: SpanPlace
  event(event: SpanEvent): void
  end(facts: { at: number; attributes: Attributes; error: string | null }): void
}

/** What spans are handed to: the SDK, behind what this service needs of it. */
export interface Recorder {
  /** Begin a span whose ids the SDK makes. @param parent - Null: it begins a trace. */
  begin(span: { name: string; parent: SpanPlace | null; startedAt: number; attributes: Attributes }): OpenSpan
  /** Hand over a span that has ended, if its trace is kept. */
  record(span: DoneSpan): void
  /** Send what there is, for `graceMs` at most; never rejects. May be called twice. */
  close(graceMs: number): Promise<void>
}
