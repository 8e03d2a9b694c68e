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
