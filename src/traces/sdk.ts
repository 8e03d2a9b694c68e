import {
  type Context,
  ROOT_CONTEXT,
  type Attributes as SdkAttributes,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources'
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  type IdGenerator,
  ParentBasedSampler,
  RandomIdGenerator,
  type Sampler,
  type SpanExporter,
  type SpanProcessor,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace'
import { v4 } from 'uuid'
import type { Clock } from '../clock.ts'
import type { Delivery } from './delivery.ts'
import type { Attributes, DoneSpan, OpenSpan, Recorder, SpanPlace } from './recorder.ts'
import type { BatchingSettings, SamplerSettings, TraceSettings } from './settings.ts'

/** `ExportResultCode.SUCCESS`. */
const EXPORTED = 0

const KINDS = { internal: SpanKind.INTERNAL, client: SpanKind.CLIENT, server: SpanKind.SERVER }

/**
 * The SDK of OpenTelemetry with its exporter for OTLP over HTTP with protobuf, which reads the endpoint, headers, certificates,
 * compression and timeout from the environment of the process. Its requests are the operator's: they do not go through the guard of tenants.
 *
 * @param options.delivery - Told of spans that could not be delivered.
 */
export function sdkRecorder(options: {
  settings: TraceSettings
  version: string
  clock: Clock
  delivery: Delivery
}): Recorder {
  const { settings, version, clock, delivery } = options
  const ids = new GivenIds()
  const processor = new BoundedProcessor(new OTLPTraceExporter(), settings.batching, delivery)
  const provider = new TracerProvider({
    resource: resourceOf(version),
    sampler: samplerOf(settings.sampler),
    idGenerator: ids,
    spanProcessors: [processor],
  })
  const onClosed = () => {
    delivery.lose(processor.unsent, 'the service ended before they were sent')
    delivery.close()
  }
  return new SdkRecorder({ provider, ids, version, clock, onClosed })
}

function resourceOf(version: string) {
  const own = { 'service.name': 'gatherd', 'service.version': version, 'service.instance.id': v4() }
  return defaultResource()
    .merge(resourceFromAttributes(own))
    .merge(detectResources({ detectors: [envDetector] }))
}

function samplerOf({ parentBased, ratio }: SamplerSettings): Sampler {
  const root =
    ratio === 1 ? new AlwaysOnSampler() : ratio === 0 ? new AlwaysOffSampler() : new TraceIdRatioBasedSampler(ratio)
  return parentBased ? new ParentBasedSampler({ root }) : root
}

/** Random ids, but for a span whose id is given. */
class GivenIds implements IdGenerator {
  readonly #random = new RandomIdGenerator()
  #next: string | null = null

  generateTraceId(): string {
    return this.#random.generateTraceId()
  }

  generateSpanId(): string {
    return this.#next ?? this.#random.generateSpanId()
  }

  /** Have the spans that `start` starts at once get an id. */
  with<T>(spanId: string, start: () => T): T {
    this.#next = spanId
    try {
      return start()
    } finally {
      this.#next = null
    }
  }
}

/** The SDK's own processor, which drops without a word what it has no room for; here the count of it is kept. */
class BoundedProcessor implements SpanProcessor {
  readonly #inner: BatchSpanProcessor
  readonly #limit: number
  readonly #delivery: Delivery
  #waiting = 0
  #sending = 0

  constructor(exporter: SpanExporter, batching: BatchingSettings, delivery: Delivery) {
    this.#limit = batching.maxQueueSize
    this.#delivery = delivery
    this.#inner = new BatchSpanProcessor({ ...batching, exporter: this.#watched(exporter) })
  }

  /** Spans of which the collector has not said that it has them. */
  get unsent(): number {
    return this.#waiting + this.#sending
  }

  onStart(): void {
    // The inner one does nothing here, either.
  }

  onEnd(span: Parameters<SpanProcessor['onEnd']>[0]): void {
    if (this.#waiting >= this.#limit) return this.#delivery.lose(1, 'more spans ended than could be sent')
    this.#waiting++
    this.#inner.onEnd(span)
  }

  forceFlush(): Promise<void> {
    return this.#inner.forceFlush()
  }

  shutdown(): Promise<void> {
    return this.#inner.shutdown()
  }

  /** The same exporter; what it cannot deliver is counted, and is no error to anybody else. */
  #watched(exporter: SpanExporter): SpanExporter {
    return {
      export: (spans, done) => {
        this.#waiting -= spans.length
        this.#sending += spans.length
        exporter.export(spans, ({ code, error }) => {
          this.#sending -= spans.length
          if (code !== EXPORTED) this.#delivery.lose(spans.length, reasonOf(error))
          done({ code: EXPORTED })
        })
      },
      forceFlush: async () => await exporter.forceFlush?.(),
      shutdown: () => exporter.shutdown(),
    }
  }
}

/** What the collector or the way to it said: the operator's, and no tenant's. */
function reasonOf(error: Error | undefined): string {
  const code = error !== undefined && 'code' in error && error.code !== undefined ? `${error.code} ` : ''
  return `${code}${error?.message ?? 'the collector did not take them'}`.slice(0, 300)
}

class SdkRecorder implements Recorder {
  readonly #provider: TracerProvider
  readonly #ids: GivenIds
  readonly #clock: Clock
  readonly #version: string
  readonly #onClosed: () => void
  #closed: Promise<void> | null = null

  constructor(options: {
    provider: TracerProvider
    ids: GivenIds
    clock: Clock
    version: string
    onClosed: () => void
  }) {
    this.#onClosed = options.onClosed
    this.#provider = options.provider
    this.#ids = options.ids
    this.#clock = options.clock
    this.#version = options.version
  }

  get #tracer() {
    return this.#provider.getTracer('gatherd', this.#version)
  }

  begin({ name, parent, startedAt, attributes }: Parameters<Recorder['begin']>[0]): OpenSpan {
    const about = { kind: SpanKind.SERVER, startTime: startedAt, attributes: attributesOf(attributes) }
    const span = this.#tracer.startSpan(name, about, under(parent))
    return {
      place: placeOf(span.spanContext()),
      event: ({ name: what, attributes: facts = {}, at }) => void span.addEvent(what, attributesOf(facts), at),
      end: (facts) => finish(span, { ...facts, endedAt: facts.at }),
    }
  }

  record(done: DoneSpan): void {
    const { name, kind, startedAt, attributes, links = [], events = [], parent } = done
    const about = {
      kind: KINDS[kind],
      startTime: startedAt,
      attributes: attributesOf(attributes),
      links: links.map((place) => ({ context: remote(place) })),
    }
    const span = this.#ids.with(done.spanId, () => this.#tracer.startSpan(name, about, under(parent)))
    if (!span.isRecording()) return
    for (const event of events) span.addEvent(event.name, attributesOf(event.attributes ?? {}), event.at)
    finish(span, { ...done, attributes: {} })
  }

  close(graceMs: number): Promise<void> {
    this.#closed ??= this.#close(graceMs)
    return this.#closed
  }

  async #close(graceMs: number): Promise<void> {
    const over = Promise.withResolvers<void>()
    const timer = this.#clock.after(graceMs, over.resolve)
    const sent = this.#provider.shutdown().catch(() => {
      // What was lost is counted where it was.
    })
    await Promise.race([sent, over.promise])
    timer.cancel()
    this.#onClosed()
  }
}

function finish(
  span: Span,
  { endedAt, attributes, error }: { endedAt: number; attributes: Attributes; error: string | null },
): void {
  span.setAttributes(attributesOf(attributes))
  if (error !== null) span.setAttribute('error.type', error).setStatus({ code: SpanStatusCode.ERROR })
  span.end(endedAt)
}

function under(parent: SpanPlace | null): Context {
  return parent === null ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, remote(parent))
}

function remote(place: SpanPlace): SpanContext {
  return { ...place, isRemote: true }
}

function placeOf({ traceId, spanId, traceFlags }: SpanContext): SpanPlace {
  return { traceId, spanId, traceFlags }
}

function attributesOf(attributes: Attributes): SdkAttributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined)) as SdkAttributes
}
