import type { StreamEvent } from '../engine/engine.ts'

/** How a stream's events become text. */
export interface Framing {
  contentType: string
  /** Written before the first event. */
  opening: string
  /** Written when nothing else was for a while; empty: the format has no such thing. */
  heartbeat: string
  frame(event: StreamEvent): string
}

/** The media types a stream of events can have. */
export type StreamType = 'text/event-stream' | 'application/x-ndjson'

/** Milliseconds an `EventSource` waits before it connects again. */
export const SSE_RETRY_MS = 1_000

/** Server-sent events: `id:` is the number in the log, so that `Last-Event-ID` resumes; the last line has none. */
export const sse: Framing = {
  contentType: 'text/event-stream; charset=utf-8',
  opening: `retry: ${SSE_RETRY_MS}\n\n`,
  heartbeat: ':\n\n',
  frame({ seq, type, json }) {
    const id = seq === null ? '' : `id: ${seq}\n`
    return `${id}event: ${type}\ndata: ${oneLine(json)}\n\n`
  },
}

/** One JSON object a line. */
export const ndjson: Framing = {
  contentType: 'application/x-ndjson; charset=utf-8',
  opening: '',
  heartbeat: '',
  frame: ({ json }) => `${oneLine(json)}\n`,
}

/** The framing of each media type. */
export const FRAMINGS: Readonly<Record<StreamType, Framing>> = {
  'text/event-stream': sse,
  'application/x-ndjson': ndjson,
}

/** What events were framed as, by the array they came in: those who follow one batch are given the same one. */
const framed = new WeakMap<readonly StreamEvent[], Map<Framing, Buffer>>()

/** Events in a framing as UTF-8, made once for all who ask with the same array; neither may be changed. */
export function frameAll(events: readonly StreamEvent[], framing: Framing): Buffer {
  const known = framed.get(events) ?? new Map<Framing, Buffer>()
  framed.set(events, known)
  const bytes = known.get(framing) ?? Buffer.from(events.map((event) => framing.frame(event)).join(''))
  known.set(framing, bytes)
  return bytes
}

/** Line breaks in JSON are only ever blanks between tokens. */
function oneLine(json: string): string {
  return /[\r\n]/.test(json) ? json.replace(/[\r\n]+/g, ' ') : json
}
