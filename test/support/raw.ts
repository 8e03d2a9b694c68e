import { connect, type Socket } from 'node:net'

/** An answer as it came over the socket. */
export interface RawAnswer {
  status: number
  headers: Record<string, string>
  body: string
}

/** Write bytes to a port and read the first answer whole, by its Content-Length or to the end. */
export function rawRequest(port: number, text: string): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    let seen = ''
    const socket = connect(port, '127.0.0.1', () => socket.write(text))
    const look = (ended: boolean) => {
      const answer = parseAnswer(seen, ended)
      if (answer === null) return
      socket.destroy()
      resolve(answer)
    }
    socket.on('data', (chunk) => {
      seen += chunk.toString()
      look(false)
    })
    socket.on('close', () => look(true))
    socket.on('error', reject)
  })
}

function parseAnswer(text: string, ended: boolean): RawAnswer | null {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return ended ? { status: 0, headers: {}, body: '' } : null
  const [line = '', ...rest] = text.slice(0, end).split('\r\n')
  const headers = Object.fromEntries(
    rest.map((each) => [each.split(':')[0]?.toLowerCase(), each.replace(/^[^:]*: */, '')]),
  )
  const body = text.slice(end + 4)
  const length = headers['content-length']
  const whole =
    ended || (length !== undefined && Buffer.byteLength(body) >= Number(length)) || body.endsWith('0\r\n\r\n')
  return whole ? { status: Number(line.split(' ')[1]), headers, body: dechunk(body, headers) } : null
}

function dechunk(body: string, headers: Record<string, string>): string {
  return headers['transfer-encoding'] === 'chunked'
    ? body.replace(/^[0-9a-f]+\r\n|\r\n[0-9a-f]+\r\n|\r\n0\r\n\r\n$/g, '')
    : body
}

/** A connection that sends a request and then reads only when told. */
export async function openSlowly(port: number, text: string): Promise<Socket> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const socket = connect(port, '127.0.0.1', resolve)
  socket.once('error', reject)
  await promise
  socket.pause()
  socket.write(text)
  return socket
}

/** Reads the chunks of a fetched stream until what came holds `wanted`; gives all that came. */
export async function readUntil(reader: ReadableStreamDefaultReader<Uint8Array>, wanted: string): Promise<string> {
  let text = ''
  while (!text.includes(wanted)) {
    const { done, value } = await reader.read()
    if (done) break
    text += Buffer.from(value).toString()
  }
  return text
}

/** A connection that is written to and read by hand. Let it go with `using`. */
export class Wire implements Disposable {
  /** All that came. */
  seen = ''
  /** Resolves when the other side has ended or cut it. */
  readonly closed: Promise<void>
  readonly #socket: Socket
  #wake: () => void = () => undefined

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', (chunk) => {
      this.seen += chunk.toString('latin1')
      this.#wake()
    })
    // Whoever is cut off while it writes learns it by an error.
    socket.on('error', () => undefined)
    this.closed = new Promise((resolve) => {
      for (const event of ['end', 'close']) socket.once(event, () => resolve())
    })
    void this.closed.then(() => this.#wake())
  }

  /** Connect, and write `text` if there is any. */
  static async open(port: number, text = '', host = '127.0.0.1'): Promise<Wire> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const socket = connect({ port, host, allowHalfOpen: true }, resolve)
    socket.once('error', reject)
    const wire = new Wire(socket)
    await promise
    if (text !== '') wire.write(text)
    return wire
  }

  write(text: string): void {
    if (this.#socket.writable) this.#socket.write(text)
  }

  /** Waits until `part` has come, and gives all that came; also what came instead, when the connection ends. */
  async until(part: string): Promise<string> {
    let isClosed = false
    void this.closed.then(() => {
      isClosed = true
    })
    while (!this.seen.includes(part) && !isClosed) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
      await Promise.resolve()
    }
    return this.seen
  }

  /** The statuses of the answers that came. */
  get statuses(): number[] {
    return [...this.seen.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, status]) => Number(status))
  }

  [Symbol.dispose](): void {
    this.#socket.destroy()
  }
}
