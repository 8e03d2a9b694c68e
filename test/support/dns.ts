import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'

/** What is known of a name; `{}` exists without addresses. */
export interface DnsEntry {
  /** Successive answers, each a list of addresses; the last one repeats. */
  A?: readonly (readonly string[])[]
  AAAA?: readonly (readonly string[])[]
  /** The name that this one stands for; the whole chain is answered. */
  CNAME?: string
  /** Never answered. */
  drop?: boolean
  /** Not answered before this. */
  after?: Promise<unknown>
  /** An error for each type that has no list, such as 2 for SERVFAIL. */
  rcode?: number
  /** Over UDP the answer is only that it has to be asked for over TCP. */
  tcpOnly?: boolean
}

/** By lower-case name, without a dot at the end. */
export type DnsZone = Readonly<Record<string, DnsEntry>>

interface Question {
  id: number
  name: string
  type: number
  /** The question section as it came, to be sent back. */
  bytes: Buffer
}

interface Answer {
  rcode: number
  truncated: boolean
  records: Buffer[]
}

const A = 1
const CNAME = 5
const AAAA = 28
const NXDOMAIN = 3
const HEADER_BYTES = 12
/** A response to a query with recursion desired, recursion available. */
const RESPONSE = 0x8180
const TRUNCATED = 0x0200

/** A name server for tests on 127.0.0.1, UDP and TCP on one free port. TTL 0, unknown names do not exist. Close it with `await using`. */
export class TestDns {
  readonly #zone: DnsZone
  #closed = false
  readonly #udp: UdpSocket
  readonly #tcp: Server
  readonly #sockets = new Set<Socket>()
  readonly #asked = new Map<string, number>()
  /** Queries by type and name: the next answer's place in the list. */
  readonly #given = new Map<string, number>()
  readonly #waiting: { name: string; count: number; resolve: () => void }[] = []

  private constructor(zone: DnsZone, udp: UdpSocket, tcp: Server) {
    this.#zone = zone
    this.#udp = udp
    this.#tcp = tcp
    udp.on('message', (query, { address, port }) => {
      const response = this.#respond(query, false)
      const send = () => {
        if (response && !this.#closed) udp.send(response, port, address)
      }
      const after = this.#zone[parseQuestion(query).name]?.after
      if (after) void after.then(send)
      else send()
    })
    tcp.on('connection', (socket) => this.#serve(socket))
  }

  static async start(zone: DnsZone): Promise<TestDns> {
    for (;;) {
      const tcp = createServer().listen(0, '127.0.0.1')
      await once(tcp, 'listening')
      const udp = createSocket('udp4')
      const bound = await bind(udp, portOf(tcp))
      if (bound) return new TestDns(zone, udp, tcp)
      tcp.close()
    }
  }

  /** `127.0.0.1:port`, as resolvers take it. */
  get server(): string {
    return `127.0.0.1:${portOf(this.#tcp)}`
  }

  /** How often a name was asked for, whatever the type; retries count. Without a name: all. */
  queries(name?: string): number {
    if (name !== undefined) return this.#asked.get(name) ?? 0
    return [...this.#asked.values()].reduce((sum, count) => sum + count, 0)
  }

  /** Resolves when a name has been asked for so many times. */
  asked(name: string, count = 1): Promise<void> {
    if (this.queries(name) >= count) return Promise.resolve()
    return new Promise((resolve) => this.#waiting.push({ name, count, resolve }))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true
    for (const socket of this.#sockets) socket.destroy()
    this.#udp.close()
    this.#tcp.close()
    await Promise.all([once(this.#udp, 'close'), once(this.#tcp, 'close')])
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket)
    let received = Buffer.alloc(0)
    socket.on('error', () => undefined)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
        const end = 2 + received.readUInt16BE(0)
        const response = this.#respond(received.subarray(2, end), true)
        if (response) socket.write(Buffer.concat([uint16(response.length), response]))
        received = received.subarray(end)
      }
    })
  }

  #respond(query: Buffer, overTcp: boolean): Buffer | undefined {
    const question = parseQuestion(query)
    const nth = count(this.#given, `${question.type} ${question.name}`)
    count(this.#asked, question.name)
    this.#wake()
    const entry = this.#zone[question.name]
    if (entry?.drop) return undefined
    if (entry?.tcpOnly && !overTcp) return encode(question, { rcode: 0, truncated: true, records: [] })
    return encode(question, this.#answer(question.name, question.type, nth))
  }

  #answer(asked: string, type: number, nth: number): Answer {
    const records: Buffer[] = []
    for (let name = asked; ; ) {
      const entry = this.#zone[name]
      if (!entry) return { rcode: NXDOMAIN, truncated: false, records }
      if (entry.CNAME === undefined) {
        const owner = name
        const lists = (type === A && entry.A) || (type === AAAA && entry.AAAA) || undefined
        const addresses = lists?.[Math.min(nth, lists.length) - 1] ?? []
        records.push(...addresses.map((address) => record(owner, type, addressBytes(address))))
        return { rcode: lists ? 0 : (entry.rcode ?? 0), truncated: false, records }
      }
      records.push(record(name, CNAME, encodeName(entry.CNAME)))
      name = entry.CNAME
    }
  }

  #wake(): void {
    for (const { name, count, resolve } of this.#waiting) if (this.queries(name) >= count) resolve()
  }
}

function count(counts: Map<string, number>, key: string): number {
  const now = (counts.get(key) ?? 0) + 1
  counts.set(key, now)
  return now
}

function bind(udp: UdpSocket, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    udp.once('error', () => resolve(false))
    udp.bind(port, '127.0.0.1', () => resolve(true))
  })
}

function portOf(server: Server): number {
  // It listens on TCP.
  return (server.address() as AddressInfo).port
}

function parseQuestion(query: Buffer): Question {
  const labels: string[] = []
  let at = HEADER_BYTES
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  const end = at + 5
  const name = labels.join('.').toLowerCase()
  return { id: query.readUInt16BE(0), name, type: query.readUInt16BE(at + 1), bytes: query.subarray(HEADER_BYTES, end) }
}

function encode({ id, bytes }: Question, { rcode, truncated, records }: Answer): Buffer {
  const flags = RESPONSE | (truncated ? TRUNCATED : 0) | rcode
  return Buffer.concat([...[id, flags, 1, records.length, 0, 0].map(uint16), bytes, ...records])
}

/** Name, type, class IN, TTL 0, data. */
function record(name: string, type: number, data: Buffer): Buffer {
  return Buffer.concat([encodeName(name), ...[type, 1, 0, 0, data.length].map(uint16), data])
}

function encodeName(name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]))
  return Buffer.concat([...labels, Buffer.from([0])])
}

/** The URL parser expands what is written in IPv4, and nothing of ours is under test here. */
function addressBytes(address: string): Buffer {
  if (!address.includes(':')) return Buffer.from(address.split('.').map(Number))
  const [head = '', tail = ''] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::')
  const [front, back] = [head, tail].map((side) => (side === '' ? [] : side.split(':')))
  const zeros = Array(8 - (front?.length ?? 0) - (back?.length ?? 0)).fill('0')
  return Buffer.concat([...(front ?? []), ...zeros, ...(back ?? [])].map((group) => uint16(Number.parseInt(group, 16))))
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}
