import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'

/** An attribute's value, of the kinds that are sent here. */
export type WireValue = string | number | boolean

/** A span as it came over the wire. Ids in hexadecimal, instants in milliseconds since the epoch. */
export interface WireSpan {
  traceId: string
  spanId: string
  /** Empty: it begins a trace. */
  parentId: string
  name: string
  /** 1 internal, 2 server, 3 client. */
  kind: number
  start: number
  end: number
  attributes: Record<string, WireValue>
  events: { name: string; at: number; attributes: Record<string, WireValue> }[]
  links: { traceId: string; spanId: string }[]
  /** 0 unset, 1 ok, 2 error. */
  status: number
  resource: Record<string, WireValue>
}

/** What a collector does with a request. `hang`: takes it, and never answers. */
export type Mood = 'take' | 'hang' | 'refuse'

/** A receiver of OTLP over HTTP on loopback that decodes what it gets. */
export class Collector implements AsyncDisposable {
  readonly spans: WireSpan[] = []
  /** Every body as it came. */
  readonly bodies: Buffer[] = []
  readonly heads: { url: string; headers: IncomingHttpHeaders }[] = []
  mood: Mood = 'take'
  readonly #server: Server
  #waiting: (() => void)[] = []

  private constructor(server: Server) {
    this.#server = server
    server.on('request', (request, response) => void this.#receive(request, response))
  }

  static async start(): Promise<Collector> {
    const server = createServer()
    await once(server.listen(0, '127.0.0.1'), 'listening')
    return new Collector(server)
  }

  /** For `OTEL_EXPORTER_OTLP_ENDPOINT`. */
  get url(): string {
    // It listens on TCP, so its address is one.
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Resolves with the spans that there are once `holds` is true of them. */
  async until(holds: (spans: readonly WireSpan[]) => boolean): Promise<WireSpan[]> {
    while (!holds(this.spans)) await this.#next()
    return this.spans
  }

  /** Resolves when there have been as many requests. */
  async asked(count: number): Promise<void> {
    while (this.heads.length < count) await this.#next()
  }

  async #next(): Promise<void> {
    await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  named(name: string): WireSpan[] {
    return this.spans.filter((span) => span.name === name)
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const body = Buffer.concat(chunks)
    this.heads.push({ url: request.url ?? '', headers: request.headers })
    this.bodies.push(body)
    if (this.mood === 'take') this.spans.push(...decodeTraces(body))
    if (this.mood !== 'hang') response.writeHead(this.mood === 'take' ? 200 : 400).end()
    for (const wake of this.#waiting.splice(0)) wake()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    if (!this.#server.listening) return
    this.#server.close()
    await once(this.#server, 'close')
  }
}

/** A field of a protobuf message: a number for a varint or a fixed one, bytes for all else. */
type Field = [number: number, value: bigint | Buffer]

/** Protobuf's wire format, as far as OTLP uses it: https://protobuf.dev/programming-guides/encoding/ */
function fieldsOf(bytes: Buffer): Field[] {
  const fields: Field[] = []
  let at = 0
  const varint = () => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++] ?? 0
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
  }
  const take = (length: number) => {
    at += length
    return bytes.subarray(at - length, at)
  }
  while (at < bytes.length) {
    const key = Number(varint())
    const number = key >> 3
    if ((key & 7) === 0) fields.push([number, varint()])
    else if ((key & 7) === 1) fields.push([number, take(8)])
    else if ((key & 7) === 2) fields.push([number, take(Number(varint()))])
    else if ((key & 7) === 5) fields.push([number, take(4)])
    else throw new Error(`A field of wire type ${key & 7}.`)
  }
  return fields
}

const all = (fields: Field[], number: number) =>
  fields.flatMap(([each, value]) => (each === number && Buffer.isBuffer(value) ? [value] : []))
const one = (fields: Field[], number: number) => all(fields, number)[0] ?? Buffer.alloc(0)
const int = (fields: Field[], number: number) => Number(fields.find(([each]) => each === number)?.[1] ?? 0)
const ms = (fields: Field[], number: number) => Number(one(fields, number).readBigUInt64LE() / 1_000n) / 1_000

/** The spans of an `ExportTraceServiceRequest` of opentelemetry-proto. */
export function decodeTraces(body: Buffer): WireSpan[] {
  return all(fieldsOf(body), 1).flatMap((text) => {
    const resourceSpans = fieldsOf(text)
    const resource = attributesOf(fieldsOf(one(resourceSpans, 1)), 1)
    const scopes = all(resourceSpans, 2).map(fieldsOf)
    return scopes.flatMap((scope) => all(scope, 2).map((span) => spanOf(fieldsOf(span), resource)))
  })
}

function spanOf(fields: Field[], resource: WireSpan['resource']): WireSpan {
  return {
    traceId: one(fields, 1).toString('hex'),
    spanId: one(fields, 2).toString('hex'),
    parentId: one(fields, 4).toString('hex'),
    name: one(fields, 5).toString(),
    kind: int(fields, 6),
    start: ms(fields, 7),
    end: ms(fields, 8),
    attributes: attributesOf(fields, 9),
    events: all(fields, 11).map((text) => {
      const event = fieldsOf(text)
      return { name: one(event, 2).toString(), at: ms(event, 1), attributes: attributesOf(event, 3) }
    }),
    links: all(fields, 13).map((text) => {
      const link = fieldsOf(text)
      return { traceId: one(link, 1).toString('hex'), spanId: one(link, 2).toString('hex') }
    }),
    status: int(fieldsOf(one(fields, 15)), 3),
    resource,
  }
}

function attributesOf(fields: Field[], number: number): Record<string, WireValue> {
  const pairs = all(fields, number).map((text) => {
    const pair = fieldsOf(text)
    return [one(pair, 1).toString(), anyValueOf(fieldsOf(one(pair, 2)))] as const
  })
  return Object.fromEntries(pairs)
}

function anyValueOf([first]: Field[]): WireValue {
  const [number, value] = first ?? [0, 0n]
  if (Buffer.isBuffer(value)) return number === 4 ? value.readDoubleLE() : value.toString()
  return number === 2 ? value === 1n : Number(value)
}
